"""Tasks that train on nothing although their rewards vary: said at once, with what to set."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mtgrpo.core.types import State

MIN_GROUPS = 8
"""Groups in a row of which none carried a gradient, before anything is said."""

MIN_GROUPS_OF_ALL = 64
MIN_STEPS = 3
"""Groups of all tasks, and steps, in a row without any gradient, before anything is said."""


class SilentTasks:
    """Counts, per task, the groups since the last one that moved the policy, and how many varied.

    A task of which nothing is ever right looks alike from outside whether it is hard or its
    rewards never reach what counts as right. In the second case its rewards vary all the same.
    """

    def __init__(self) -> None:
        self._num_dropped: dict[str, int] = {}
        self._num_varied: dict[str, int] = {}
        self._highest: dict[str, float] = {}
        self._num_groups_flat = 0  # of all tasks, since the last one with a gradient
        self._num_steps_flat = 0

    def observe(
        self,
        generated: Mapping[str, int],
        with_gradient: Mapping[str, int],
        varied: Mapping[str, int],
        highest: Mapping[str, float],
    ) -> None:
        """Take in a step.

        Args:
            generated: Groups generated per task.
            with_gradient: Groups among them that were accepted and carry a gradient.
            varied: Groups that were dropped although their rewards vary.
            highest: Highest reward of the step.
        """
        if any(with_gradient.values()):
            self._num_groups_flat = self._num_steps_flat = 0
        else:
            self._num_groups_flat += sum(generated.values())
            self._num_steps_flat += 1

        for task, count in generated.items():
            self._highest[task] = max(self._highest.get(task, highest[task]), highest[task])
            if with_gradient.get(task, 0):
                self._num_dropped[task] = self._num_varied[task] = 0
                continue

            self._num_dropped[task] = self._num_dropped.get(task, 0) + count
            self._num_varied[task] = self._num_varied.get(task, 0) + varied.get(task, 0)

    def keep_tasks(self, tasks: Collection[str]) -> None:
        """Forget all other tasks."""
        for known in (self._num_dropped, self._num_varied, self._highest):
            for task in known.keys() - set(tasks):
                del known[task]

    def notices(self, dropped: Mapping[str, Mapping[str, int]], is_idle: bool) -> dict[str, str]:
        """What to tell the user, per task.

        Args:
            dropped: Groups of the step that were dropped, per task and reason.
            is_idle: Whether the step trained on nothing, which is never passed over in silence.
        """
        of_step: dict[str, str] = {}
        for task, reasons in dropped.items() if is_idle else ():
            counts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
            of_step[task] = f"gave nothing to train on, nor did any other task ({counts})"

        notices: dict[str, str] = {}
        for task, count in self._num_dropped.items():
            num_varied = self._num_varied[task]
            is_clear = 2 * num_varied >= count or num_varied >= 4 * MIN_GROUPS
            if count >= MIN_GROUPS and num_varied and is_clear:
                # Without counts, so that it is told once and not at every step.
                notices[task] = (
                    "trains on nothing: its rewards vary, but every group was dropped, as none "
                    "has both a right and a wrong answer (highest reward so far "
                    f"{self._highest[task]:g}); set correct_at to the reward of a right answer, "
                    "or leave correctness undeclared to train on the rewards as they are"
                )

        is_flat = self._num_groups_flat >= MIN_GROUPS_OF_ALL and self._num_steps_flat >= MIN_STEPS
        for task in self._num_dropped if is_flat else ():
            notices.setdefault(
                task,
                "trains on nothing, nor does any other task: the completions of each prompt all "
                "earn the same; look at some of them, and at the reward",
            )
        return of_step | notices

    def state_dict(self) -> State:
        """JSON-able state."""
        return {
            "dropped": dict(self._num_dropped),
            "varied": dict(self._num_varied),
            "highest": dict(self._highest),
            "flat": [self._num_groups_flat, self._num_steps_flat],
        }

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned."""
        self._num_dropped = dict(state["dropped"])
        self._num_varied = dict(state["varied"])
        self._highest = dict(state["highest"])
        self._num_groups_flat, self._num_steps_flat = state["flat"]
