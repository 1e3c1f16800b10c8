"""Whether and where a run in a directory can go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtgrpo.config import ResolvedRun, load_config
from mtgrpo.core.method import show_value
from mtgrpo.errors import RunError, StateError
from mtgrpo.jobs.fit import misfit
from mtgrpo.jobs.setup import Job
from mtgrpo.runlog import read_logged_steps
from mtgrpo.runlog.checkpoints import SEAL_FILE, newest, set_aside
from mtgrpo.tasks.specs import kinds
from mtgrpo.values import shorten
from mtgrpo.yaml_text import read_yaml

# Keys of a configuration that may differ when a run is resumed: how long it goes on and how closely
# it is watched.
RESUMABLE = frozenset({"steps", "checkpoint", "threads", "output", "evaluation.every", "report_to"})
# And of a task: a run that a failing reward ended goes on under another timeout or policy.
RESUMABLE_OF_TASK = frozenset({"scoring"})
# Arguments of weightings that name tasks: they may differ where the tasks do.
NAMING_TASKS = frozenset({"weights", "phases", "floors", "ceilings", "targets"})

# Keys of a task's entry that divide the same rows into those to train on and those to test on.
DIVIDING = ("test_fraction",)


def check_same_run(out: Path, run: ResolvedRun) -> list[str]:
    """Refuse to go on with a run that was started with another configuration.

    Returns:
        A line for each entry of the tasks that was added or taken away.

    Raises:
        RunError: A key differs that may not; the message shows both values.
    """
    saved = _comparable(load_config(str(out / "config.yaml")))
    now = _comparable(run)
    tasks_before, tasks_now = saved.pop("tasks"), now.pop("tasks")
    _check_division(out, tasks_before, tasks_now)
    changes = _task_changes(tasks_before, tasks_now)

    if changes:
        for plain in (saved, now):
            rule = plain["weighting"].items()
            plain["weighting"] = {key: value for key, value in rule if key not in NAMING_TASKS}

    differing: dict[str, tuple[Any, Any]] = {}
    for name in sorted(now):
        differing |= _differences(name, saved.get(name), now[name])
    if not differing:
        return changes

    key, (was, is_now) = next(iter(differing.items()))
    differ = "1 key differs" if len(differing) == 1 else f"{len(differing)} keys differ"
    raise RunError(
        f"{out}: started with {key}={shorten(was)}, now {shorten(is_now)} "
        f"({differ}: {', '.join(differing)}); "
        f"resume with the same configuration, or choose another --output{_way_out(key, out)}"
    )


def _differences(name: str, saved: Any, now: Any) -> dict[str, tuple[Any, Any]]:
    """What differs, by its dotted name: the value as it was saved, and as it is now."""
    if not (isinstance(saved, Mapping) and isinstance(now, Mapping)):
        return {} if saved == now else {name: (saved, now)}

    differing: dict[str, tuple[Any, Any]] = {}
    for key in sorted({**saved, **now}, key=str):
        differing |= _differences(f"{name}.{key}", saved.get(key), now.get(key))
    return differing


def _comparable(run: ResolvedRun) -> dict[str, Any]:
    """What may not differ, key by key."""
    plain = run.as_dict()
    evaluation = plain.pop("evaluation")
    plain.update({f"evaluation.{key}": value for key, value in evaluation.items()})

    plain["tasks"] = [
        {key: value for key, value in task.items() if key not in RESUMABLE_OF_TASK}
        for task in plain["tasks"]
    ]
    return {key: value for key, value in plain.items() if key not in RESUMABLE}


def _task_changes(saved: Sequence[Any], now: Sequence[Any]) -> list[str]:
    gone = [f"tasks: {show_value(task)} is not there any more" for task in saved if task not in now]
    new = [f"tasks: {show_value(task)} is new" for task in now if task not in saved]
    return gone + new


def _check_division(out: Path, saved: Sequence[Any], now: Sequence[Any]) -> None:
    """Refuse to divide a task's rows otherwise: some trained on would become test rows."""
    for i, task in enumerate(now):
        for before in saved:
            if _rows_of(task) != _rows_of(before) or task.get("name") != before.get("name"):
                continue

            for key in DIVIDING:
                was, is_now = before.get(key), task.get(key)
                if was != is_now and before not in now:
                    raise RunError(
                        f"{out}: started with tasks[{i}].{key}={shorten(was)}, now "
                        f"{shorten(is_now)}: rows that were trained on could become test rows; "
                        "resume with the same, or choose another --output"
                    )


def _rows_of(task: Mapping[str, Any]) -> dict[str, Any]:
    """Where an entry's rows come from."""
    return {kind: task[kind] for kind in kinds() if kind in task}


def _way_out(key: str, out: Path) -> str:
    if not key.startswith("evaluation."):
        return ""
    return (
        "; accuracies before and after would not be comparable: to measure otherwise as well, use "
        f"mtgrpo eval {out} --set {key}=..."
    )


def describe_move(out: Path) -> str:
    """What to say of a run directory that its own configuration calls by another name."""
    began = read_yaml(out / "config.yaml").get("output")
    if not isinstance(began, str) or Path(began).resolve() == out.resolve():
        return ""
    return f"{out}: its configuration names {began}; going on in {out}, the directory given"


def checkpoint_to_resume(job: Job, tell: Callable[[str], None], *, tidy: bool) -> Path | None:
    """The newest good checkpoint of a run; None when no step was saved yet.

    One that was still being written when the run ended, one that is damaged or not of this run,
    and one that counts on lines that the log lacks are passed over with a word: the run takes the
    same decisions from an earlier one.

    Args:
        job: The run to resume.
        tell: Gets one line per checkpoint that is passed over.
        tidy: Move those out of the way; for the process that holds the directory's lock.

    Raises:
        StateError: There are checkpoints, and none of them can be used.
    """
    out = Path(job.run.output)
    last = newest(
        out / "checkpoints", read_logged_steps(out), lambda checkpoint: misfit(checkpoint, job)
    )

    if last.path is None:
        _check_none_was_whole(last.unusable)

    instead = "starting from step 0"
    if last.path is not None:
        instead = f"going back to {last.path.name}"

    for path, reason in last.unusable.items():
        tell(f"{path}: {reason}; {instead}")

    if tidy:
        for path in last.unusable:
            set_aside(path)

    return last.path


def _check_none_was_whole(unusable: Mapping[Path, str]) -> None:
    sealed = {path: reason for path, reason in unusable.items() if (path / SEAL_FILE).exists()}
    if sealed:
        path, reason = next(iter(sealed.items()))
        raise StateError(
            f"{path}: {reason}; no checkpoint of this run can be used ({len(sealed)} tried); "
            "restore what is missing, or start again with another --output"
        )
