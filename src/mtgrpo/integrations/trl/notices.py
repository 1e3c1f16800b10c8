"""What there is to say of tasks, as warnings of the logger ``mtgrpo.notices``."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mtgrpo.core.report import StepReport, notice_changes

logger = logging.getLogger("mtgrpo.notices")


class NoticeLog:
    """Logs what a step's report says of a task, once for each change of it."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def __call__(self, step: int, report: StepReport) -> None:
        """Called when a step is closed."""
        for name, text in notice_changes(self._last, report).items():
            logger.warning("step %d: task %r %s", step, name, text)
        self._last = dict(report.notices)

    def tasks_changed(self, step: int, news: Sequence[str]) -> None:
        """Called before the first step with other tasks."""
        for text in news:
            logger.warning("step %d: %s", step, text)
