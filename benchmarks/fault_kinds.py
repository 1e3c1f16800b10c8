"""The faults of `faults.py` that come from files, disks, signals and directories."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml
from fault_lab import (
    CONFIG,
    EVERY,
    FAULTS,
    LOGS,
    UPDATES,
    WORK,
    Outcome,
    copy_of_whole,
    ends_well,
    error,
    fault,
    files,
    finish,
    num_logged,
    refused,
    resume,
    start,
    wait_for,
    whole,
)

from mtgrpo.runlog import load_state, save_state

AS_IF = "as if nothing had happened"


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
        message = [line.replace(str(WORK), "runs/faults") for line in said]
        outcome = ends_well(run, code, text, message=message)

        return {**outcome, "ok": outcome["ok"] and len(said) == 1 and name in said[0]}

    inject.__doc__ = f"--resume says which file is wrong, goes back one checkpoint and ends {AS_IF}"
    return inject


FAULTS["file_torn_state"] = spoiled("mixer.json", tear)
FAULTS["file_foreign_state"] = spoiled("mixer.json", foreign)
FAULTS["file_torn_model"] = spoiled("model.safetensors", tear)
FAULTS["file_changed_optimizer"] = spoiled("optimizer.pt", flip)
FAULTS["file_torn_trainer_state"] = spoiled("trainer_state.json", tear)
FAULTS["file_torn_seal"] = spoiled("checkpoint.json", tear)


# ---- files that belong elsewhere -------------------------------------------------------------------------------
def misplaced(change: Callable[[Path], None], said: str) -> Callable[[Path], Outcome]:
    def inject(run: Path) -> Outcome:
        copy_of_whole(run)
        change(run)
        code, text = resume(run)

        lines = [line for line in text.splitlines() if "going back to" in line]
        message = [line.replace(str(WORK), "runs/faults") for line in lines]
        outcome = ends_well(run, code, text, message=message)

        return {**outcome, "ok": outcome["ok"] and len(lines) == 1 and said in lines[0]}

    inject.__doc__ = (
        f"--resume says what is wrong, goes back to a checkpoint that fits and ends {AS_IF}"
    )
    return inject


def rename(run: Path) -> None:
    checkpoints = run / "checkpoints"
    before = UPDATES - EVERY * CONFIG["updates_per_step"]
    shutil.copytree(checkpoints / f"checkpoint-{before}", checkpoints / f"checkpoint-{2 * UPDATES}")


def exchange(run: Path) -> None:
    """Put the last checkpoint of a run with another seed in the place of ours."""
    other, config = run.with_name("another seed"), WORK / "another_seed.yaml"
    shutil.rmtree(other, ignore_errors=True)
    config.write_text(yaml.safe_dump({**CONFIG, "seed": 1}))
    finish(start(other, config))

    name = f"checkpoint-{UPDATES}"
    shutil.rmtree(run / "checkpoints" / name)
    shutil.copytree(other / "checkpoints" / name, run / "checkpoints" / name)
    shutil.rmtree(other)


def lose_lines(run: Path) -> None:
    """As after a power cut that took what was not yet on disk."""
    log = run / "metrics.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-2]))


FAULTS["checkpoint_under_the_name_of_another_step"] = misplaced(rename, "under another name")
FAULTS["checkpoint_of_another_seed"] = misplaced(exchange, "another run (with seed 1)")
FAULTS["log_lost_its_last_lines"] = misplaced(lose_lines, "metrics.jsonl lacks 2 of the 12 lines")


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
    for name in LOGS:
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

    inject.__doc__ = f"exit code 130, says how to go on; resumed, it ends {AS_IF}"
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
    """exit code 2, one line that names the last good checkpoint; with more room, resumed, as if
    nothing had happened"""
    checkpoint = whole() / "checkpoints" / f"checkpoint-{UPDATES}"
    num_bytes = sum(size for size, _ in files(checkpoint).values())

    with small_disk(run, f"{int(1.5 * num_bytes / 1024)}k") as mounted:
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
