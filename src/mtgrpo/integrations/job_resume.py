"""Whether and where a run in a directory can go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtgrpo.config import RunConfig, load_config, parse_config
from mtgrpo.errors import RunError
from mtgrpo.runlog import read_run
from mtgrpo.tasks import TaskSet

# Keys of a configuration that may differ when a run is resumed: how long it goes on and how closely it is watched.
RESUMABLE = frozenset({"steps", "evaluation", "checkpoint", "threads", "output"})


def finished_summary(out: Path, config: RunConfig) -> dict[str, Any] | None:
    """The summary of a run that has nothing left to do, None otherwise."""
    if not (out / "summary.json").is_file():
        return None
    run = read_run(out)
    summary = dict(run.summary or {})
    if summary.get("status") != "finished" or summary.get("steps", 0) < config.steps * config.updates_per_step:
        return None
    check_same_run(out, config)
    return {**summary, "lines": [f"already finished: {out}; remove it or choose another --output to train again"]}


def check_same_run(out: Path, config: RunConfig) -> None:
    """Refuse to go on with a run that was started with another configuration.

    Raises:
        RunError: A key differs that may not; the message shows both values.
    """
    where = out / "config.yaml"
    saved = load_config(str(where)).as_dict()
    now = parse_config(config.as_dict(), "configuration").as_dict()
    differing = sorted(key for key in now if key not in RESUMABLE and now[key] != saved.get(key))
    if differing:
        key = differing[0]
        raise RunError(
            f"{out}: started with {key}={saved.get(key)!r}, now {now[key]!r} "
            f"({len(differing)} keys differ: {', '.join(differing)}); resume with the same configuration, "
            "or choose another --output"
        )


def last_checkpoint(out: Path, tasks: TaskSet) -> Path | None:
    """The newest complete checkpoint; None when there is none. One torn by a crash is passed over.

    Raises:
        StateError: It is of other tasks, or its state is damaged.
    """
    from mtgrpo.integrations.trl_setup import check_resume

    found = sorted(
        (p for p in (out / "checkpoints").glob("checkpoint-*") if (p / "trainer_state.json").is_file()),
        key=lambda p: int(p.name.rpartition("-")[2]),
    )
    if not found:
        return None
    check_resume(str(found[-1]), tasks)
    return found[-1]
