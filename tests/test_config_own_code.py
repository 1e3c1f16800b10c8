"""Rules, filters, planners and estimates of the user's own in a configuration, by import path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtgrpo.config import load_config, parse_config
from mtgrpo.errors import ConfigError

MINIMAL = {"tasks": [{"tiny": "zebra", "level": "easy"}]}
RULES = """
import numpy as np
from mtgrpo import TaskWeighting, Uniform
from mtgrpo import Verdict


class Tilted(Uniform):
    def __init__(self, tilt: float = 0.5) -> None:
        self.tilt = tilt


class Forgetful(Uniform):
    def __init__(self, tilt: float = 0.5) -> None:
        pass


class Broken(Uniform):
    def __init__(self) -> None:
        raise KeyError("tilt")


class Abstract(TaskWeighting):
    pass


class Other:
    pass


def above_half(group):
    return Verdict(group.mean_reward > 0.4)


def says_yes(group):
    return True


def fails(group):
    return group.colour


NUMBER = 3
"""


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own_rules.py").write_text(RULES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parsed(**changes: Any) -> Any:
    return parse_config({**MINIMAL, **changes}, "test")


@pytest.mark.parametrize("place", ["own_rules.py", "{here}/own_rules.py", "own_rules"])
def test_a_rule_by_its_path_with_and_without_arguments(rules: Path, place: str) -> None:
    place = place.format(here=rules)
    written = "own_rules:Tilted" if place == "own_rules" else "own_rules.py:Tilted"

    run = parsed(weighting=f"{place}:Tilted")
    assert run.as_dict()["weighting"] == {"rule": written, "tilt": 0.5}

    run = parsed(weighting={"rule": f"{place}:Tilted", "tilt": 2})
    assert run.as_dict()["weighting"] == {"rule": written, "tilt": 2.0}
    assert type(run.method.weighting).__name__ == "Tilted"
    run.method.make_mixer(["a", "b"], batch_size=4)


def test_a_name_alone_is_a_rule_too() -> None:
    assert parsed(weighting="uniform").as_dict()["weighting"] == {"rule": "uniform"}


def test_a_filter_by_its_path(rules: Path) -> None:
    run = parsed(sampler={"group_filter": "own_rules.py:above_half"})
    assert run.as_dict()["sampler"]["group_filter"] == "own_rules.py:above_half"
    assert run.method.sampler.group_filter.__name__ == "above_half"


def test_another_process_reads_what_was_written(rules: Path) -> None:
    run = parsed(
        weighting={"rule": "own_rules.py:Tilted", "tilt": 2},
        sampler={"group_filter": "own_rules.py:above_half"},
    )
    path = rules / "config.yaml"
    path.write_text(yaml.safe_dump(run.as_dict()))
    assert load_config(str(path)).as_dict() == run.as_dict()

    code = (
        "import yaml; from mtgrpo.config import load_config;"
        "print(yaml.safe_dump(load_config('config.yaml').as_dict()), end='')"
    )
    again = subprocess.run(
        [sys.executable, "-c", code], cwd=rules, capture_output=True, text=True, check=True
    )
    assert again.stdout == path.read_text()


BAD: list[tuple[dict[str, Any], str]] = [
    ({"weighting": "own_rules.py:Titled"}, "weighting.rule: own_rules.py has no 'Titled' (did you"),
    (
        {"weighting": "no_rules.py:Tilted"},
        "weighting.rule: no file no_rules.py; paths are relative",
    ),
    ({"weighting": "no_rules:Tilted"}, "weighting.rule: no module 'no_rules'; install it"),
    ({"weighting": "own_rules:"}, "weighting.rule: 'own_rules:' is no import path"),
    ({"weighting": "own_rules.py:Other"}, "own_rules.py:Other is the class Other; a subclass of"),
    ({"weighting": "own_rules.py:NUMBER"}, "own_rules.py:NUMBER is int; a subclass of"),
    ({"weighting": "own_rules.py:Abstract"}, "weighting: Abstract cannot be made: TypeError"),
    ({"weighting": "own_rules.py:Broken"}, "weighting: Broken cannot be made: KeyError: 'tilt'"),
    ({"weighting": "own_rules.py:Forgetful"}, "its argument 'tilt' is not kept; store it as self."),
    (
        {"weighting": {"rule": "own_rules.py:Tilted", "tild": 1}},
        "weighting: unknown key 'tild' (did you mean 'tilt'?)",
    ),
    (
        {"weighting": {"rule": "own_rules.py:Tilted", "tilt": "steep"}},
        "weighting.tilt: 'steep' is text; a number is needed",
    ),
    ({"weighting": "unifrom"}, "weighting: unknown rule 'unifrom' (did you mean 'uniform'?)"),
    ({"weighting": 3}, "weighting: 3 is a whole number; text or a mapping is needed"),
    (
        {"sampler": {"group_filter": "own_rules.py:says_yes"}},
        "sampler.group_filter: own_rules.py:says_yes returned True; a mtgrpo.Verdict is",
    ),
    (
        {"sampler": {"group_filter": "own_rules.py:fails"}},
        "own_rules.py:fails failed on a group with the rewards 1 and 0: AttributeError",
    ),
    (
        {"sampler": {"group_filter": "own_rules.py:NUMBER"}},
        "sampler.group_filter: own_rules.py:NUMBER is a int; a function is needed",
    ),
    (
        {"sampler": {"planner": {"kind": "own_rules.py:Other"}}},
        "sampler.planner.kind: own_rules.py:Other is the class Other; a subclass of",
    ),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_bad_uses_are_one_clear_line(rules: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(**changes)
    assert message in str(caught.value)
    assert str(caught.value).startswith("test: ")
    assert "\n" not in str(caught.value)


# ---- who is to blame -----------------------------------------------------------------------------
def test_an_error_of_the_command_line_does_not_blame_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))

    for override, message in (
        ("steps=four", "--set steps=four: steps: 'four' is text; a whole number is needed"),
        ("steps=0", "--set steps=0: steps: 0; at least 1 is needed"),
        ("weighting.rule=none", "--set weighting.rule=none: weighting: unknown rule 'none'"),
        ("stops=4", "--set stops=4: unknown key 'stops' (did you mean 'steps'?)"),
        ("trl.epsilon=x", "--set trl.epsilon=x: trl.epsilon: 'x' is text"),
        ("steps.a=1", "--set steps.a=1: "),
    ):
        with pytest.raises(ConfigError) as caught:
            load_config(str(path), ["seed=1", override, "group_size=4"])
        assert str(caught.value).startswith(message), override
        assert str(path) not in str(caught.value)


def test_an_error_of_the_file_blames_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**MINIMAL, "steps": "four"}))
    with pytest.raises(ConfigError, match=f"^{path}: steps: 'four' is text"):
        load_config(str(path), ["seed=1"])
    assert load_config(str(path), ["steps=4"]).steps == 4

    path.write_text("steps: 3")  # which says nothing of tasks
    with pytest.raises(ConfigError, match=f"^{path}: the key 'tasks' is missing"):
        load_config(str(path), ["seed=1"])
