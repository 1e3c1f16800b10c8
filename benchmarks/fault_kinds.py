"""The faults of `faults.py` besides kills: files, disks, signals, directories, and rewards."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from faults import (
    CONFIG,
    FAULTS,
    UPDATES,
    WORK,
    Outcome,
    copy_of_whole,
    differences,
    error,
    fault,
    files,
    finish,
    num_logged,
    resume,
    start,
    wait_for,
    whole,
)

from mtgrpo.runlog import load_state, save_state


def ends_well(run: Path, code: int, text: str, **seen: Any) -> Outcome:
    """The outcome of a run that should have ended like the uninterrupted one."""
    found = differences(run) if code == 0 else [text[-400:]]
    return {**seen, "exit_code": code, "differences": found, "ok": code == 0 and not found}


def refused(
    run: Path, code: int, text: str, *parts: str, untouched: bool = True, **seen: Any
) -> Outcome:
    """The outcome of a run that should have been refused in one line that has all the parts."""
    line = error(text)
    ok = code == 2 and untouched and all(part in line for part in parts)
    return {**seen, "exit_code": code, "message": line, "nothing_changed": untouched, "ok": ok}


# ---- files that were spoiled -----------------------------------------------------------------------------------
def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def foreign(path: Path) -> None:
    """A sound state of another run."""
    state = load_state(path)
    state["mixer"]["tasks"] = ["other", "tasks", "altogether"]
    save_state(path, state)


def spoiled(name: str, damage: Callable[[Path], None]) -> Callable[[Path], Outcome]:
    def inject(run: Path) -> Outcome:
        copy_of_whole(run)
        damage(run / "checkpoints" / f"checkpoint-{UPDATES}" / name)
        code, text = resume(run)
        said = [line for line in text.splitlines() if "going back to" in line]
        outcome = ends_well(
            run, code, text, message=[line.replace(str(WORK), "runs/faults") for line in said]
        )
        return {**outcome, "ok": outcome["ok"] and len(said) == 1 and name in said[0]}

    inject.__doc__ = "--resume says which file is wrong, goes back one checkpoint and ends as if nothing had happened"
    return inject


FAULTS["file_torn_state"] = spoiled("mixer.json", tear)
FAULTS["file_foreign_state"] = spoiled("mixer.json", foreign)
FAULTS["file_torn_model"] = spoiled("model.safetensors", tear)
FAULTS["file_changed_optimizer"] = spoiled("optimizer.pt", flip)
FAULTS["file_torn_trainer_state"] = spoiled("trainer_state.json", tear)
FAULTS["file_torn_seal"] = spoiled("checkpoint.json", tear)


@fault
def file_all_checkpoints_torn(run: Path) -> Outcome:
    """refused with exit code 2; nothing is changed"""
    copy_of_whole(run)
    for state in run.glob("checkpoints/*/mixer.json"):
        tear(state)
    before = files(run)
    code, text = resume(run)
    return refused(
        run, code, text, "mixer.json", "none of the 2 checkpoints", untouched=files(run) == before
    )


@fault
def file_torn_log_lines(run: Path) -> Outcome:
    """half a last line is dropped; the run ends as if nothing had happened"""
    copy_of_whole(run)
    for name in ("metrics.jsonl", "evaluations.jsonl", "completions.jsonl"):
        with open(run / name, "a") as file:
            file.write('{"step": 24, "roll')
    return ends_well(run, *resume(run))


@fault
def config_other_tasks(run: Path) -> Outcome:
    """resuming with other tasks is refused with exit code 2; nothing is changed"""
    copy_of_whole(run)
    before = files(run)
    config = WORK / "other.yaml"
    config.write_text(yaml.safe_dump({**CONFIG, "tasks": CONFIG["tasks"][:2]}))
    code, text = finish(start(run, config))
    return refused(run, code, text, "started with tasks=", untouched=files(run) == before)


# ---- signals ---------------------------------------------------------------------------------------------------
def stopped_by(*signals: int, ignored: bool = False) -> Callable[[Path], Outcome]:
    def inject(run: Path) -> Outcome:
        def ignore() -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

        process = start(run, preexec=ignore if ignored else None)
        wait_for(lambda: num_logged(run) >= 4, process)
        for number in signals:
            process.send_signal(number)
            time.sleep(0.02)
        code, text = finish(process)
        said = [line for line in text.splitlines() if "--resume" in line]
        stopped = code == 130 and len(said) == 1 and "Traceback" not in text
        again, text = resume(run)
        outcome = ends_well(run, again, text, exit_code_when_stopped=code)
        outcome["message"] = [line.replace(str(WORK), "runs/faults") for line in said]
        return {**outcome, "ok": outcome["ok"] and stopped}

    inject.__doc__ = "exit code 130, says how to go on; resumed, it ends as if nothing had happened"
    return inject


FAULTS["signal_sigint"] = stopped_by(signal.SIGINT)
FAULTS["signal_sigterm"] = stopped_by(signal.SIGTERM)
FAULTS["signal_sigint_ignored_by_the_shell"] = stopped_by(signal.SIGINT, ignored=True)
FAULTS["signal_twice"] = stopped_by(signal.SIGTERM, signal.SIGINT)


# ---- disks and directories -------------------------------------------------------------------------------------
@contextlib.contextmanager
def small_disk(run: Path, size: str) -> Iterator[bool]:
    """A file system of its own for a run; False where we may not mount one."""
    run.mkdir(parents=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(run)], capture_output=True
    )
    try:
        yield made.returncode == 0
    finally:
        if made.returncode == 0:
            subprocess.run(["umount", str(run)], check=True)


def remount(run: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(run)], check=True)


SKIPPED: Outcome = {"skipped": "no right to mount a file system here", "ok": False}


@fault
def disk_full_while_saving(run: Path) -> Outcome:
    """exit code 2, one line that names the last good checkpoint; with more room, resumed, as if nothing had happened"""
    megabytes = (
        sum(size for size, _ in files(whole() / "checkpoints" / f"checkpoint-{UPDATES}").values())
        / 2**20
    )
    with small_disk(run, f"{int(1.5 * megabytes * 1024)}k") as mounted:
        if not mounted:
            return SKIPPED
        first, said = finish(start(run))
        line = error(said)
        named = "the last good one is" in line and "No space left on device" in line
        remount(run, "size=1g")
        code, text = resume(run)
        outcome = ends_well(run, code, text, exit_code_when_full=first, message=line)
        return {**outcome, "ok": outcome["ok"] and first == 2 and named}


@fault
def disk_full_from_the_start(run: Path) -> Outcome:
    """exit code 2 in one line; with room, as if nothing had happened"""
    with small_disk(run, "64k") as mounted:
        if not mounted:
            return SKIPPED
        (run / ".ballast.tmp").write_bytes(bytes(64 * 1024))
        first, said = finish(start(run))
        line = error(said)
        (run / ".ballast.tmp").unlink(missing_ok=True)
        remount(run, "size=1g")
        code, text = resume(run)
        outcome = ends_well(run, code, text, exit_code_when_full=first, message=line)
        return {**outcome, "ok": outcome["ok"] and first == 2 and "No space left on device" in line}


@fault
def disk_read_only(run: Path) -> Outcome:
    """exit code 2 in one line; writable again, as if nothing had happened"""
    with small_disk(run, "1g") as mounted:
        if not mounted:
            return SKIPPED
        copy = WORK / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy_of_whole(copy)
        shutil.copytree(copy, run, dirs_exist_ok=True)
        remount(run, "ro")
        first, said = finish(start(run))
        line = error(said)
        remount(run, "rw")
        code, text = resume(run)
        outcome = ends_well(run, code, text, exit_code_when_read_only=first, message=line)
        return {**outcome, "ok": outcome["ok"] and first == 2 and "Read-only file system" in line}


@fault
def directory_without_permission(run: Path) -> Outcome:
    """a user without rights is refused with exit code 2 in one line"""
    if os.geteuid() != 0:
        return {"skipped": "only root can become a user without rights", "ok": False}
    run.mkdir()
    run.chmod(0o700)

    def nobody() -> None:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    process = start(run / "inside", preexec=nobody)
    return refused(run, *finish(process), "Permission denied")


@fault
def directory_of_somebody_else(run: Path) -> Outcome:
    """a directory that holds other files is refused with exit code 2 and left alone"""
    run.mkdir()
    (run / "thesis.tex").write_text("mine")
    before = files(run)
    return refused(run, *resume(run), "not empty and not a run", untouched=files(run) == before)


@fault
def directory_in_use(run: Path) -> Outcome:
    """a second process is refused with exit code 2; the first ends as if nothing had happened"""
    process = start(run)
    wait_for(lambda: num_logged(run) >= 2, process)
    process.send_signal(signal.SIGSTOP)  # or it might be over before the second one has started
    second, said = resume(run)
    process.send_signal(signal.SIGCONT)
    code, text = finish(process)
    outcome = ends_well(run, code, text, exit_code_of_second=second, message=error(said))
    return {**outcome, "ok": outcome["ok"] and second == 2 and "in use by process" in error(said)}


# ---- rewards ---------------------------------------------------------------------------------------------------
REWARD = """
import ctypes, os, pathlib, signal, sys, time
FAULT = pathlib.Path(__file__).with_name("fault")

def exact(prompts, completions, answer, **columns):
    act = FAULT.read_text() if FAULT.exists() and answer[0].endswith(("3", "7")) else ""
    if act == "hang": time.sleep(3600)
    if act == "hang in C": ctypes.PyDLL(None).sleep(3600)
    if act == "raise": raise KeyError("answer")
    if act == "exit": sys.exit(0)
    if act == "crash": os.kill(os.getpid(), signal.SIGSEGV)
    if act == "NaN": return [float("nan")] * len(completions)
    if act == "None": return [None] * len(completions)
    if act == "too few": return [0.0] * (len(completions) - 1)
    time.sleep(0.2 if act == "slow" else 0.0)
    return [float(c.strip().startswith(a[0])) for c, a in zip(completions, answer)]
"""
ROWS, SHORT = 40, 4


def reward_run(folder: Path, act: str, scoring: dict[str, Any]) -> tuple[int, str]:
    """Four steps of a task whose reward fails on every fifth row."""
    folder.mkdir(exist_ok=True)
    (folder / "reward.py").write_text(REWARD)
    (folder / "fault").write_text(act)
    rows = "".join(
        json.dumps({"prompt": f"{i:02}=", "answer": f"{i:02}"}) + "\n" for i in range(ROWS)
    )
    (folder / "rows.jsonl").write_text(rows)
    task = {
        "rows": str(folder / "rows.jsonl"),
        "name": "say",
        "reward": f"{folder / 'reward.py'}:exact",
    }
    changes = {
        "tasks": [CONFIG["tasks"][1], {**task, "scoring": scoring}],
        "steps": SHORT,
        "preset": "grpo",
        "evaluation": {"samples_per_prompt": 2, "prompts_per_task": 2},
        "checkpoint": {"every": 1},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **changes}))
    return finish(start(folder / "run", folder / "config.yaml"))


def seen(folder: Path) -> dict[str, Any]:
    """What a run's log says about the task's rewards."""
    found = [
        json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    dropped = [line.get("task/say/dropped/unscorable", 0) for line in found]
    times = [line["task/say/reward_time_s"] for line in found if "task/say/reward_time_s" in line]
    p95 = [
        line["task/say/reward_time_p95_s"] for line in found if "task/say/reward_time_p95_s" in line
    ]
    rewards = [line["task/say/reward"] for line in found if line.get("task/say/reward") is not None]
    return {
        "steps": len(found),
        "groups_dropped": dropped,
        "seconds": [round(t, 2) for t in times],
        "p95_s": [round(t, 2) for t in p95],
        "rewards": rewards,
    }


HANGS = {"num_processes": 2, "timeout_s": 2}
ACTS: dict[str, tuple[dict[str, Any], str]] = {
    "hang": (HANGS, "no answer within timeout_s=2 s"),
    "hang in C": (HANGS, "no answer within timeout_s=2 s"),
    "crash": ({"num_processes": 2}, "its process ended in the middle of the call (signal 11)"),
    "raise": ({}, "raised KeyError: 'answer'"),
    "exit": ({}, "raised SystemExit"),
    "NaN": ({}, "returned nan"),
    "None": ({}, "returned None"),
    "too few": ({}, "values for"),
}


def fails(act: str) -> Callable[[Path], Outcome]:
    def inject(run: Path) -> Outcome:
        scoring, message = ACTS[act]
        code, text = reward_run(run, act, scoring)
        line = error(text)
        before = num_logged(run / "run")
        again, text = reward_run(run, act, {**scoring, "on_error": "drop", "max_dropped_rate": 0.5})
        after = seen(run) if (run / "run" / "metrics.jsonl").exists() else {}
        named = code == 1 and "task 'say', prompt" in line and message in line
        goes_on = again == 0 and after.get("steps") == SHORT
        return {
            "exit_code": code,
            "message": line,
            "steps_before": before,
            "resumed_with_drop": {"exit_code": again, **after},
            "ok": named and goes_on,
        }

    inject.__doc__ = "exit code 1, names task and prompt; resumed with on_error: drop, it ends"
    return inject


def drops(act: str) -> Callable[[Path], Outcome]:
    def inject(run: Path) -> Outcome:
        scoring = {**ACTS[act][0], "on_error": "drop", "max_dropped_rate": 0.5}
        code, text = reward_run(run, act, scoring)
        found = seen(run) if code == 0 else {"text": text[-400:]}
        dropped = sum(found.get("groups_dropped", ()))
        return {
            "exit_code": code,
            **found,
            "ok": code == 0 and found["steps"] == SHORT and dropped > 0,
        }

    inject.__doc__ = "exit code 0; its groups are left out and counted, the others trained on"
    return inject


for act in ACTS:
    FAULTS[f"reward_{act.replace(' ', '_')}_fail"] = fails(act)
    FAULTS[f"reward_{act.replace(' ', '_')}_drop"] = drops(act)


@fault
def reward_drops_too_many(run: Path) -> Outcome:
    """exit code 1 once more groups were dropped than the limit allows"""
    code, text = reward_run(run, "raise", {"on_error": "drop", "max_dropped_rate": 0.01})
    line = error(text)
    return {
        "exit_code": code,
        "message": line,
        "ok": code == 1 and "max_dropped_rate 0.01 allows 1 of 100" in line,
    }


@fault
def reward_slow_in_processes(run: Path) -> Outcome:
    """the same decisions as in the training process, and its time is in the metrics"""
    code, _ = reward_run(run, "slow", {})
    here = seen(run) if code == 0 else {}
    shutil.rmtree(run / "run")
    again, _ = reward_run(run, "slow", {"num_processes": 4})
    apart = seen(run) if again == 0 else {}
    ok = code == again == 0 and here["rewards"] == apart["rewards"] and max(apart["p95_s"]) >= 0.2
    return {"in_the_training_process": here, "in_4_processes": apart, "ok": ok}
