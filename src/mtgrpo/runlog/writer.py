"""RunLog: writes a run directory."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, final

from mtgrpo.errors import RunError, require
from mtgrpo.runlog.checkpoints import log_gap
from mtgrpo.runlog.continuity import LogEnd, read_logged_steps
from mtgrpo.runlog.environment import describe_environment
from mtgrpo.runlog.files import (
    is_litter,
    os_errors_as,
    plain,
    read_lines,
    write_json,
    write_text,
)
from mtgrpo.runlog.line_file import LineFile
from mtgrpo.runlog.lock import Lock
from mtgrpo.runlog.output import refuse_foreign, refuse_progress
from mtgrpo.runlog.reading import Mark, as_text, is_run, read_mark

VERSION: Final = 1
LINES: Final = ("metrics.jsonl", "evaluations.jsonl", "completions.jsonl", "changes.jsonl")


@final
class RunLog:
    """Writes a run directory; made by `create` or `resume`, and locked until `close`.

        with RunLog.create("runs/first", tasks.names) as log:
            log.write_config(config)
            log.write_environment(seed=config["seed"])
            log.log_metrics(step, rollouts, mixer.metrics())

    Every line is whole when its method returns, and durable after `sync`. One process writes: on
    several ranks, rank 0.

    Attributes:
        path: The run directory.
        tasks: Task names of the run.
        run_id: Identity of the run, which its checkpoints carry.
        on_error: Called with what ends the ``with`` block early.
    """

    def __init__(self, path: Path, mark: Mark, lock: Lock) -> None:
        self.path = path
        self.tasks = mark.tasks
        self.run_id = mark.run_id
        self._lock = lock
        self._files = {name: LineFile(path / name) for name in LINES}
        self.on_error: Callable[[BaseException], None] | None = None
        self._earlier_s = 0.0
        self._start = time.monotonic()

    @classmethod
    def create(cls, path: str | os.PathLike[str], tasks: Sequence[str]) -> RunLog:
        """Start a run in a new or empty directory, or in one whose run never took a step.

        Raises:
            RunError: The directory holds something else, a run that went further, or a run that
                a live process writes.
        """
        directory = Path(path)
        with os_errors_as(directory, "made"):
            directory.mkdir(parents=True, exist_ok=True)
        refuse_foreign(directory)

        lock = _lock(directory)

        try:
            refuse_progress(directory)

            with os_errors_as(directory, "emptied"):
                for name in (*LINES, "summary.json"):
                    (directory / name).unlink(missing_ok=True)

            mark = Mark(tuple(tasks), uuid.uuid4().hex)
            head = {"format": "mtgrpo-run", "version": VERSION}
            names_and_id = {"tasks": list(mark.tasks), "run_id": mark.run_id}
            write_json(directory / "run.json", {**head, **names_and_id})
        except BaseException:
            lock.release()
            raise

        return cls(directory, mark, lock)

    @classmethod
    def resume(cls, path: str | os.PathLike[str]) -> RunLog:
        """Open a run to go on with it; torn last lines are removed. Follow with `truncate_after`.

        Raises:
            RunError: There is no run, it is damaged, or a live process writes it.
        """
        directory = Path(path)
        if not is_run(directory):
            raise RunError(
                f"{directory}: not a run directory; nothing to resume; start without --resume"
            )

        lock = _lock(directory)

        try:
            log = cls(directory, read_mark(directory), lock)
            log._keep(lambda _: True)
        except BaseException:
            lock.release()
            raise

        return log

    def truncate_after(self, step: int) -> None:
        """Forget the summary and all that was logged after a step: its checkpoint is resumed.

        Lines of `step` itself stay. Steps, rollouts and values of the resumed log then equal those
        of a run that was never interrupted; elapsed seconds go on from the last line kept.

        Raises:
            RunError: The log lacks lines that the checkpoint of `step` counts on, or a file cannot
                be written.
        """
        checkpoint = self.checkpoint_path(step)
        if gap := log_gap(checkpoint, read_logged_steps(self.path)):
            raise RunError(
                f"{checkpoint}: {gap}; restore the log, or resume from an older checkpoint"
            )

        self._keep(lambda line: _step(line) <= step)

        with os_errors_as(self.path, "emptied"):
            (self.path / "summary.json").unlink(missing_ok=True)

    def sync(self) -> LogEnd:
        """Make every line durable, before a checkpoint that counts on them is sealed.

        Returns:
            How far the log has come, for the seal.

        Raises:
            RunError: A file cannot be synced.
        """
        num_lines: dict[str, int] = {}
        last_step: dict[str, int] = {}

        for name, file in self._files.items():
            file.sync()
            num_lines[name] = file.num_lines
            if file.last_step is not None:
                last_step[name] = file.last_step

        return LogEnd(self.run_id, num_lines, last_step)

    @property
    def elapsed_s(self) -> float:
        """Seconds of training: since the start or resume, plus those before the checkpoint."""
        return self._earlier_s + time.monotonic() - self._start

    def has_evaluation(self, step: int) -> bool:
        """Whether the log has an evaluation of this step."""
        lines = read_lines(self.path / "evaluations.jsonl")
        return any(line.get("step") == step for _, line in lines)

    def log_metrics(
        self,
        step: int,
        rollouts: int,
        values: Mapping[str, float],
        *,
        elapsed_s: float | None = None,
    ) -> None:
        """Append a step's metrics.

        Args:
            step: Steps done.
            rollouts: Completions generated so far.
            values: Metric name to number; NaN and infinities are written as null.
            elapsed_s: Seconds of training; None takes the log's own clock.

        Raises:
            RunError: A value is no number, or the file cannot be written.
        """
        head = self._head(step, rollouts, elapsed_s)
        clash = head.keys() & values.keys()
        if clash:
            raise RunError(
                f"metrics: the name {min(clash)!r} is the log's own; name the metric otherwise"
            )

        line = plain(values, "metrics")
        for name, value in line.items():
            if value is not None and not isinstance(value, (int, float)):
                raise RunError(f"metrics: {name!r} is {value!r}; a number is needed")

        self._files["metrics.jsonl"].append({**head, **line})

    def log_evaluation(
        self,
        step: int,
        rollouts: int,
        tasks: Mapping[str, Mapping[str, float]],
        *,
        num_samples: int,
        elapsed_s: float | None = None,
    ) -> None:
        """Append an evaluation.

        Args:
            step: Steps done; 0 is before training.
            rollouts: Training completions generated so far.
            tasks: Task name to ``{"accuracy", "reward", "num_prompts", "std_error"}``; accuracy in
                [0, 1]. An optional ``"prompt_accuracies"`` lists it prompt by prompt, which paired
                comparisons need.
            num_samples: Completions per test prompt.
            elapsed_s: Seconds of training; None takes the log's own clock.
        """
        for name, row in tasks.items():
            if "accuracy" not in row:
                raise RunError(f"evaluation: task {name!r} has no 'accuracy'")

        head = self._head(step, rollouts, elapsed_s)
        self._files["evaluations.jsonl"].append(
            {**head, "num_samples": num_samples, "tasks": tasks}
        )

    def log_change(self, step: int, rollouts: int, change: Mapping[str, Any]) -> None:
        """Append a change of a task; `step` is the first with it, `rollouts` those before."""
        self._files["changes.jsonl"].append({**self._head(step, rollouts, None), **change})

    def log_completions(
        self, step: int, samples: Sequence[Mapping[str, Any]], *, max_per_task: int
    ) -> None:
        """Append a few of a step's completions: the first `max_per_task` of each task.

        Args:
            step: Steps done.
            samples: ``{"task", "prompt", "completion", "reward", "accuracy", "kept"}`` each; `kept`
                says whether its group was trained on. Prompts and completions are text or chat
                messages, written as text (an image in a message becomes its description).
            max_per_task: Most completions written per task.
        """
        written: dict[str, int] = {}

        for sample in samples:
            task = sample["task"]
            written[task] = written.get(task, 0) + 1
            if written[task] <= max_per_task:
                texts = {key: as_text(sample.get(key)) for key in ("prompt", "completion")}
                self._files["completions.jsonl"].append({"step": step, **sample, **texts})

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the complete resolved configuration."""
        yaml = require("yaml", "cli")
        values = plain(config, "config.yaml", infinite=True)
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
        write_text(self.path / "config.yaml", text)

    def write_environment(
        self, *, seed: int | None = None, extra: Mapping[str, Any] | None = None
    ) -> None:
        """Write versions, machine, threads and git commit, with what the caller adds."""
        environment = {**describe_environment(), "seed": seed, **(extra or {})}
        write_json(self.path / "environment.json", environment)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write how the run ended: ``"status"`` is ``finished``, ``interrupted`` or ``failed``.

        The log is synced before, so that the lines which a summary speaks of are as durable.
        """
        status = summary.get("status")
        if status not in ("finished", "interrupted", "failed"):
            raise RunError(f"summary: status {status!r}; allowed: finished, interrupted, failed")

        self.sync()
        write_json(self.path / "summary.json", summary)

    def checkpoint_path(self, step: int) -> Path:
        """Where the checkpoint of a step goes: ``checkpoints/checkpoint-<step>``."""
        return self.path / "checkpoints" / f"checkpoint-{step}"

    def close(self) -> None:
        """Release the lock. Calling it again does nothing."""
        self._lock.release()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is not None and self.on_error is not None:
            self.on_error(error)
        self.close()

    def _head(self, step: int, rollouts: int, elapsed_s: float | None) -> dict[str, Any]:
        if elapsed_s is None:
            elapsed_s = self.elapsed_s
        return {"step": step, "rollouts": rollouts, "elapsed_s": round(elapsed_s, 3)}

    def _keep(self, wanted: Callable[[Mapping[str, Any]], bool]) -> None:
        """Keep only these lines, and go on where they end."""
        for file in self._files.values():
            file.keep(wanted)

        self._earlier_s = max(file.elapsed_s for file in self._files.values())
        self._start = time.monotonic()


def _lock(directory: Path) -> Lock:
    """Lock a run, and clear away what a killed process left half written."""
    lock = Lock(directory / ".lock")
    lock.acquire()

    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            if is_litter(path):
                path.unlink()

    return lock


def _step(line: Mapping[str, Any]) -> float:
    step = line.get("step")
    if not isinstance(step, (int, float)):
        return float("inf")

    return step
