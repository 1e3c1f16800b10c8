"""From TRL's logs and our rollouts to the lines of a run directory."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from mtgrpo.core.task_news import TaskNews
from mtgrpo.core.types import Group
from mtgrpo.integrations.trl.results import TaskResult
from mtgrpo.runlog import RunLog
from mtgrpo.runlog.script_run import ScriptRun


class RunLogWriter:
    """Writes metrics, evaluations and completions; on the main process only.

    Args:
        run_log: Open run directory.
    """

    def __init__(self, run_log: RunLog) -> None:
        self.run_log = run_log
        self.script = ScriptRun(run_log)
        self._seen: dict[int | str, dict[str, Any]] = {}  # one completion per group of the step
        self._samples: list[dict[str, Any]] = []

    def record(
        self, groups: Sequence[Group], prompts: Sequence[Any], completions: Sequence[Any]
    ) -> None:
        """Take note of a round: prompts and completions row by row, groups in the same order."""
        for g, group in enumerate(groups):
            size = len(group.rewards)
            pick = int(group.uid) % size  # not always the first
            self._seen[group.uid] = {
                "task": group.task,
                "prompt": prompts[g * size + pick],
                "completion": completions[g * size + pick],
                "reward": group.rewards[pick],
                "accuracy": None if group.is_graded else group.accuracies[pick],
            }

    def close_step(self, trained: Sequence[Group]) -> None:
        """Choose the step's samples: per task one that was trained on, and one that was not."""
        kept = {group.uid for group in trained}
        chosen: dict[tuple[str, bool], dict[str, Any]] = {}
        for uid, sample in self._seen.items():
            chosen.setdefault((sample["task"], uid in kept), {**sample, "kept": uid in kept})
        self._seen, self._samples = {}, list(chosen.values())

    def write_metrics(self, step: int, rollouts: int, logs: Mapping[str, Any]) -> None:
        """A line of metrics, and the samples of the last step."""
        # TRL writes None where a metric had no finite value.
        numbers = {name: math.nan if value is None else value for name, value in logs.items()}
        values = {name: value for name, value in numbers.items() if isinstance(value, (int, float))}
        self.run_log.log_metrics(step, rollouts, values)
        self.run_log.log_completions(step, self._samples, max_per_task=2)
        self._samples = []

    def write_changes(self, step: int, rollouts: int, news: Sequence[TaskNews]) -> None:
        """A line for each change of a task; `step` is the first with it."""
        for item in news:
            self.run_log.log_change(step, rollouts, dataclasses.asdict(item))

    def write_evaluation(
        self, step: int, rollouts: int, results: Mapping[str, TaskResult], num_samples: int
    ) -> None:
        """A line of evaluation."""
        tasks = {name: dataclasses.asdict(result) for name, result in results.items()}
        self.run_log.log_evaluation(step, rollouts, tasks, num_samples=num_samples)
        self.script.evaluated()
