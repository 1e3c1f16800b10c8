"""YAML as people write it; what would exhaust memory or the stack is one clear line."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtgrpo.cli import main
from mtgrpo.errors import ConfigError
from mtgrpo.yaml_text import MAX_DEPTH, assign, parse_assignments, parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("2E+3", 2000.0),
        ("-.5e1", -5.0),
        ("3", 3),
        ("1e", "1e"),
        ("2024-02-30", "2024-02-30"),
        ("2024-01-31", "2024-01-31"),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, value: object) -> None:
    assert parse_yaml(f"a: {text}", "here") == {"a": value}
    assert type(parse_yaml(text, "here")) is type(value)


def test_a_key_may_stand_in_several_mappings_and_override_a_merged_one() -> None:
    text = """
a: &a {x: 1, y: 1}
b: &b {<<: *a, x: 2}
c:
  <<: *b
  <<: {z: 5}
  x: 3
d: *b
"""
    assert parse_yaml(text, "here") == {
        "a": {"x": 1, "y": 1},
        "b": {"x": 2, "y": 1},
        "c": {"x": 3, "y": 1, "z": 5},
        "d": {"x": 2, "y": 1},
    }


def bomb(levels: int) -> str:
    """A few lines that stand for 10 ** levels values."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines)


UNUSABLE: dict[str, tuple[str, str]] = {
    "brackets": ("a: " + "[" * 100_000, f"nested more than {MAX_DEPTH} deep"),
    "whole brackets": ("a: " + "[" * 500 + "]" * 500, f"nested more than {MAX_DEPTH} deep"),
    "indents": ("\n".join(" " * i + "a:" for i in range(900)), f"more than {MAX_DEPTH} deep"),
    "many values": ("a: [" + "1," * 200_000 + "]", "more than 1024 KiB or 100,000 values"),
    "long text": ("a: " + "x" * 2**21, "more than 1024 KiB"),
    "aliases": (bomb(12), "more than 1024 KiB or 100,000 values"),
    "a loop": ("a: &a [*a]", "the alias *a contains itself"),
    "a loop of mappings": ("a: &a {b: {c: *a}}", "the alias *a contains itself"),
    "no alias": ("a: *b", "not valid YAML"),
    "two documents": ("a: 1\n---\nb: 2", "not valid YAML"),
    "open bracket": ("tasks: [", "not valid YAML"),
    "a long number": ("a: " + "9" * 5000, "not valid YAML"),
    "an object": ("a: !!python/object/apply:os.getcwd []", "not valid YAML"),
    "a control character": ("a: \x07", "not valid YAML"),
    "a list as a key": ("? [1, 2]\n: 3", "not valid YAML"),
    "a key twice": (
        "steps: 1\nseed: 2\nsteps: 3\n",
        "line 3: the key 'steps' is given twice, first in line 1",
    ),
    "a key twice, once quoted": (
        'a:\n  b: 1\n  "b": 1\n',
        "line 3: the key 'b' is given twice, first in line 2",
    ),
    "a key twice on one line": ("a: [{b: 1, c: 2, b: 3}]", "line 1: the key 'b' is given twice"),
    "a merge twice overridden": (
        "a: &a {x: 1}\nb:\n  <<: *a\n  x: 2\n  x: 3",
        "line 5: the key 'x' is given twice, first in line 4",
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_read_is_one_line_at_once(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, message = UNUSABLE[name]
    path = tmp_path / "config.yaml"
    path.write_text(text)
    start = time.monotonic()
    assert main(["train", str(path)]) == 2
    assert time.monotonic() - start < 20
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}: ")
    assert message in error
    assert error.count("\n") == 1
    assert len(error) < 1000


def test_the_same_holds_of_what_is_set_and_of_every_file_that_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = tmp_path / "deep.yaml"
    deep.write_text("a: " + "[" * 5000)
    for command in (
        ["train", "demo", "--set", "trl=" + "[" * 5000],
        ["study", str(deep)],
        ["simulate", str(deep)],
        ["tasks", "list", str(deep)],
    ):
        assert main(command) == 2, command
        error = capsys.readouterr().err
        assert "nested more than" in error
        assert len(error) < 1000


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read \(.*No such file"):
        read_yaml(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(binary)


def test_ordinary_aliases_are_read() -> None:
    text = "base: &base {a: 1}\nruns: [{b: *base}, *base]"
    assert parse_yaml(text, "here") == {"base": {"a": 1}, "runs": [{"b": {"a": 1}}, {"a": 1}]}


def test_assignments_change_nested_values_in_place() -> None:
    values: dict[str, Any] = {"tasks": [{"level": "easy"}, {}], "trl": {"beta": 0.1}}
    for assignment in ("tasks.0.level=hard", "tasks.1.tiny=zebra", "trl.beta=1e-3", "a.b.c=null"):
        assign(values, assignment)
    assert values == {
        "tasks": [{"level": "hard"}, {"tiny": "zebra"}],
        "trl": {"beta": 1e-3},
        "a": {"b": {"c": None}},
    }
    assert parse_assignments(["a.b=1", "c=x"]) == {"a": {"b": 1}, "c": "x"}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("nonsense", "--set nonsense: not of the form a.b=value"),
        ("a..b=1", "not of the form a.b=value"),
        ("=1", "not of the form a.b=value"),
        ("a=[", "--set a=[: not valid YAML"),
        ("steps.x=1", "steps is not a mapping that has 'x'"),
        ("tasks.7.x=1", "tasks is a list of 1, which has no '7'; its only entry is tasks.0"),
        ("two.2=x", "two is a list of 2, which has no '2'; its entries are two.0 to two.1"),
        ("none.0=x", "none is a list of 0, which has no '0'"),
        ("tasks.².x=1", "tasks is a list of 1, which has no '²'"),
    ],
)
def test_wrong_assignments_are_refused(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        assign({"steps": 3, "tasks": [{}], "two": [1, 2], "none": []}, assignment)
    assert message in str(caught.value)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[[list[str]], str]:
    def run(command: list[str]) -> str:
        assert main(command) == 2
        return capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("steps", "0x" + "f" * 5000, "steps: a number of 20000 bits"),
        ("learning_rate", "0x" + "f" * 5000, "learning_rate: a number of"),
        ("weighting", "{rule: [a]}", "weighting.rule: ['a'] is a list; text is needed"),
        ("weighting", "{rule: fixed, weights: {a: x}}", "a mapping of numbers is needed"),
        ("sampler", "{planner: 3}", "sampler.planner: 3; a mapping with the key 'kind'"),
        ("output", r'"a\0b"', "output: 'a\\x00b'"),
        ("task_reward", "acc", "unknown task_reward 'acc'"),
        ("trl", "{epsilon: -1.0}", "epsilon and epsilon_high must be at least 0"),
        ("trl", "{epsilon: big}", "trl.epsilon: 'big' is text; a number is needed"),
        ("trl", "{3: 4}", "trl: {3: 4} is a mapping; a mapping with text for keys is needed"),
    ],
)
def test_values_of_the_wrong_kind_are_one_line(
    key: str, value: str, message: str, refused: Callable[[list[str]], str]
) -> None:
    error = refused(["train", "demo", "--set", f"{key}={value}"])
    assert message in error
    assert error.count("\n") == 1
    assert len(error) < 1000
