"""A plan needs neither torch nor TRL: what is known of TRL's arguments is read from its source."""

import subprocess
import sys
from dataclasses import fields

import pytest
from trl import GRPOConfig

from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl import config_fields
from mtgrpo.integrations.trl.config_fields import NUMBERS, field_type


def test_the_source_tells_what_the_class_tells():
    read, known = config_fields._fields_in_sources(), config_fields._fields_of_class()
    assert set(read) == set(known) == {field.name for field in fields(GRPOConfig)}
    for field in fields(GRPOConfig):
        numbers = [kind for kind in (int, float, int | None, float | None) if field.type == kind]
        assert (
            [NUMBERS[read[field.name]]] == numbers if numbers else read[field.name] not in NUMBERS
        )


def test_a_field_that_the_source_does_not_show_is_asked_of_the_class(monkeypatch):
    monkeypatch.setattr(config_fields, "_fields_in_sources", dict)
    assert field_type("beta") == "float"
    with pytest.raises(
        ConfigError, match=r"unknown GRPOConfig field 'betta' \(did you mean 'beta'"
    ):
        field_type("betta")


def test_a_plan_imports_no_torch():
    code = """
import sys
from mtgrpo.config import load_config
from mtgrpo.jobs.describe import describe_job

describe_job(load_config("demo"))
print([name for name in ("torch", "trl", "transformers", "datasets") if name in sys.modules])
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
