"""The laboratory of the fault campaign: runs that can be disturbed, and what is compared at the end.

Every run is the command line in a process of its own, on the embedded model: one started anew for
the run that nothing happens to, forked from the campaign, which has everything imported, for all
others.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

WORK = Path("runs/faults").absolute()
STEPS, EVERY = 12, 3
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "1000"}
TIMES = ("_s", "_time", "runtime", "per_second")
LOGS = ("metrics.jsonl", "evaluations.jsonl", "completions.jsonl")
CONFIG: dict[str, Any] = {
    "tasks": [
        {"tiny": "countdown", "level": "easy"},
        {"tiny": "zebra", "level": "medium"},
        {"tiny": "arc", "level": "easy"},
    ],
    "steps": STEPS,
    "batch_size": 8,
    "group_size": 4,
    "updates_per_step": 2,
    "learning_rate": 1e-4,
    "max_completion_length": 16,
    "evaluation": {"every": 6, "samples_per_prompt": 2, "prompts_per_task": 4},
    "checkpoint": {"every": EVERY, "keep": 2},
}
UPDATES = STEPS * CONFIG["updates_per_step"]

Outcome = dict[str, Any]
FAULTS: dict[str, Callable[[Path], Outcome]] = {}


def fault(function: Callable[[Path], Outcome]) -> Callable[[Path], Outcome]:
    """Part of the campaign.

    The docstring says what is expected; `ok` of the outcome whether it was so.
    """
    FAULTS[function.__name__] = function
    return function


class Process:
    """A child of this process that runs `mtgrpo train`, and what it prints."""

    def __init__(self, arguments: list[str], preexec: Callable[[], None] | None) -> None:
        self.printed = tempfile.TemporaryFile("w+")  # noqa: SIM115 - read when the process has ended
        self.returncode: int | None = None
        sys.stdout.flush()

        self.pid = os.fork()
        if self.pid == 0:
            code = 70

            try:
                for number in (1, 2):
                    os.dup2(self.printed.fileno(), number)

                if preexec is not None:
                    preexec()

                code = command_line(arguments)
                sys.stdout.flush()
            except SystemExit as exit_:
                code = int(exit_.code or 0)
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(code)  # nothing of the campaign itself may go on in the child

    def poll(self) -> int | None:
        """Exit code, minus the signal for one that was killed; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)

        return self.returncode

    def wait(self, seconds: float) -> bool:
        """Whether it ends within that time."""
        end = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < end:
            time.sleep(0.0005)

        return self.returncode is not None

    def send_signal(self, number: int) -> None:
        """To the process, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)


def command_line(arguments: list[str]) -> int:
    """`mtgrpo` with these arguments."""
    from mtgrpo.cli import main

    return main(arguments)


def start(
    run: Path, config: Path | None = None, preexec: Callable[[], None] | None = None
) -> Process:
    """`mtgrpo train --resume` into a directory."""
    config = config or WORK / "config.yaml"
    return Process(["train", str(config), "--output", str(run), "--resume"], preexec)


def kill(process: Process) -> None:
    process.send_signal(signal.SIGKILL)
    finish(process)


def finish(process: Process) -> tuple[int, str]:
    """Exit code and what it printed."""
    if not process.wait(3_600):
        raise TimeoutError(f"process {process.pid} does not end")

    process.printed.seek(0)
    assert process.returncode is not None
    return process.returncode, process.printed.read()


def resume(run: Path) -> tuple[int, str]:
    return finish(start(run))


def error(text: str) -> str:
    """The one line of an error, without the directory of this machine."""
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    shown = f"{len(errors)} error lines: {text[-400:]}"
    if len(errors) == 1:
        shown = errors[0]

    return re.sub(r"process \d+", "process N", shown.replace(str(WORK), "runs/faults"))


def whole() -> Path:
    """The run that nothing happens to."""
    run = WORK / "whole"
    if not (run / "summary.json").is_file():
        shutil.rmtree(run, ignore_errors=True)
        train = [sys.executable, "-m", "mtgrpo", "train", str(WORK / "config.yaml")]
        subprocess.run([*train, "--output", str(run)], check=True, stdout=subprocess.DEVNULL)

    return run


def lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, without times."""
    timeless: list[dict[str, Any]] = []
    for text in path.read_text().splitlines():
        line = json.loads(text)
        timeless.append({k: v for k, v in line.items() if not k.endswith(TIMES)})

    return timeless


def differences(run: Path) -> list[str]:
    """Files in which a run differs from the uninterrupted one."""
    other = whole()
    differing = [name for name in LOGS if lines(run / name) != lines(other / name)]

    last = f"checkpoints/checkpoint-{UPDATES}"
    for name in (f"{last}/mixer.json", f"{last}/optimizer.pt", "model/model.safetensors"):
        if (run / name).read_bytes() != (other / name).read_bytes():
            differing.append(name)

    summary = json.loads((run / "summary.json").read_text())
    if (summary["status"], summary["steps"]) != ("finished", UPDATES):
        differing.append("summary.json")

    return differing


def copy_of_whole(run: Path) -> None:
    """A run that was killed just before its end."""
    shutil.copytree(whole(), run)
    (run / "summary.json").unlink()
    shutil.rmtree(run / "model")


def files(run: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file."""
    stamps: dict[str, tuple[int, int]] = {}
    for path in sorted(run.rglob("*")):
        if path.is_file():
            status = path.stat()
            stamps[str(path.relative_to(run))] = (status.st_size, status.st_mtime_ns)

    return stamps


def num_logged(run: Path) -> int:
    try:
        return (run / "metrics.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def opened_after(run: Path, moment: float) -> bool:
    """Whether a process has since taken the directory over, and cut the log to its checkpoint."""
    try:
        return (run / "environment.json").stat().st_mtime > moment
    except FileNotFoundError:
        return False


def wait_for(condition: Callable[[], bool], process: Process) -> bool:
    """Until it holds; False when the process ended first."""
    while process.poll() is None:
        if condition():
            return True
        time.sleep(0.0005)
    return False


def ends_well(run: Path, code: int, text: str, **seen: Any) -> Outcome:
    """The outcome of a run that should have ended like the uninterrupted one."""
    differing = differences(run) if code == 0 else [text[-400:]]
    return {**seen, "exit_code": code, "differences": differing, "ok": not differing}


def refused(
    run: Path, code: int, text: str, *parts: str, untouched: bool = True, **seen: Any
) -> Outcome:
    """The outcome of a run that should have been refused in one line that has all the parts."""
    line = error(text)
    ok = code == 2 and untouched and all(part in line for part in parts)

    return {**seen, "exit_code": code, "message": line, "nothing_changed": untouched, "ok": ok}
