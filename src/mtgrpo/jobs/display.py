"""What a job shows while it works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from mtgrpo.core.budget import TightBudget
from mtgrpo.core.report import StepReport, notice_changes


class Display(Protocol):
    """Where a job's news go."""

    def message(self, text: str) -> None:
        """One line of news."""

    def step(
        self, step: int, metrics: Mapping[str, float], accuracies: Mapping[str, float]
    ) -> None:
        """A step is over; `accuracies` are the tasks' over recent steps: their running scores."""

    def evaluation(self, title: str, tasks: Mapping[str, Mapping[str, float]]) -> None:
        """An evaluation is over."""


class Silent:
    """A display that shows nothing."""

    def message(self, text: str) -> None:
        """Nothing."""

    def step(
        self, step: int, metrics: Mapping[str, float], accuracies: Mapping[str, float]
    ) -> None:
        """Nothing."""

    def evaluation(self, title: str, tasks: Mapping[str, Mapping[str, float]]) -> None:
        """Nothing."""


class StepNews:
    """Shows each step with running accuracies, and what changed about a task.

    Args:
        display: Where to show it.
        tight: Says when a budget is too small; None where nothing is to be said of budgets.

    Attributes:
        notices: What there is to say of tasks after the last step.
        shows_notices: Tells the trainer that they need not be logged.
    """

    shows_notices = True

    def __init__(self, display: Display, tight: TightBudget | None = None) -> None:
        self._display, self._tight = display, tight
        self.notices: dict[str, str] = {}

    def __call__(self, step: int, report: StepReport) -> None:
        """Called by the trainer at the end of each step."""
        self._display.step(step, report.metrics(), report.running_scores)

        for name, text in notice_changes(self.notices, report).items():
            self._display.message(f"step {step}: task {name!r} {text}")
        self.notices = dict(report.notices)

        num_groups = sum(report.totals.num_groups.values())
        if self._tight is None:
            return
        if notice := self._tight.notice(num_groups, report.expected_costs.values()):
            self._display.message(f"step {step}: {notice}")

    def tasks_changed(self, step: int, news: Sequence[str]) -> None:
        """Called by the trainer before the first step with other tasks."""
        for text in news:
            self._display.message(f"step {step}: {text}")
