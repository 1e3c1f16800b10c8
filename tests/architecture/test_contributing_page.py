"""CONTRIBUTING.md: its links lead somewhere, its example runs, and classes are made as it says."""

from __future__ import annotations

import inspect
import re

import pytest

from mtgrpo.build import ACCEPTANCES, PLANNERS, WEIGHTINGS
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.testing import WeightingContract

from .source import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(((?!http)[^)#]+)\)", PAGE))))
def test_links_exist(path):
    assert (ROOT / path).exists()


def test_the_contract_of_the_example_runs():
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names: dict[str, type[WeightingContract]] = {}
    exec(compile(block, "CONTRIBUTING.md", "exec"), names)

    contract = names["TestUniform"]()
    contract.test_weights_are_on_the_simplex()
    contract.test_order_of_tasks_does_not_matter()


STATEFUL = (*WEIGHTINGS.values(), *ACCEPTANCES.values())
CLASSES = (*STATEFUL, *PLANNERS.values(), RatioPreservingSampler)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_classes_are_made_as_the_page_says(cls):
    arguments = []
    if cls.__init__ is not object.__init__:
        arguments = list(inspect.signature(cls).parameters.values())

    for argument in arguments:
        assert argument.kind is not argument.VAR_KEYWORD, "flat, named arguments"
        assert argument.annotation is not argument.empty, "typed arguments"

    if all(argument.default is not argument.empty for argument in arguments):
        text = repr(cls())
        assert text.startswith(f"{cls.__name__}(")
        assert all(f"{argument.name}=" in text for argument in arguments)

    if cls in STATEFUL:
        assert all(callable(getattr(cls, m)) for m in ("bind", "state_dict", "load_state_dict"))
