"""Which runs belong to one method."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtgrpo.errors import ConfigError
from mtgrpo.reports.grouping import group_by_label

from .test_compare import write


def test_labels_name_what_differs_beyond_the_seed(tmp_path: Path) -> None:
    runs = [
        write(tmp_path / "a", [], seed=0, weighting={"lam": 0.2}, preset="mt_grpo"),
        write(tmp_path / "b", [], seed=1, weighting={"lam": 0.2}, preset="mt_grpo"),
        write(tmp_path / "c", [], seed=0, weighting={"lam": 0.25}, preset="mt_grpo"),
        write(tmp_path / "d", [], seed=0, weighting={"lam": 9}),
    ]
    groups = group_by_label(runs)
    assert list(groups) == ["mt_grpo weighting.lam=0.2", "mt_grpo weighting.lam=0.25", "dapo"]
    assert [run.config["seed"] for run in groups["mt_grpo weighting.lam=0.2"]] == [0, 1]
    assert list(group_by_label(runs, ["x", "y", "x", "y"])) == ["x", "y"]
    with pytest.raises(ConfigError, match="3 labels for 4 runs"):
        group_by_label(runs, ["x"] * 3)


def test_long_values_are_numbered_in_labels(tmp_path: Path) -> None:
    tasks = [[{"rows": "first.jsonl", "reward": "rewards.py:right"}], [{"rows": "second.jsonl"}]]
    runs = [
        write(tmp_path / name, [], seed=seed, preset="grpo", tasks=tasks[which])
        for name, seed, which in (("a", 0, 0), ("b", 0, 1), ("c", 1, 0))
    ]
    groups = group_by_label(runs)
    assert {label: len(group) for label, group in groups.items()} == {
        "grpo tasks=(1)": 2,
        "grpo tasks=(2)": 1,
    }
