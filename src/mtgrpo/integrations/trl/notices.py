"""What there is to say of tasks, as warnings of the logger ``mtgrpo.notices``."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from mtgrpo.core.report import StepReport, notice_changes
from mtgrpo.errors import counted

logger = logging.getLogger("mtgrpo.notices")


class NoticeLog:
    """Logs what a step's report says of a task, once for each change of it, and at the end."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}
        self._num_steps: Counter[str] = Counter()  # of each task
        self._informed: set[str] = set()

    def __call__(self, step: int, report: StepReport) -> None:
        """Called when a step is closed."""
        self._num_steps.update(report.weights.keys())
        self._informed |= {name for name, count in report.num_informative.items() if count}
        for name, text in notice_changes(self._last, report).items():
            logger.warning("step %d: task %r %s", step, name, text)
        self._last = dict(report.notices)

    def training_ended(self) -> None:
        """Called after the last step: a long log is read from its end."""
        for name, num_steps in self._num_steps.items():
            if name in self._informed:
                continue
            reason = self._last.get(name, "had no group with a gradient")
            logger.warning(
                "end of training: task %r was trained on in none of %s: it %s",
                name,
                counted(num_steps, "step"),
                reason,
            )

    def tasks_changed(self, step: int, news: Sequence[str]) -> None:
        """Called before the first step with other tasks."""
        for text in news:
            logger.warning("step %d: %s", step, text)
