import logging
import warnings

import pytest
from trl import import_utils

from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer, vllm_version
from mtgrpo.integrations.trl.vllm_version import check_vllm

from .toy import make_tasks


def test_a_vllm_that_is_asked_for_and_missing_is_one_line_before_a_model_is_loaded(
    lab, monkeypatch
):
    monkeypatch.setattr(vllm_version, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="use_vllm=True, but vllm is not installed") as caught:
        MultiTaskGRPOTrainer("no-model", tasks=make_tasks(), args=lab.config(use_vllm=True))
    assert "\n" not in str(caught.value)


def test_a_release_outside_trls_range_is_one_line_of_the_log(monkeypatch, caplog):
    def warns():
        warnings.warn(
            "TRL currently supports vLLM versions from 0.22.0 to 0.31.0.\nYou have 9.9.",
            stacklevel=1,
        )
        return True

    monkeypatch.setattr(vllm_version, "find_spec", lambda name: object())
    monkeypatch.setattr(import_utils, "is_vllm_available", warns)
    with caplog.at_level(logging.WARNING, "mtgrpo"):
        check_vllm(True, "here")
    assert [record.getMessage() for record in caplog.records] == [
        "here: TRL currently supports vLLM versions from 0.22.0 to 0.31.0. You have 9.9."
    ]


def test_nothing_is_said_without_vllm_or_of_a_supported_release(monkeypatch, caplog):
    monkeypatch.setattr(vllm_version, "find_spec", lambda name: object())
    monkeypatch.setattr(import_utils, "is_vllm_available", lambda: True)
    with caplog.at_level(logging.WARNING, "mtgrpo"):
        check_vllm(False, "here")
        check_vllm(True, "here")
    assert not caplog.records
