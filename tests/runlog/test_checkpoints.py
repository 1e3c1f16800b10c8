"""Checkpoints are whole or they are not used, and nothing that could be used is lost."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mtgrpo.errors import StateError
from mtgrpo.runlog import RunLog, checkpoints, read_logged_steps, save_state
from mtgrpo.runlog.checkpoints import SEAL_FILE, defect, newest, rotate, seal, set_aside, writing


def write(folder: Path, step: int, *, sealed: bool = True, **belongs_to: Any) -> Path:
    path = folder / f"checkpoint-{step}"
    (path / "shards").mkdir(parents=True)
    (path / "model.safetensors").write_bytes(bytes(100 + step))
    (path / "shards" / "optimizer_0.pt").write_bytes(b"optimizer")
    (path / "trainer_state.json").write_text("{}")
    save_state(path / "mixer.json", {"step": step})
    if sealed:
        seal(path, **belongs_to)
    return path


def shorten(path: Path) -> None:
    (path / "model.safetensors").write_bytes(bytes(50))


def remove(path: Path) -> None:
    (path / "shards" / "optimizer_0.pt").unlink()


def change(path: Path) -> None:
    content = bytearray((path / "model.safetensors").read_bytes())
    content[7] ^= 1
    (path / "model.safetensors").write_bytes(content)


def replace_state(path: Path) -> None:
    save_state(path / "mixer.json", {"step": 7})


def tear_seal(path: Path) -> None:
    content = (path / SEAL_FILE).read_bytes()
    (path / SEAL_FILE).write_bytes(content[: len(content) // 2])


def foreign_seal(path: Path) -> None:
    (path / SEAL_FILE).write_text('{"files": {}}')


DAMAGE = {
    shorten: "model.safetensors has 50 bytes instead of 109",
    remove: "shards/optimizer_0.pt is missing",
    change: "model.safetensors was changed or damaged",
    replace_state: "mixer.json was changed or damaged",
    tear_seal: "torn or foreign",
    foreign_seal: "not a state file of mtgrpo",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda f: f.__name__)
def test_damage_is_found_and_the_last_good_one_named(damage, tmp_path):
    write(tmp_path, 3)
    good, bad = write(tmp_path, 6), write(tmp_path, 9)
    assert newest(tmp_path).path == bad
    damage(bad)
    assert DAMAGE[damage] in defect(bad)
    found = newest(tmp_path)
    assert found.path == good
    assert list(found.unusable) == [bad]
    assert checkpoints.instead_of(bad) == f"the last good one is {good}"


def test_a_checkpoint_being_written_is_passed_over(tmp_path):
    good, half = write(tmp_path, 9), write(tmp_path, 12, sealed=False)
    assert newest(tmp_path).path == good
    assert "still being written" in newest(tmp_path).unusable[half]
    (tmp_path / "checkpoint-x").mkdir()
    (tmp_path / "checkpoint-100").write_text("a file")
    assert newest(tmp_path).path == good
    assert newest(tmp_path / "nowhere") == checkpoints.Newest(None, {})


def test_a_renamed_checkpoint_is_passed_over(tmp_path):
    good, other = write(tmp_path, 3), write(tmp_path, 6)
    renamed = other.rename(tmp_path / "checkpoint-12")
    assert defect(renamed) == "it is the checkpoint of step 6 under another name"
    assert newest(tmp_path).path == good
    assert defect(renamed.rename(tmp_path / "best")) == ""  # no claim to a step


def test_a_checkpoint_of_another_run_is_passed_over(tmp_path):
    """The tasks are the same, the files are sound: only the seal tells that it is of seed 1."""
    with RunLog.create(tmp_path / "mine", ["a"]) as log:
        log.log_metrics(3, 8, {})
        good = write(tmp_path / "mine" / "checkpoints", 3, seed=0, log=log.sync())

    with RunLog.create(tmp_path / "theirs", ["a"]) as log:
        log.log_metrics(3, 8, {})
        foreign = write(tmp_path / "theirs" / "checkpoints", 6, seed=1, log=log.sync())
    foreign = Path(shutil.copytree(foreign, tmp_path / "mine" / "checkpoints" / foreign.name))

    assert newest(foreign.parent).path == foreign  # nothing is wrong with it by itself
    last = newest(foreign.parent, read_logged_steps(tmp_path / "mine"))
    assert last.path == good
    assert last.unusable == {foreign: "it is of another run (with seed 1)"}


def test_a_copied_run_goes_on_from_its_own_copies(tmp_path):
    with RunLog.create(tmp_path / "run", ["a"]) as log:
        log.log_metrics(3, 8, {})
        write(tmp_path / "run" / "checkpoints", 3, log=log.sync())
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    last = newest(tmp_path / "copy" / "checkpoints", read_logged_steps(tmp_path / "copy"))
    assert last.path == tmp_path / "copy" / "checkpoints" / "checkpoint-3"


def test_a_checkpoint_beyond_its_log_is_passed_over(tmp_path):
    """A power cut took the last lines of the log, and left the checkpoint that was saved after them."""
    folder = tmp_path / "checkpoints"
    with RunLog.create(tmp_path, ["a"]) as log:
        for step in range(1, 10):
            log.log_metrics(step, 8 * step, {})
            if step % 3 == 0:
                write(folder, step, log=log.sync())

    log = tmp_path / "metrics.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:7]))
    last = newest(folder, read_logged_steps(tmp_path))
    assert last.path == folder / "checkpoint-6"
    assert last.unusable == {
        folder
        / "checkpoint-9": "metrics.jsonl lacks 2 of 9 lines it had when this was saved: steps 8 to 9"
    }

    log.unlink()
    assert newest(folder, read_logged_steps(tmp_path)).path is None


def test_a_seal_without_its_step_is_of_an_earlier_version(tmp_path):
    path = write(tmp_path, 3, sealed=False)
    save_state(path / SEAL_FILE, {"files": {}})
    assert "earlier version" in defect(path)


def test_steps_are_compared_as_numbers(tmp_path):
    for step in (9, 10, 100):
        write(tmp_path, step)
    assert checkpoints.checkpoint_step(newest(tmp_path).path) == 100


def test_what_came_after_the_seal_does_not_matter_and_temporary_files_never_do(tmp_path):
    path = write(tmp_path, 1, sealed=False)
    (path / ".mixer.json.x.tmp").write_text("half")
    seal(path)
    (path / ".mixer.json.x.tmp").unlink()
    (path / "README.md").write_text("a model card")
    assert defect(path) == ""


def test_large_files_are_checked_by_size(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "HASHED_BYTES", 10)
    path = write(tmp_path, 9)
    change(path)
    assert defect(path) == ""
    shorten(path)
    assert "has 50 bytes" in defect(path)


def test_setting_aside_deletes_only_what_nobody_can_use(tmp_path):
    damaged, half = write(tmp_path, 9), write(tmp_path, 12, sealed=False)
    (half / "trainer_state.json").unlink()
    shorten(damaged)
    set_aside(damaged)
    set_aside(half)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["unusable-checkpoint-9"]
    again = write(tmp_path, 9)
    shorten(again)
    set_aside(again)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "unusable-checkpoint-9",
        "unusable-checkpoint-9-2",
    ]
    assert newest(tmp_path).path is None


def test_rotation_keeps_the_newest_and_the_best(tmp_path):
    for step in (2, 4, 6, 8, 10):
        write(tmp_path, step)
    rotate(tmp_path, 2, tmp_path / "checkpoint-4")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint-10",
        "checkpoint-4",
        "checkpoint-8",
    ]


class SafetensorError(Exception):
    """As safetensors raises it: a class of its own, outside the standard ones."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "(No space left on device)"),
        (PermissionError(errno.EACCES, "Permission denied"), "(Permission denied)"),
        (
            RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/0"),
            "PytorchStreamWriter failed",
        ),
        (
            RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 640 vs 598"),
            "unexpected pos",
        ),
        (
            SafetensorError("Error while serializing: I/O error: No space left on device"),
            "I/O error",
        ),
    ],
)
def test_a_failed_write_is_one_line_and_names_what_is_left(error, reason, tmp_path):
    good = write(tmp_path, 3)
    with pytest.raises(StateError) as raised, writing(tmp_path / "checkpoint-6"):
        raise error
    assert reason in str(raised.value)
    assert f"the last good one is {good}" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_torch_says_of_a_full_disk_is_put_into_words(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda path: SimpleNamespace(free=4096))
    with (
        pytest.raises(StateError, match=r"cannot be written \(No space left on device\)"),
        writing(tmp_path / "x"),
    ):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 640 vs 598")


def test_a_failing_state_file_is_explained_once(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StateError) as raised, writing(tmp_path / "checkpoint-6"):
        save_state(tmp_path / "checkpoint-6" / "mixer.json", {})
    assert str(raised.value).count("No space left on device") == 1
    assert "no other whole one" in str(raised.value)


def test_other_errors_pass(tmp_path):
    with pytest.raises(RuntimeError, match="shape"), writing(tmp_path / "checkpoint-6"):
        raise RuntimeError("shape mismatch")
