"""The face that verl's configuration names: each class has one home and is imported on first use."""

from __future__ import annotations

import importlib.util
import sys

import pytest

import mtgrpo.integrations.verl as face
from mtgrpo.errors import MissingExtra


def test_the_face_names_both_classes_and_nothing_else():
    assert face.__all__ == ["MultiTaskDataset", "MultiTaskReplayBuffer"]
    with pytest.raises(AttributeError, match="no attribute 'MultiTaskSampler'"):
        face.MultiTaskSampler  # noqa: B018


@pytest.mark.skipif(importlib.util.find_spec("verl") is not None, reason="verl is installed")
@pytest.mark.parametrize("name", face.__all__)
def test_without_verl_the_missing_extra_is_named(name):
    with pytest.raises(MissingExtra, match=r"verl: not installed; .*pip install 'mtgrpo\[verl\]'"):
        getattr(face, name)
    assert "mtgrpo.integrations.verl.buffer" not in sys.modules
