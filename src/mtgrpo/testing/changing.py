"""What every `TaskWeighting` must hold to when a run's tasks change."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

from mtgrpo.core.weightings.base import TaskWeighting
from mtgrpo.errors import ConfigError, MtgrpoError
from mtgrpo.testing.signals import Signals, signal_histories, update


class ChangeContract(ABC):
    """The part of `WeightingContract` that is about other tasks in the middle of a run."""

    TASK_LISTS: Sequence[tuple[str, ...]] = (
        ("only",),
        ("easy", "hard"),
        ("countdown", "zebra_puzzles", "arc/1d"),
        tuple(f"task {i}" for i in range(9)),
    )

    @abstractmethod
    def make(self, tasks: Sequence[str]) -> TaskWeighting:
        """A fresh weighting for these tasks, not bound yet.

        Its settings do not depend on the order of the tasks.
        """

    # ---- other tasks -------------------------------------------------------------------------
    def test_tasks_change_or_are_refused(self) -> None:
        """A rule that states no `per_task` refuses in one line, and stays as it is."""
        weighting = self._bound(("a", "b"))
        for names in ([], ["a", "a"], ["a", ""], "ab"):
            refused(ConfigError, lambda n=names: weighting.change_tasks(n))

        if weighting.per_task is None:
            before = json.dumps(weighting.state_dict())
            assert "per_task" in refused(ConfigError, lambda: weighting.change_tasks(["a"]))
            assert json.dumps(weighting.state_dict()) == before, "a refused change moved the state"

    def test_the_same_tasks_change_nothing(self) -> None:
        """Changing to the tasks that there are leaves the state as it is, to the last bit."""
        for tasks, name, weighting in self._trained():
            before, weights = json.dumps(weighting.state_dict()), weighting.weights()
            weighting.change_tasks(tasks)
            assert json.dumps(weighting.state_dict()) == before, f"{name}: the state moved"
            assert weighting.weights() == weights, f"{name}: the weights moved"

    def test_other_tasks_are_on_the_simplex(self) -> None:
        """Tasks that join, leave or are replaced: weights sum to 1, and updates go on."""
        for tasks, name, weighting in self._trained():
            for after in _others(tasks) if weighting.per_task is not None else ():
                where = f"{name}, then {list(after)}"
                weighting.change_tasks(after)
                assert weighting.tasks == after, f"{where}: tasks are {weighting.tasks}"

                check_simplex(weighting, where)
                for signals in _steps(after, 5):
                    update(weighting, signals)
                    check_simplex(weighting, f"{where}, updated")

    def test_tasks_that_stay_keep_their_order(self) -> None:
        """Of two tasks that stay, the one with more weight still has as much or more."""
        for tasks, name, weighting in self._trained():
            if weighting.per_task is None or len(tasks) < 3:
                continue

            before, after = weighting.weights(), (*tasks[1:], "another")
            weighting.change_tasks(after)
            now = weighting.weights()
            for one in tasks[1:]:
                for two in tasks[1:]:
                    if before[one] > before[two] + 1e-9:
                        assert now[one] >= now[two] - 1e-9, f"{name}: {one!r} fell behind {two!r}"

    def test_a_changed_rule_is_restored(self) -> None:
        """The state after a change gives the same future to a rule brought to the same tasks."""
        for tasks, name, weighting in self._trained():
            for after in _others(tasks) if weighting.per_task is not None else ():
                weighting.change_tasks(after)
                saved = json.dumps(weighting.state_dict(), allow_nan=False)

                restored = self._bound(tasks)
                restored.change_tasks(after)
                restored.load_state_dict(json.loads(saved))
                assert restored.weights() == weighting.weights(), f"{name}: weights differ"
                assert json.dumps(restored.state_dict()) == saved, f"{name}: state differs"

                for signals in _steps(after, 3):
                    update(weighting, signals)
                    update(restored, signals)
                    assert restored.weights() == weighting.weights(), f"{name}: futures differ"

    # ---- helpers -----------------------------------------------------------------------------
    def _cases(self) -> list[tuple[tuple[str, ...], str, list[Signals]]]:
        return [
            (tasks, f"{len(tasks)} tasks, {name}", history)
            for tasks in self.TASK_LISTS
            for name, history in signal_histories(tasks).items()
        ]

    def _bound(self, tasks: Sequence[str]) -> TaskWeighting:
        return self.make(tasks).bind(tasks)

    def _trained(self) -> Iterator[tuple[tuple[str, ...], str, TaskWeighting]]:
        for tasks, name, history in self._cases():
            for number in (0, 7, len(history)):
                weighting = self._bound(tasks)
                for signals in history[:number]:
                    update(weighting, signals)
                yield tasks, f"{name}, after {number} steps", weighting


def _others(tasks: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Task lists that a run may go on with, one after the other."""
    return [
        (*tasks, "another"),  # one joins
        (*tasks[1:], "another"),  # and one leaves
        ("another",),  # all but one leave
        (tasks[0], "another"),  # one comes back
        ("all", "new"),
        tasks,
    ]


def _steps(tasks: tuple[str, ...], number: int) -> list[Signals]:
    """Steps in which the first task is always the worst."""
    rewards = {task: (i + 1) / (len(tasks) + 1) for i, task in enumerate(tasks)}
    changes = dict.fromkeys(tasks, 0.01)
    return [Signals((rewards,), (changes,), rewards)] * number


def check_simplex(weighting: TaskWeighting, where: str) -> None:
    """Non-negative weights that sum to 1, one for each task."""
    weights = weighting.weights()
    assert tuple(weights) == weighting.tasks, f"{where}: weights for {list(weights)}"
    assert all(w >= 0 for w in weights.values()), f"{where}: a weight is negative or NaN: {weights}"
    total = sum(weights.values())
    assert abs(total - 1) <= 1e-12, f"{where}: weights sum to {total!r}"


def refused(error: type[MtgrpoError], call: Callable[[], object]) -> str:
    """The message of the error that a call raises."""
    try:
        call()
    except error as refusal:
        return str(refusal)
    raise AssertionError(f"no {error.__name__} was raised")
