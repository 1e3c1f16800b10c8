"""Tasks that train on nothing: said at once, with the reason and what to set."""

from __future__ import annotations

import math
from collections.abc import Collection

from mtgrpo.core.round_stats import RoundStats
from mtgrpo.core.step_counts import StepCounts
from mtgrpo.core.types import State

MIN_GROUPS = 8
"""Groups in a row of which none carried a gradient, before anything is said."""

MIN_FLAT_GROUPS = 32
MIN_FLAT_STEPS = 3
"""The same where all completions of a prompt earn alike, which a hard task does for a while."""

MIN_IDLE_GROUPS = 32
"""The same of all tasks together: a step of a few groups is without a gradient by chance."""


class SilentTasks:
    """Counts, per task, the groups since the last one that moved the policy, and why none did.

    A task of which nothing is ever right looks alike from outside whether it is hard or its
    rewards never reach what counts as right. In the second case its rewards vary all the same.
    """

    def __init__(self) -> None:
        self._num_dropped: dict[str, int] = {}
        self._num_varied: dict[str, int] = {}
        self._highest: dict[str, float] = {}
        self._num_scored: dict[str, int] = {}
        self._num_steps: dict[str, int] = {}
        self._num_idle = 0
        self._idle_reasons: dict[str, list[str]] = {}

    def observe(self, step: StepCounts, total: RoundStats) -> None:
        """Take in a step.

        Args:
            step: What it generated, and what the filter said of that.
            total: Sums over its rounds.
        """
        self._observe_idle(step, sum(total.num_groups.values()))

        counts = (self._num_dropped, self._num_varied, self._num_scored, self._num_steps)
        for task, count in total.num_groups.items():
            reward = step.highest_reward.get(task, -math.inf)
            self._highest[task] = max(self._highest.get(task, reward), reward)

            if step.num_with_gradient.get(task, 0):
                for known in counts:
                    known[task] = 0
                continue

            more = (count, step.num_varied.get(task, 0), total.num_scored.get(task, 0), 1)
            for known, number in zip(counts, more, strict=True):
                known[task] = known.get(task, 0) + number

    def _observe_idle(self, step: StepCounts, num_groups: int) -> None:
        if any(step.num_with_gradient.values()):
            self._num_idle = 0
            self._idle_reasons = {}
            return

        was_long = self._num_idle >= MIN_IDLE_GROUPS
        self._num_idle += num_groups
        for task, reasons in step.dropped.items():
            known = self._idle_reasons.get(task, [])
            # Then it may have been told: another reason would tell it again.
            if not known or not was_long:
                self._idle_reasons[task] = sorted({*known, *reasons})

    def keep_tasks(self, tasks: Collection[str]) -> None:
        """Forget all other tasks."""
        for known in (
            *(self._num_dropped, self._num_varied, self._num_scored, self._num_steps),
            *(self._highest, self._idle_reasons),
        ):
            for task in known.keys() - set(tasks):
                del known[task]

    def notices(self, is_idle: bool) -> dict[str, str]:
        """What to tell the user, per task.

        Args:
            is_idle: Whether the step trained on nothing.
        """
        of_all: dict[str, str] = {}
        if is_idle and self._num_idle >= MIN_IDLE_GROUPS:
            for task, reasons in self._idle_reasons.items():
                named = ", ".join(reasons)
                of_all[task] = f"gives nothing to train on, nor does any other task ({named})"

        notices: dict[str, str] = {}
        for task, count in self._num_dropped.items():
            if count < MIN_GROUPS:
                continue

            # Without counts, so that it is told once and not at every step.
            if not self._num_scored[task]:
                notices[task] = (
                    "trains on nothing: none of its completions could be scored; look at its "
                    "reward, which is None or NaN for all of them"
                )
            elif self._num_varied[task] >= MIN_GROUPS or 2 * self._num_varied[task] >= count:
                notices[task] = (
                    "trains on nothing: its rewards vary, but every group was dropped, as none "
                    "has both a right and a wrong answer (highest reward so far "
                    f"{self._highest[task]:g}); if that is as right as answers get, set correct_at "
                    "to it, or leave correctness undeclared to train on the rewards as they are"
                )
        return of_all | notices

    def flat(self) -> dict[str, str]:
        """The same of tasks whose completions earn alike: they may be hard, or solved.

        A weighting that has a notice of its own for such a task knows more: it goes first.
        """
        return {
            task: "trains on nothing so far: the completions of each prompt all earn the same "
            f"(highest reward so far {self._highest[task]:g}); it is too hard, or solved, or its "
            "reward does not tell answers apart"
            for task, count in self._num_dropped.items()
            if count >= MIN_FLAT_GROUPS
            and self._num_steps[task] >= MIN_FLAT_STEPS
            and self._num_scored[task]
        }

    def state_dict(self) -> State:
        """JSON-able state."""
        return {
            "dropped": dict(self._num_dropped),
            "varied": dict(self._num_varied),
            "scored": dict(self._num_scored),
            "steps": dict(self._num_steps),
            "idle": self._num_idle,
            "idle_reasons": {task: list(names) for task, names in self._idle_reasons.items()},
            # JSON has no infinity.
            "highest": {t: r for t, r in self._highest.items() if math.isfinite(r)},
        }

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned."""
        self._num_dropped = dict(state["dropped"])
        self._num_varied = dict(state["varied"])
        self._highest = dict(state["highest"])
        self._num_scored = dict(state["scored"])
        self._num_steps = dict(state["steps"])
        # Not in states of 0.2 before it was released.
        self._num_idle = int(state.get("idle", 0))
        self._idle_reasons = {t: list(names) for t, names in state.get("idle_reasons", {}).items()}
