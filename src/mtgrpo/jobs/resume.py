"""Whether and where a run in a directory can go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtgrpo.config import ResolvedRun, load_config, parse_config
from mtgrpo.errors import RunError, StateError
from mtgrpo.runlog import read_run
from mtgrpo.runlog.checkpoints import SEAL_FILE, newest, set_aside
from mtgrpo.runlog.files import os_errors_as
from mtgrpo.tasks import TaskSet

# Keys of a configuration that may differ when a run is resumed: how long it goes on and how closely it is watched.
RESUMABLE = frozenset({"steps", "evaluation", "checkpoint", "threads", "output"})
# And of a task: a run that a failing reward ended goes on under another timeout or policy.
RESUMABLE_OF_TASK = frozenset({"scoring"})


def finished_summary(out: Path, config: ResolvedRun) -> dict[str, Any] | None:
    """The summary of a run that has nothing left to do, None otherwise."""
    with os_errors_as(out, "read"):
        if not (out / "summary.json").is_file():
            return None
    run = read_run(out)
    summary = dict(run.summary or {})
    if (
        summary.get("status") != "finished"
        or summary.get("steps", 0) < config.steps * config.updates_per_step
    ):
        return None
    check_same_run(out, config)
    return {
        **summary,
        "lines": [f"already finished: {out}; remove it or choose another --output to train again"],
    }


def logged_evaluation(out: Path, step: int) -> dict[str, dict[str, float]]:
    """What an earlier process found and logged at a step, task by task; empty when there is no such evaluation.

    A run that was killed after its last evaluation has it nowhere else.
    """
    found = [evaluation for evaluation in read_run(out).evaluations if evaluation.step == step]
    return {
        name: {
            "accuracy": task.accuracy,
            "reward": task.reward,
            "std_error": task.std_error,
            "num_prompts": task.num_prompts,
        }
        for evaluation in found[-1:]
        for name, task in evaluation.tasks.items()
    }


def check_same_run(out: Path, config: ResolvedRun) -> None:
    """Refuse to go on with a run that was started with another configuration.

    Raises:
        RunError: A key differs that may not; the message shows both values.
    """
    where = out / "config.yaml"
    saved = _comparable(load_config(str(where)).as_dict())
    now = _comparable(parse_config(config.as_dict(), "configuration").as_dict())
    differing = sorted(key for key in now if key not in RESUMABLE and now[key] != saved.get(key))
    if differing:
        key = differing[0]
        raise RunError(
            f"{out}: started with {key}={saved.get(key)!r}, now {now[key]!r} "
            f"({len(differing)} keys differ: {', '.join(differing)}); resume with the same configuration, "
            "or choose another --output"
        )


def _comparable(config: dict[str, Any]) -> dict[str, Any]:
    tasks = [
        {k: v for k, v in task.items() if k not in RESUMABLE_OF_TASK} for task in config["tasks"]
    ]
    return {**config, "tasks": tasks}


def checkpoint_to_resume(
    out: Path, tasks: TaskSet, tell: Callable[[str], None], *, tidy: bool
) -> Path | None:
    """The newest whole checkpoint of a run; None when no step was saved yet.

    One that was still being written when the run ended, and one that is damaged, are passed over with a word: the run
    takes the same decisions from an earlier one.

    Args:
        out: Run directory.
        tasks: The tasks to resume with.
        tell: Gets one line per checkpoint that is passed over.
        tidy: Move those out of the way; for the process that holds the directory's lock.

    Raises:
        StateError: It is of other tasks; or there are checkpoints, and all of them are damaged.
    """
    from mtgrpo.integrations.trl.setup import check_resume

    found = newest(out / "checkpoints")
    finished = {
        path: wrong for path, wrong in found.unusable.items() if (path / SEAL_FILE).exists()
    }
    if found.path is None and finished:
        path, wrong = next(iter(finished.items()))
        raise StateError(
            f"{path}: {wrong}; none of the {len(finished)} checkpoints of this run is whole; restore one, or start "
            "again with another --output"
        )
    for path, wrong in found.unusable.items():
        tell(
            f"{path}: {wrong}; "
            + (f"going back to {found.path.name}" if found.path else "starting from step 0")
        )
    if found.path is not None:
        check_resume(found.path, tasks)
    if tidy:
        for path in found.unusable:
            set_aside(path)
    return found.path
