"""Experiments: read, checked throughout, and resolved run by run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mtgrpo.errors import ConfigError
from mtgrpo.jobs.experiment import load_experiment

FILE: dict[str, Any] = {
    "base": {
        "tasks": [{"tiny": "zebra", "level": "easy"}],
        "preset": "mt_grpo",
        "steps": 5,
        "weighting": {"weight_lr": 0.1},
        "trl": {"beta": 0.01},
    },
    "seeds": [0, 1],
    "baseline": "b",
    "thresholds": [0.2],
    "methods": {
        "a": {"weighting": {"lam": 0.7}, "trl": {"temperature": 0.5}},
        "b": None,
        "c": {"preset": "grpo_iwu", "steps": 7},
    },
}


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write(**changes: Any) -> str:
        path = tmp_path / "small.yaml"
        values = {**FILE, **changes}
        path.write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not ...}))
        return str(path)

    return write


def test_a_run_is_the_base_with_the_methods_changes(write) -> None:  # type: ignore[no-untyped-def]
    experiment = load_experiment(write(), seeds=[4], overrides={"group_size": 2})
    assert (experiment.name, experiment.seeds, experiment.baseline) == ("small", (4,), "b")
    run = experiment.run("a", 3, Path("out"))
    assert (run.seed, run.output, run.steps, run.group_size) == (3, "out/a/seed-3", 5, 2)
    weighting = run.method.as_dict()["weighting"]
    assert (weighting["lam"], weighting["weight_lr"]) == (0.7, 0.1)
    assert (run.trl["beta"], run.trl["temperature"]) == (0.01, 0.5)
    other = experiment.run("b", 0, Path("out"))
    assert other.method.as_dict()["weighting"]["lam"] == 0.2


def test_some_of_the_methods(write) -> None:  # type: ignore[no-untyped-def]
    assert list(load_experiment(write(), methods=["b", "a"]).methods) == ["a", "b"]
    first = load_experiment(write(baseline=..., seeds=..., thresholds=...))
    assert (first.baseline, first.seeds, first.thresholds) == ("a", (0,), ())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base": ...}, "small: the key 'base' is missing"),
        ({"methods": ...}, "small: the key 'methods' is missing"),
        ({"methods": {}}, "small: methods is empty"),
        ({"seeds": []}, "small: seeds is empty"),
        (
            {"methods": {"a": 3}},
            "small: methods: {'a': 3} is a mapping; a mapping whose values are",
        ),
        ({"methods": ["a"]}, "small: methods: ['a'] is a list; a mapping"),
        ({"seeds": "01"}, "small: seeds: '01' is text; a list of whole numbers"),
        ({"seeds": [0.5]}, "small: seeds: [0.5] is a list; a list of whole numbers"),
        ({"thresholds": ["high"]}, "small: thresholds: ['high'] is a list; a list of numbers"),
        ({"baseline": "d"}, "small: unknown method 'd'; allowed: a, b, c"),
        ({"method": {}}, "small: unknown key 'method' (did you mean 'methods'?)"),
        ({"methods": {"a": {"stps": 3}}, "baseline": "a"}, "small: methods.a: unknown key 'stps'"),
        ({"base": {**FILE["base"], "trl": 3}}, "small: methods.b: trl: 3 is a whole number"),
        ({"base": {**FILE["base"], "weighting": 3}}, "small: methods.b: weighting: 3 is a whole"),
        ({"seeds": [-1]}, "seed: -1"),
    ],
)
def test_a_wrong_file_is_one_line(changes: dict[str, Any], message: str, write) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError) as caught:
        load_experiment(write(**changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_names(write) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match="unknown method 'x'"):
        load_experiment(write(), methods=["x"])
    with pytest.raises(ConfigError, match=r"three_task.*did you mean 'three_tasks'"):
        load_experiment("three_task")


def test_a_preset_that_is_no_method_is_told_how_it_becomes_one() -> None:
    with pytest.raises(ConfigError) as caught:
        load_experiment("three_tasks", methods=["grpo", "grpo_fair"])
    message = str(caught.value)
    assert "allowed: balanced, dapo" in message
    assert "..." not in message
    assert "methods: {grpo_fair: {preset: grpo_fair}}" in message
    for place in ("docs/watching.md", "research/equal_cost/three_tasks_fair.yaml"):
        assert place in message
        assert (Path(__file__).parents[2] / place).is_file()


def test_the_file_in_the_docs_is_an_experiment(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "watching.md").read_text(encoding="utf-8")
    path = tmp_path / "study.yaml"
    path.write_text(page.partition('```yaml title="study.yaml"\n')[2].partition("```")[0])
    experiment = load_experiment(str(path))
    assert list(experiment.methods) == ["grpo", "fair", "fair, warmer"]
    assert (experiment.baseline, experiment.seeds, experiment.thresholds) == (
        "grpo",
        (0, 1, 2),
        (0.3, 0.5),
    )
