"""`mtgrpo train` under faults: what it says, what it leaves, and that a resumed run is the uninterrupted one."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtgrpo.cli import main
from mtgrpo.runlog import checkpoints, load_state, save_state

# Does at its n-th call what a file beside it says, once.
REWARD = """
import json, os, pathlib, signal

PLAN = pathlib.Path(__file__).with_name("fault.json")

def exact(completions, answer, **columns):
    if PLAN.exists():
        plan = json.loads(PLAN.read_text())
        plan["calls"] -= 1
        if plan["calls"] > 0:
            PLAN.write_text(json.dumps(plan))
        else:
            PLAN.unlink()
            for name in plan["signals"]:
                os.kill(os.getpid(), getattr(signal, name))
    return [float(c.strip() == a) for c, a in zip(completions, answer)]
"""
TIMES = ("_s", "_time", "runtime", "per_second", "elapsed_s")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows, the reward and a run that nothing happens to."""
    place = tmp_path_factory.mktemp("faults")
    rows = "".join(json.dumps({"prompt": f"{i}=", "answer": str(i)}) + "\n" for i in range(20))
    (place / "rows.jsonl").write_text(rows)
    (place / "reward.py").write_text(REWARD)
    config = {
        "tasks": [
            {"tiny": "zebra", "level": "easy"},
            {
                "rows": str(place / "rows.jsonl"),
                "name": "say",
                "reward": f"{place / 'reward.py'}:exact",
                "test_fraction": 0.2,
            },
        ],
        "steps": 6,
        "batch_size": 4,
        "group_size": 4,
        "learning_rate": 1e-4,
        "max_completion_length": 6,
        "evaluation": {"samples_per_prompt": 2, "prompts_per_task": 4},
        "checkpoint": {"every": 2, "keep": 2},
    }
    (place / "config.yaml").write_text(yaml.safe_dump(config))
    assert train(place, "whole") == 0
    return place


@pytest.fixture(autouse=True)
def no_plan_is_left(folder: Path) -> Iterator[None]:
    yield
    assert not (folder / "fault.json").exists(), "the fault never happened"


def train(folder: Path, name: str, *more: str) -> int:
    return main(["train", str(folder / "config.yaml"), "--output", str(folder / name), *more])


def plan(folder: Path, calls: int, *signals: str) -> None:
    (folder / "fault.json").write_text(json.dumps({"calls": calls, "signals": signals}))


def lines(run: Path, file: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (run / file).read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.endswith(TIMES)} for line in found]


def assert_same(folder: Path, name: str) -> None:
    """The run took the same decisions, measured the same and ended with the same weights."""
    for file in ("metrics.jsonl", "evaluations.jsonl", "completions.jsonl"):
        assert lines(folder / name, file) == lines(folder / "whole", file)
    weights = [
        (folder / run / "model" / "model.safetensors").read_bytes() for run in (name, "whole")
    ]
    assert weights[0] == weights[1]
    states = [
        (folder / run / "checkpoints" / "checkpoint-6" / "mixer.json").read_text()
        for run in (name, "whole")
    ]
    assert states[0] == states[1]
    summary = json.loads((folder / name / "summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("finished", 6)


def status(run: Path) -> str:
    return json.loads((run / "summary.json").read_text())["status"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_finishes_the_step_saves_and_says_how_to_go_on(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder / name
    plan(folder, 4, name)  # one call is the evaluation's
    assert train(folder, name) == 130
    printed = capsys.readouterr().out
    assert "stopping after this step" in printed
    step = lines(run, "metrics.jsonl")[-1]["step"]
    assert 1 <= step < 6
    assert (
        f"interrupted; continue with the same command and --resume (from step {step};"
        in " ".join(printed.split())
    )
    assert checkpoints.defect(run / "checkpoints" / f"checkpoint-{step}") == ""
    assert status(run) == "interrupted"
    assert not (run / ".lock").exists()
    assert train(folder, name, "--resume") == 0
    assert_same(folder, name)


def test_a_second_signal_stops_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan(folder, 5, "SIGTERM", "SIGINT")
    assert train(folder, "twice") == 130
    assert status(folder / "twice") == "interrupted"
    assert "continue with the same command and --resume" in " ".join(
        capsys.readouterr().out.split()
    )
    assert train(folder, "twice", "--resume") == 0
    assert_same(folder, "twice")


def test_a_signal_before_the_first_step_stops_at_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan(folder, 1, "SIGTERM")  # in the evaluation before training
    assert train(folder, "early") == 130
    assert "no step was saved yet" in " ".join(capsys.readouterr().out.split())
    assert train(folder, "early", "--resume") == 0
    assert_same(folder, "early")


def damage(run: Path, step: int) -> None:
    file = run / "checkpoints" / f"checkpoint-{step}" / "optimizer.pt"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)


def end_early(run: Path) -> None:
    """As if the run had been killed just before it wrote its summary."""
    (run / "summary.json").unlink()
    shutil.rmtree(run / "model")


def test_resume_falls_back_over_damaged_and_half_written_checkpoints(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder / "fallback"
    shutil.copytree(folder / "whole", run)
    end_early(run)
    damage(run, 6)
    half = run / "checkpoints" / "checkpoint-8"
    half.mkdir()
    (half / "mixer.json").write_text("{")
    assert train(folder, "fallback", "--resume") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "optimizer.pt was changed or damaged; going back to checkpoint-4" in printed
    assert "still being written" in printed
    assert_same(folder, "fallback")
    names = sorted(
        p.name for p in (run / "checkpoints").iterdir() if p.is_dir()
    )  # TRL adds a README.md
    assert names == ["checkpoint-4", "checkpoint-6", "unusable-checkpoint-6"]


def lose_lines(run: Path) -> None:
    log = run / "metrics.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:5]))


def rename_beyond(run: Path) -> None:
    shutil.copytree(run / "checkpoints" / "checkpoint-4", run / "checkpoints" / "checkpoint-8")


def make_foreign(run: Path) -> None:
    """As a sound checkpoint of a run with another seed and the same tasks."""
    seal = run / "checkpoints" / "checkpoint-6" / checkpoints.SEAL_FILE
    content = load_state(seal)
    content["seed"] = 1
    content["log"]["run_id"] = "another"
    save_state(seal, content)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lose_lines,
            "checkpoint-6: metrics.jsonl lacks 1 of 6 lines it had when this was saved: step 6; "
            "going back to checkpoint-4",
        ),
        (
            rename_beyond,
            "checkpoint-8: it is the checkpoint of step 4 under another name; going back to checkpoint-6",
        ),
        (
            make_foreign,
            "checkpoint-6: it is of another run (with seed 1); going back to checkpoint-4",
        ),
    ],
)
def test_resume_falls_back_over_checkpoints_that_do_not_belong(
    spoil: Callable[[Path], None],
    said: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = spoil.__name__
    shutil.copytree(folder / "whole", folder / name)
    end_early(folder / name)
    spoil(folder / name)
    assert train(folder, name, "--resume") == 0
    assert said in " ".join(capsys.readouterr().out.split())
    assert_same(folder, name)


def test_a_log_that_reaches_no_checkpoint_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder / "lost log"
    shutil.copytree(folder / "whole", run)
    end_early(run)
    (run / "metrics.jsonl").write_text("")
    assert train(folder, "lost log", "--resume") == 2
    refusal = capsys.readouterr().err
    assert "metrics.jsonl lacks 6 of 6 lines it had when this was saved: steps 1 to 6" in refusal
    assert "restore what is missing, or start again with another --output" in refusal


def test_without_a_whole_checkpoint_the_run_is_refused_and_left_as_it_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder / "hopeless"
    shutil.copytree(folder / "whole", run)
    end_early(run)
    for step in (4, 6):
        damage(run, step)
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file()}
    assert train(folder, "hopeless", "--resume") == 2
    assert "no checkpoint of this run can be used (2 tried)" in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file()} == before


def test_a_run_killed_after_its_last_step_trains_no_further(folder: Path) -> None:
    run = folder / "ended"
    shutil.copytree(folder / "whole", run)
    end_early(run)
    evaluations = (run / "evaluations.jsonl").read_text().splitlines()
    (run / "evaluations.jsonl").write_text(evaluations[0] + "\n")
    assert train(folder, "ended", "--resume") == 0
    assert_same(folder, "ended")


def test_litter_of_a_killed_start_is_no_foreign_file(folder: Path) -> None:
    run = folder / "litter"
    run.mkdir()
    (run / ".run.json.abc.tmp").write_text("{")
    (run / ".lock").write_text("")
    assert train(folder, "litter", "--resume", "--set", "steps=1") == 0
    assert not (run / ".run.json.abc.tmp").exists()


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_fills_up_while_saving_ends_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real: Callable[..., None] = checkpoints.seal

    def seal(path: Path, **belongs_to: Any) -> None:
        if path.name == "checkpoint-4":
            full()
        real(path, **belongs_to)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "seal", seal)
        assert train(folder, "full") == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("error: ")
    assert line.count("\n") == 0
    for part in (
        "checkpoint-4: cannot be written (No space left on device)",
        "the last good one is",
        "checkpoint-2",
    ):
        assert part in line
    assert status(folder / "full") == "failed"
    assert train(folder, "full", "--resume") == 0
    assert_same(folder, "full")


@pytest.mark.parametrize("place", ["the log", "the start"])
def test_a_full_disk_ends_in_one_line_wherever_it_is_met(
    place: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"full at {place}"
    with monkeypatch.context() as patch:
        if place == "the log":
            from mtgrpo.runlog import line_file

            real = line_file.append_line
            patch.setattr(line_file, "append_line", lambda path, line: full_at(path, line, real))
        else:
            patch.setattr(os, "replace", full)
        assert train(folder, name) == 2
    line = capsys.readouterr().err.strip()
    assert "No space left on device" in line
    assert line.count("\n") == 0
    assert train(folder, name, "--resume") == 0
    assert_same(folder, name)


def full_at(path: Path, line: dict[str, Any], real: Callable[..., None]) -> None:
    from mtgrpo.errors import RunError

    if path.name == "metrics.jsonl" and line["step"] == 3:
        raise RunError(f"{path}: cannot be written (No space left on device)")
    real(path, line)


def test_a_directory_in_use_is_left_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = folder / "used"
    shutil.copytree(folder / "whole", run)
    end_early(run)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        before = sorted(p.stat().st_mtime_ns for p in run.rglob("*"))
        assert train(folder, "used", "--resume") == 2
        assert f"in use by process {holder.pid}; wait for it" in capsys.readouterr().err
        assert sorted(p.stat().st_mtime_ns for p in run.rglob("*")) == before
    finally:
        holder.kill()
        holder.communicate()
    assert train(folder, "used", "--resume") == 0  # its holder is dead
    assert_same(folder, "used")


HOLDER = """
import sys, time
from mtgrpo.runlog import RunLog
log = RunLog.resume(sys.argv[1])
print("held", flush=True)
time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "at", ["checkpoint-4/mixer.json", "checkpoint-4/trainer_state.json", "checkpoint-6"]
)
def test_kill_9_while_saving(at: str, folder: Path) -> None:
    name = f"killed at {at.replace('/', ' ')}"
    run = folder / name
    command = [
        sys.executable,
        "-c",
        KILLED,
        str(run / "checkpoints" / at),
        str(folder / "config.yaml"),
        str(run),
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert (run / "checkpoints" / at).exists()
    assert (run / ".lock").exists()
    assert train(folder, name, "--resume") == 0
    assert_same(folder, name)


# A thread ends the process the moment a path appears.
KILLED = """
import os, signal, sys, threading
from mtgrpo.cli import main
def watch():
    while not os.path.exists(sys.argv[1]):
        pass
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=watch, daemon=True).start()
main(["train", sys.argv[2], "--output", sys.argv[3]])
"""
