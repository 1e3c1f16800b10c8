"""A campaign of faults against `mtgrpo train`: random kills, spoiled files, full disks, signals, bad rewards.

nice python benchmarks/faults.py             # everything; what was done before is kept
nice python benchmarks/faults.py --only kill # the faults whose name begins so

Every run is the command line in a process of its own, on the embedded model: one started anew for the run that nothing
happens to, forked from this one, which has everything imported, for all others. A run that was killed or stopped is
resumed until it ends, and then compared with the first: metrics (all but times), evaluations, completions, the mixer's
state and the model's weights, bit for bit.

Work goes to runs/faults/, the tally to faults.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import random
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

import yaml

import mtgrpo

RECORD = Path(__file__).with_suffix(".json")
WORK = Path("runs/faults").absolute()
STEPS, EVERY = 12, 3
NUM_TRIALS = 12
LOADING_S = 4.0  # about what a process takes from its start to its first step
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "1000"}
TIMES = ("_s", "_time", "runtime", "per_second")
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
    """Part of the campaign. The docstring says what is expected; `ok` of the outcome whether it was so."""
    FAULTS[function.__name__] = function
    return function


# ---- running ---------------------------------------------------------------------------------------------------
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
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
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
    return Process(
        ["train", str(config or WORK / "config.yaml"), "--output", str(run), "--resume"], preexec
    )


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
    lines = [line for line in text.splitlines() if line.startswith("error: ")]
    shown = lines[0] if len(lines) == 1 else f"{len(lines)} error lines: {text[-400:]}"
    return re.sub(r"process \d+", "process N", shown.replace(str(WORK), "runs/faults"))


def whole() -> Path:
    """The run that nothing happens to."""
    run = WORK / "whole"
    if not (run / "summary.json").is_file():
        shutil.rmtree(run, ignore_errors=True)
        command = [
            sys.executable,
            "-m",
            "mtgrpo",
            "train",
            str(WORK / "config.yaml"),
            "--output",
            str(run),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return run


def lines(path: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.endswith(TIMES)} for line in found]


def differences(run: Path) -> list[str]:
    """In what a run differs from the uninterrupted one; empty when in nothing."""
    other, found = whole(), list[str]()
    for name in ("metrics.jsonl", "evaluations.jsonl", "completions.jsonl"):
        if lines(run / name) != lines(other / name):
            found.append(name)
    last = f"checkpoints/checkpoint-{UPDATES}"
    for name in (f"{last}/mixer.json", f"{last}/optimizer.pt", "model/model.safetensors"):
        if (run / name).read_bytes() != (other / name).read_bytes():
            found.append(name)
    summary = json.loads((run / "summary.json").read_text())
    if (summary["status"], summary["steps"]) != ("finished", UPDATES):
        found.append("summary.json")
    return found


def copy_of_whole(run: Path) -> None:
    """A run that was killed just before its end."""
    shutil.copytree(whole(), run)
    (run / "summary.json").unlink()
    shutil.rmtree(run / "model")


def files(run: Path) -> dict[str, tuple[int, int]]:
    found = (p for p in sorted(run.rglob("*")) if p.is_file())
    return {str(p.relative_to(run)): (p.stat().st_size, p.stat().st_mtime_ns) for p in found}


def num_logged(run: Path) -> int:
    try:
        return (run / "metrics.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def opened_after(run: Path, moment: float) -> bool:
    """Whether a process has taken the directory over since, and cut the log back to its checkpoint."""
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


# ---- kill -9 ---------------------------------------------------------------------------------------------------
def step_seconds() -> float:
    times = [
        json.loads(line)["elapsed_s"]
        for line in (whole() / "metrics.jsonl").read_text().splitlines()
    ]
    return (times[-1] - times[0]) / (len(times) - 1)


def where(run: Path) -> dict[str, Any]:
    """What a killed run leaves behind."""
    found = sorted(
        (run / "checkpoints").glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2])
    )
    return {
        "steps_logged": num_logged(run),
        "whole_checkpoints": [p.name for p in found if (p / "checkpoint.json").exists()],
        "half_written": [p.name for p in found if not (p / "checkpoint.json").exists()],
        "finished_training": (run / "model").exists(),
    }


def kill_at_random(run: Path, rng: random.Random) -> list[dict[str, Any]]:
    """One to four kills, each somewhere between opening the directory and the end, then to the end."""
    kills: list[dict[str, Any]] = []
    for _ in range(rng.randint(1, 4)):
        begun, now = num_logged(run), time.time()
        process = start(run)
        moment = rng.uniform(begun - 1.0, STEPS + 1.5)

        def ready(moment: float = moment, begun: int = begun, now: float = now) -> bool:
            if moment < begun:  # anywhere in the seconds it takes to load everything
                return True
            return opened_after(run, now) and num_logged(run) >= min(int(moment), STEPS)

        if wait_for(ready, process):
            pause = (moment % 1.0) * (LOADING_S if moment < begun else step_seconds())
            process.wait(pause)
        if process.poll() is not None:
            break
        kill(process)
        kills.append(where(run))
    return kills


def trial(number: int) -> Callable[[Path], Outcome]:
    def kills(run: Path) -> Outcome:
        done = kill_at_random(run, random.Random(f"faults {number}"))
        code, text = resume(run)
        found = differences(run) if code == 0 else [text[-400:]]
        return {
            "kills": done,
            "exit_code": code,
            "differences": found,
            "ok": code == 0 and not found,
        }

    kills.__doc__ = "killed at random moments and resumed: the run of an uninterrupted process"
    return kills


for number in range(NUM_TRIALS):
    FAULTS[f"kill_{number:02}"] = trial(number)

MOMENTS = (
    "checkpoints/checkpoint-12/mixer.json",
    "checkpoints/checkpoint-12/model.safetensors",
    "checkpoints/checkpoint-12/optimizer.pt",
    "checkpoints/checkpoint-12/trainer_state.json",
    "checkpoints/checkpoint-12/checkpoint.json",
    "checkpoints/checkpoint-24/checkpoint.json",
    "model",
)


def at(path: str) -> Callable[[Path], Outcome]:
    def inject(run: Path) -> Outcome:
        process = start(run)
        hit = wait_for((run / path).exists, process)
        kill(process)
        left = where(run)
        code, text = resume(run)
        found = differences(run) if code == 0 else [text[-400:]]
        return {
            "kills": [left],
            "exit_code": code,
            "differences": found,
            "ok": hit and code == 0 and not found,
        }

    inject.__doc__ = (
        f"killed the moment {path} appears, and resumed: the run of an uninterrupted process"
    )
    return inject


for moment in MOMENTS:
    FAULTS[f"kill_at_{moment.rpartition('checkpoint-')[2].replace('/', '_')}"] = at(moment)


# ---- the campaign ----------------------------------------------------------------------------------------------
def main() -> None:
    import fault_kinds  # noqa: F401 - registers the other faults

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="+", default=[""], help="faults whose names begin so, in this order"
    )
    parser.add_argument("--again", action="store_true", help="also those that were done before")
    arguments = parser.parse_args()
    os.environ |= ENVIRONMENT
    WORK.mkdir(parents=True, exist_ok=True)
    (WORK / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    whole()
    chosen = {
        name: FAULTS[name]
        for prefix in arguments.only
        for name in FAULTS
        if name.startswith(prefix)
    }
    for name, inject in chosen.items():
        done = WORK / f"{name}.json"
        if arguments.again or not done.exists():
            run = WORK / name
            shutil.rmtree(run, ignore_errors=True)
            begin = time.monotonic()
            expected = " ".join((inject.__doc__ or "").split())
            outcome = {"fault": name, "expected": expected, "commit": commit(), **inject(run)}
            done.write_text(json.dumps(outcome))
            shutil.rmtree(run, ignore_errors=True)
            print(
                f"{'ok  ' if outcome['ok'] else 'FAIL'} {name} ({time.monotonic() - begin:.0f} s)",
                flush=True,
            )
            write_record()
    write_record()


def commit() -> str:
    """Of the package that is tested."""
    command = ["git", "-C", str(Path(mtgrpo.__file__).parent), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def write_record() -> None:
    """All outcomes so far."""
    outcomes = [
        json.loads((WORK / f"{name}.json").read_text())
        for name in FAULTS
        if (WORK / f"{name}.json").exists()
    ]
    kills = [kill for outcome in outcomes for kill in outcome.get("kills", ())]
    record = {
        "kills": len(kills),
        "kills_with_a_half_written_checkpoint": sum(bool(kill["half_written"]) for kill in kills),
        "kills_by_steps_logged": {
            str(n): sum(k["steps_logged"] == n for k in kills) for n in range(STEPS + 1)
        },
        "runs_that_differ_after_resuming": sum(
            bool(outcome.get("differences")) for outcome in outcomes
        ),
        "faults": len(outcomes),
        "not_as_expected": [outcome["fault"] for outcome in outcomes if not outcome["ok"]],
        "not_injected": [outcome["fault"] for outcome in outcomes if outcome.get("skipped")],
        "not_run": [name for name in FAULTS if not (WORK / f"{name}.json").exists()],
        "config": CONFIG,
    }
    text = json.dumps(record, indent=1)[:-2] + ',\n "outcomes": [\n'
    RECORD.write_text(
        text + ",\n".join("  " + json.dumps(outcome) for outcome in outcomes) + "\n ]\n}\n"
    )


if __name__ == "__main__":
    sys.modules["faults"] = sys.modules["__main__"]  # `fault_kinds` adds to this very campaign
    main()
