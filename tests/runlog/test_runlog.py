from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mtgrpo.errors import RunError, StateError
from mtgrpo.runlog import RunLog, load_state, read_run, save_state
from tests.synthetic_run import HOSTILE, write_synthetic_run

TASKS = ("a/b", "weight", "<c>")
LINES = ("metrics.jsonl", "evaluations.jsonl", "completions.jsonl")


def log_step(log: RunLog, step: int) -> None:
    log.log_metrics(
        step,
        step * 8,
        {"task/a/b/weight": 0.25, "loss": math.nan, "n": np.int64(3)},
        elapsed_s=step,
    )
    if step % 2 == 0:
        row = {"accuracy": 0.5, "reward": 0.6, "num_prompts": 10, "std_error": 0.1}
        log.log_evaluation(step, step * 8, dict.fromkeys(TASKS, row), num_samples=4, elapsed_s=step)
    samples = [
        {"task": t, "prompt": "p", "completion": "c", "reward": 1, "accuracy": 1, "kept": True}
        for t in TASKS
    ]
    log.log_completions(step, samples * 3, max_per_task=2)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    with RunLog.create(tmp_path / "new" / "run", TASKS) as log:
        log.write_config({"seed": 3, "tasks": ("x", {"y": None}), "path": tmp_path, "rate": 1e-6})
        log.write_environment(seed=3, extra={"gpu": "none"})
        log_step(log, 0)
        log_step(log, 1)
        log.log_metrics(2, 24, {}, elapsed_s=None)
        running = read_run(log.path)
        log.write_summary({"status": "finished", "best": np.float32(0.5), "bad": math.inf})
    run = read_run(log.path)
    assert running.status == "running"
    assert run.status == "finished"
    assert run.summary["bad"] is None
    assert run.tasks == TASKS
    assert run.config == {
        "seed": 3,
        "tasks": ["x", {"y": None}],
        "path": str(tmp_path),
        "rate": 1e-6,
    }
    assert run.environment["gpu"] == "none"
    assert run.environment["versions"]["numpy"] == np.__version__
    assert [m.step for m in run.metrics] == [0, 1, 2]
    assert run.metrics[1].values["task/a/b/weight"] == 0.25
    assert run.metrics[1].values["n"] == 3
    assert math.isnan(run.metrics[1].values["loss"])
    assert run.evaluations[0].accuracies == dict.fromkeys(TASKS, 0.5)
    assert run.evaluations[0].tasks["<c>"].num_prompts == 10
    assert len(run.completions) == 2 * 2 * 3
    assert not (log.path / ".lock").exists()


def test_every_file_is_strict_json(tmp_path: Path) -> None:
    write_synthetic_run(tmp_path, tasks=HOSTILE, steps=3, every=1)

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} in JSON")

    for name in LINES:
        for line in (tmp_path / name).read_text(encoding="ascii").splitlines():
            json.loads(line, parse_constant=refuse)
    assert read_run(tmp_path).tasks == HOSTILE


def test_create_refuses_foreign_directories_and_runs_that_went_further(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(RunError, match=r"not empty and not a run.*thesis.tex"):
        RunLog.create(tmp_path, TASKS)
    assert os.listdir(tmp_path) == ["thesis.tex"]
    write_synthetic_run(tmp_path / "run", steps=2)
    with pytest.raises(RunError, match=r"already holds a run of 2 logged steps.*--resume"):
        RunLog.create(tmp_path / "run", TASKS)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="file"):
        RunLog.create(tmp_path / "file", TASKS)


def test_create_starts_over_where_no_step_was_taken(tmp_path: Path) -> None:
    with RunLog.create(tmp_path, TASKS) as log:
        log_step(log, 0)
        (tmp_path / "metrics.jsonl").unlink()
    with RunLog.create(tmp_path, ["z"]):
        pass
    run = read_run(tmp_path)
    assert run.tasks == ("z",)
    assert not run.evaluations
    assert not run.completions


def test_resumed_log_equals_the_uninterrupted_one(tmp_path: Path) -> None:
    with RunLog.create(tmp_path / "straight", TASKS) as log:
        for step in range(7):
            log_step(log, step)
    with RunLog.create(tmp_path / "cut", TASKS) as log:
        for step in range(5):
            log_step(log, step)
        log.write_summary({"status": "interrupted"})
    for name in LINES:  # kill -9 in the middle of a line
        with open(tmp_path / "cut" / name, "ab") as file:
            file.write(b'{"step": 5, "roll')
    assert read_run(tmp_path / "cut").last_step == 4
    with RunLog.resume(tmp_path / "cut") as log:
        assert log.tasks == TASKS
        assert 4 <= log.elapsed_s < 60
        log.truncate_after(2)
        assert 2 <= log.elapsed_s < 60
        assert log.has_evaluation(2)
        assert not log.has_evaluation(4)
        assert not (log.path / "summary.json").exists()
        for step in range(3, 7):
            log_step(log, step)
    for name in LINES:
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_torn_last_line_is_tolerated_and_a_damaged_line_is_not(tmp_path: Path) -> None:
    write_synthetic_run(tmp_path, steps=3)
    file = tmp_path / "metrics.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    for torn in (lines[2][:-1], lines[2][:10], b"\x00\x00\x00", b"[1, 2]\n"):
        file.write_bytes(lines[0] + lines[1] + torn)
        assert len(read_run(tmp_path).metrics) == (3 if torn == lines[2][:-1] else 2)
    file.write_bytes(lines[0] + b"{broken\n" + lines[2])
    with pytest.raises(RunError, match=r"metrics.jsonl: line 2 is damaged"):
        read_run(tmp_path)
    file.write_bytes(lines[0] + b'{"step": "x", "rollouts": 1}\n' + lines[2])
    with pytest.raises(RunError, match=r"metrics.jsonl: object 2 cannot be used"):
        read_run(tmp_path)
    file.write_bytes(lines[0] + b'{"rollouts": 1}\n')
    with pytest.raises(RunError, match=r"'step' is missing"):
        read_run(tmp_path)


def test_reading_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run directory"):
        read_run(tmp_path)
    with pytest.raises(RunError, match="no such directory"):
        read_run(tmp_path / "x")
    with pytest.raises(RunError, match="nothing to resume"):
        RunLog.resume(tmp_path)
    (tmp_path / "run.json").write_text('{"format": "mtgrpo-run", "version": 99, "tasks": []}')
    with pytest.raises(RunError, match="version 99"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunError, match="not valid JSON"):
        read_run(tmp_path)


def test_minimal_directory_without_mark_takes_tasks_from_evaluations(tmp_path: Path) -> None:
    line = {"step": 0, "rollouts": 0, "tasks": {"x": {"accuracy": 0.5}, "y": {"accuracy": None}}}
    (tmp_path / "evaluations.jsonl").write_text(json.dumps(line) + "\n")
    run = read_run(tmp_path)
    assert run.tasks == ("x", "y")
    assert run.status == "killed"
    assert math.isnan(run.evaluations[0].tasks["y"].accuracy)
    assert math.isnan(run.evaluations[0].tasks["x"].std_error)


HOLD = """
import sys, time
from mtgrpo.runlog import RunLog
log = RunLog.{how}(sys.argv[1], ["t"]{rest})
log.log_metrics(1, 8, {{"x": 1.0}})
print("ready", flush=True)
time.sleep(60)
"""


def test_two_processes_never_write_one_run(tmp_path: Path) -> None:
    code = HOLD.format(how="create", rest="")
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        for attempt in (lambda: RunLog.resume(tmp_path), lambda: RunLog.create(tmp_path, ["t"])):
            with pytest.raises(RunError, match=f"in use by process {holder.pid}"):
                attempt()
        assert read_run(tmp_path).status == "running"
        holder.send_signal(signal.SIGKILL)
    finally:
        holder.kill()
        holder.wait()
        if holder.stdout is not None:
            holder.stdout.close()
    assert read_run(tmp_path).status == "killed"
    with RunLog.resume(tmp_path) as log:  # a dead process's lock is taken over
        log.log_metrics(2, 16, {})
        with pytest.raises(RunError, match="this very process"):
            RunLog.resume(tmp_path)
    assert read_run(tmp_path).last_step == 2


def test_lock_of_another_host_names_the_file_to_delete(tmp_path: Path) -> None:
    write_synthetic_run(tmp_path, steps=1)
    lock = tmp_path / ".lock"
    lock.write_text('{"pid": 1, "host": "elsewhere", "started": ""}')
    with pytest.raises(RunError, match=r"on host 'elsewhere'; if it is gone, delete .*\.lock"):
        RunLog.resume(tmp_path)
    me = json.dumps({"pid": os.getpid(), "host": os.uname().nodename, "started": "another-boot/1"})
    for stale in ("", "{torn", "[]", me):  # the last: our process id, reused after a restart
        lock.write_text(stale)
        RunLog.resume(tmp_path).close()
        assert not lock.exists()


def test_full_disk_is_one_clear_line_and_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mtgrpo.runlog.files as files

    with RunLog.create(tmp_path, TASKS) as log:
        log.log_metrics(1, 8, {"x": 1.0})
        log.write_summary({"status": "failed"})
        before = {
            name: (tmp_path / name).read_bytes() for name in ("metrics.jsonl", "summary.json")
        }

        class FullDisk:
            def __init__(self, file) -> None:
                self.file, self.first = file, True

            def __enter__(self):
                return self

            def __exit__(self, *_) -> None:
                self.file.close()

            def __getattr__(self, name):
                return getattr(self.file, name)

            def write(self, data: bytes) -> int:
                if not self.first:
                    raise OSError(errno.ENOSPC, "No space left on device")
                self.first = False
                return self.file.write(data[:5])

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(files, "open", lambda *a, **k: FullDisk(open(*a, **k)), raising=False)  # noqa: SIM115
            with pytest.raises(
                RunError, match=r"metrics.jsonl: cannot be written \(No space left on device\)"
            ) as info:
                log.log_metrics(2, 16, {"x": 1.0})
            assert "\n" not in str(info.value)
        with monkeypatch.context() as patch:
            patch.setattr(files.os, "fsync", full)
            with pytest.raises(RunError, match=r"metrics.jsonl: cannot be synced"):
                log.write_summary({"status": "finished"})
        assert {name: (tmp_path / name).read_bytes() for name in before} == before
        assert not list(tmp_path.glob("*.tmp")) + list(tmp_path.glob(".*.tmp"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_permission_denied(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="Permission denied"):
        RunLog.create(tmp_path / "run", TASKS)


def test_bad_values_are_refused(tmp_path: Path) -> None:
    with RunLog.create(tmp_path, TASKS) as log:
        with pytest.raises(RunError, match="'step'"):
            log.log_metrics(1, 8, {"step": 3})
        with pytest.raises(RunError, match="'x' is 'text'"):
            log.log_metrics(1, 8, {"x": "text"})  # pyright: ignore[reportArgumentType]
        with pytest.raises(RunError, match="'t' has no 'accuracy'"):
            log.log_evaluation(1, 8, {"t": {"reward": 1.0}}, num_samples=1)
        with pytest.raises(RunError, match="status None"):
            log.write_summary({})
        with pytest.raises(RunError, match="a: b: a object"):
            log.write_config({"a": {"b": object()}})
        assert not read_run(tmp_path).metrics


def test_completions_of_any_content_are_written_as_text(tmp_path: Path) -> None:
    chat = [
        {"role": "user", "content": [{"type": "image", "image": object()}]},
        {"role": "assistant", "content": "x"},
    ]
    with RunLog.create(tmp_path, TASKS) as log:
        log.log_completions(
            1, [{"task": "a/b", "prompt": chat, "completion": chat[1:]}], max_per_task=1
        )
    (sample,) = read_run(tmp_path).completions
    assert sample.prompt.startswith("user: [{'type': 'image'")
    assert sample.completion == "assistant: x"
    assert math.isnan(sample.reward)


def test_state_round_trip_is_exact(tmp_path: Path) -> None:
    state = {
        "rng": {"state": 2**127 - 1},
        "weights": [0.1, 1 / 3, 5e-324],
        "none": None,
        "naïve \ud800": [True, "$"],
    }
    save_state(tmp_path / "new" / "mixer.json", state)
    assert load_state(tmp_path / "new" / "mixer.json") == state
    save_state(tmp_path / "numpy.json", {"a": np.arange(3), "b": np.float64(0.1), "c": (1, 2)})
    assert load_state(tmp_path / "numpy.json") == {"a": [0, 1, 2], "b": 0.1, "c": [1, 2]}


def test_state_refuses_what_would_not_come_back(tmp_path: Path) -> None:
    for bad in (math.nan, math.inf, object(), {1: 2}):
        with pytest.raises(StateError, match=r"mixer.json: weights: a"):
            save_state(tmp_path / "mixer.json", {"weights": {"a": bad}})
    assert not list(tmp_path.iterdir())


def test_state_torn_or_foreign(tmp_path: Path) -> None:
    file = tmp_path / "mixer.json"
    with pytest.raises(StateError, match=r"mixer.json: cannot be read \(No such file"):
        load_state(file)
    save_state(file, {"step": 3, "weights": [0.25, 0.75]})
    good = file.read_text()
    damage = {
        good[:40]: r"not valid JSON \(40 bytes\)",
        "": r"not valid JSON \(0 bytes\)",
        "[1]": "not a state file",
        '{"step": 3}': "not a state file",
        good.replace("0.25", "0.26"): "checksum does not match",
        good.replace('"version": 1', '"version": 2'): "format version 2",
        json.dumps({"format": "mtgrpo-state", "version": 1}): "payload is missing",
    }
    for text, message in damage.items():
        file.write_text(text)
        with pytest.raises(StateError, match=message) as info:
            load_state(file)
        assert str(file) in str(info.value)


def test_checkpoints_are_found_in_order(tmp_path: Path) -> None:
    with RunLog.create(tmp_path, TASKS) as log:
        for step in (100, 20, 3):
            log.checkpoint_path(step).mkdir(parents=True)
        (tmp_path / "checkpoints" / "checkpoint-x").mkdir()
    assert list(read_run(tmp_path).checkpoints()) == [3, 20, 100]


def test_reading_needs_no_torch() -> None:
    code = "import sys, mtgrpo.runlog; sys.exit(bool({'torch', 'yaml', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
