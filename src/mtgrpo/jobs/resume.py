"""Whether and where a run in a directory can go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mtgrpo.config import ResolvedRun, load_config
from mtgrpo.errors import RunError, StateError
from mtgrpo.runlog import read_logged_steps
from mtgrpo.runlog.checkpoints import SEAL_FILE, Newest, newest, set_aside
from mtgrpo.tasks import TaskSet
from mtgrpo.values import shorten

# Keys of a configuration that may differ when a run is resumed: how long it goes on and how closely
# it is watched.
RESUMABLE = frozenset({"steps", "evaluation", "checkpoint", "threads", "output"})
# And of a task: a run that a failing reward ended goes on under another timeout or policy.
RESUMABLE_OF_TASK = frozenset({"scoring"})


def check_same_run(out: Path, run: ResolvedRun) -> None:
    """Refuse to go on with a run that was started with another configuration.

    Raises:
        RunError: A key differs that may not; the message shows both values.
    """
    saved = _comparable(load_config(str(out / "config.yaml")))
    now = _comparable(run)

    differing = sorted(key for key in now if now[key] != saved.get(key))
    if differing:
        key = differing[0]
        raise RunError(
            f"{out}: started with {key}={shorten(saved.get(key))}, now {shorten(now[key])} "
            f"({len(differing)} keys differ: {', '.join(differing)}); "
            "resume with the same configuration, or choose another --output"
        )


def _comparable(run: ResolvedRun) -> dict[str, Any]:
    """What may not differ, key by key."""
    plain = {key: value for key, value in run.as_dict().items() if key not in RESUMABLE}
    plain["tasks"] = [
        {key: value for key, value in task.items() if key not in RESUMABLE_OF_TASK}
        for task in plain["tasks"]
    ]
    return plain


def checkpoint_to_resume(
    out: Path, tasks: TaskSet, tell: Callable[[str], None], *, tidy: bool
) -> Path | None:
    """The newest whole checkpoint of a run; None when no step was saved yet.

    One that was still being written when the run ended, one that is damaged or of another run or
    step, and one that counts on lines that the log lacks are passed over with a word: the run
    takes the same decisions from an earlier one.

    Args:
        out: Run directory.
        tasks: The tasks to resume with.
        tell: Gets one line per checkpoint that is passed over.
        tidy: Move those out of the way; for the process that holds the directory's lock.

    Raises:
        StateError: It is of other tasks; or there are checkpoints, and none of them can be used.
    """
    from mtgrpo.integrations.trl import check_resume

    last = newest(out / "checkpoints", read_logged_steps(out))
    if last.path is None:
        _check_none_was_whole(last.unusable)
    else:
        check_resume(last.path, tasks)

    _say_what_is_passed_over(last, tell)
    if tidy:
        for path in last.unusable:
            set_aside(path)
    return last.path


def _check_none_was_whole(unusable: Mapping[Path, str]) -> None:
    sealed = {path: reason for path, reason in unusable.items() if (path / SEAL_FILE).exists()}
    if sealed:
        path, reason = next(iter(sealed.items()))
        raise StateError(
            f"{path}: {reason}; none of the {len(sealed)} checkpoints of this run can be used; "
            "restore what is missing, or start again with another --output"
        )


def _say_what_is_passed_over(last: Newest, tell: Callable[[str], None]) -> None:
    instead = "starting from step 0"
    if last.path is not None:
        instead = f"going back to {last.path.name}"
    for path, reason in last.unusable.items():
        tell(f"{path}: {reason}; {instead}")
