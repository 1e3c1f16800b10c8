"""What every weighting is: bound to tasks, updated once a step, on the simplex, restorable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

from mtgrpo.core.described import Described
from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, State, check_same_tasks, check_task_names
from mtgrpo.errors import ConfigError, StateError, unknown

TaskValues: TypeAlias = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """How many groups are behind a step's signals, per task; absent tasks had none.

    Attributes:
        observed: Groups that J_k was measured over.
        generated: Groups of the step with a scorable completion.
        informative: Groups that pass the filter; without one, that would pass the default.
        trained: Groups trained on.
    """

    observed: TaskValues = field(default_factory=dict[str, float])
    generated: TaskValues = field(default_factory=dict[str, float])
    informative: TaskValues = field(default_factory=dict[str, float])
    trained: TaskValues = field(default_factory=dict[str, float])


class CountArrays(NamedTuple):
    """`GroupCounts` in task order, each of shape (K,)."""

    observed: Floats
    generated: Floats
    informative: Floats
    trained: Floats


TOLERANCE = 1e-6
"""How far weights may be from shares of 1, by rounding."""


class TaskWeighting(Described, ABC):
    """Task weights z on the simplex, moved by what the tasks earn.

    A weighting is made without tasks and bound to them once, by the mixer or by hand:

        weighting = ImprovementAware(lam=0.2).bind(["countdown", "zebra", "arc"])
        weighting.update(task_rewards={"countdown": 0.4, "zebra": 0.8, "arc": 0.1})
        weighting.weights()

    A subclass implements `_start`, `_update`, `_weights`, `_state` and `_load`, over
    arrays in task order; one that cares how much evidence is behind a step's rewards
    also overrides `_count`, which is called before `_update`.

    Class attributes:
        uses_advantages: `update` wants ``mean_abs_advantages``.
        uses_improvements: `update` wants ``improvements`` measured by the engine, at
            the price of a forward pass; an instance may override it.
        per_task: Names of the attributes that are arrays of shape (..., K). A rule that states
            them can go on with other tasks: those that stay keep their entries, new ones get
            the mean of these. Whatever else depends on the tasks is for `_change_tasks`. None
            refuses other tasks.
    """

    uses_advantages: ClassVar[bool] = False
    per_task: ClassVar[tuple[str, ...] | None] = None
    uses_improvements: bool = False

    _tasks: tuple[str, ...] = ()
    _is_owned: bool = False

    def bind(
        self, tasks: Sequence[str], *, for_mixer: bool = False, seed: int = 0
    ) -> TaskWeighting:
        """Fix the tasks and start from uniform weights. Returns itself.

        Args:
            tasks: Task names.
            for_mixer: A mixer takes the weighting for its own. It may have been bound
                to the same tasks by hand before, but serves one mixer only: one state
                cannot follow two runs.
            seed: Seed of a rule that draws; the mixer gives its own. One that was bound by hand
                before keeps the one it got there.

        Raises:
            ConfigError: Names that are empty or not unique.
            StateError: Already bound, or in use by another mixer.
        """
        name = type(self).__name__
        if self._is_owned:
            raise StateError(
                f"{name}: already in use by another mixer, for {list(self._tasks)}; "
                "make a new one for each mixer"
            )

        if self._tasks and not for_mixer:
            raise StateError(
                f"{name}: already bound to {list(self._tasks)}; make a new one for each mixer"
            )

        if self._tasks and list(self._tasks) != list(tasks):
            raise StateError(
                f"{name}: bound to {list(self._tasks)}, the mixer's tasks are {list(tasks)}; "
                "bind it to the same tasks in the same order, or leave that to the mixer"
            )

        if not self._tasks:
            self._tasks = check_task_names(tasks, name)
            self._index = {task: i for i, task in enumerate(self._tasks)}
            self._seed = seed
            self._start(len(self._tasks))

        self._is_owned = for_mixer
        return self

    def change_tasks(self, tasks: Sequence[str]) -> None:
        """Go on with other tasks. What is known of those that stay is kept.

        Args:
            tasks: Task names from now on.

        Raises:
            ConfigError: Names that are empty or not unique, or tasks that this rule cannot take.
        """
        name = type(self).__name__
        change = TaskChange(self._bound(), check_task_names(tasks, name))
        if change.is_none:
            return

        self.check_changeable()
        self._change_tasks(change)
        self._tasks = change.after
        self._index = {task: i for i, task in enumerate(self._tasks)}

    def check_changeable(self) -> None:
        """Refuse a change of tasks, if this rule knows of none.

        Raises:
            ConfigError: It does not state `per_task`.
        """
        if self.per_task is None:
            name = type(self).__name__
            raise ConfigError(
                f"{name}: its tasks cannot change; to allow it, name its arrays of shape (..., K) "
                f"in {name}.per_task, or keep the same tasks"
            )

    @property
    def tasks(self) -> tuple[str, ...]:
        """The bound tasks, in order; empty before `bind`."""
        return self._tasks

    def weights(self) -> dict[str, float]:
        """Task weights: non-negative, summing to 1."""
        return dict(zip(self._bound(), self.weight_array().tolist(), strict=True))

    def weight_array(self) -> Floats:
        """Task weights as an array in task order, shape (K,).

        Raises:
            ConfigError: The rule's `_weights` gives something else than K shares of 1.
        """
        num_tasks = len(self._bound())
        weights = np.asarray(self._weights(), dtype=np.float64)

        is_share = weights.shape == (num_tasks,) and bool((weights >= -TOLERANCE).all())
        if not is_share or not abs(weights.sum() - 1) <= TOLERANCE:
            raise ConfigError(
                f"{type(self).__name__}: _weights gives {weights.tolist()}; {num_tasks} numbers of "
                "0 or more that sum to 1 are needed; divide them by their sum"
            )
        return weights

    def update(
        self,
        *,
        task_rewards: TaskValues | Sequence[TaskValues],
        improvements: TaskValues | Sequence[TaskValues] | None = None,
        mean_abs_advantages: TaskValues | None = None,
        counts: GroupCounts | None = None,
    ) -> None:
        """Take in one step's signals and move the weights.

        Args:
            task_rewards: J_k, the mean reward or accuracy per task, measured over *all*
                generated groups: one mapping for the step, or a sequence of mappings,
                one per generation round. Tasks that were not sampled are left out.
            improvements: I_k per task, one mapping for the step or one per minibatch,
                `[]` after a step without any. Absent tasks count as 0. Left out, it
                stands for one mapping of zeros.
            mean_abs_advantages: Mean absolute advantage per task of the groups trained
                on.
            counts: Groups behind these signals. Left out, each task with a reward
                counts as one group that was informative and trained on.

        Raises:
            ConfigError: An unknown task, a value that is not finite, or a needed signal
                that is missing.
        """
        self._bound()
        self._check_given(improvements, mean_abs_advantages)

        rewards = [self._array("task_rewards", m, np.nan) for m in _as_list(task_rewards)]
        given = _as_list({} if improvements is None else improvements)
        changes = [self._array("improvements", m, 0.0) for m in given]
        advantages = self._array("mean_abs_advantages", mean_abs_advantages or {}, 0.0)

        if counts is None:
            seen = np.zeros(len(self._tasks))
            for observed in rewards:
                seen[~np.isnan(observed)] = 1.0
            self._count(CountArrays(seen, seen, seen, seen))
        else:
            self._count(
                CountArrays(
                    observed=self._array("counts.observed", counts.observed, 0.0),
                    generated=self._array("counts.generated", counts.generated, 0.0),
                    informative=self._array("counts.informative", counts.informative, 0.0),
                    trained=self._array("counts.trained", counts.trained, 0.0),
                )
            )

        self._update(rewards, changes, advantages)

    def _check_given(self, improvements: object, mean_abs_advantages: object) -> None:
        where = f"{type(self).__name__}.update"
        if self.uses_advantages and mean_abs_advantages is None:
            raise ConfigError(f"{where}: mean_abs_advantages missing; this rule is driven by it")
        if self.uses_improvements and improvements is None:
            raise ConfigError(
                f"{where}: improvements missing; pass the change of each task's objective, "
                "or use improvement='rewards'"
            )

    def metrics(self) -> dict[str, float]:
        """Figures of this rule worth logging besides the weights."""
        return {}

    def notices(self) -> dict[str, str]:
        """What a user should be told of a task at present, in a few words."""
        return {}

    def state_dict(self) -> State:
        """JSON-able state, with the rule's name and the tasks."""
        return {"rule": type(self).__name__, "tasks": list(self._bound()), **self._state()}

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned.

        Raises:
            StateError: Saved by another rule or for other tasks.
        """
        name = type(self).__name__
        if state.get("rule") != name:
            raise StateError(
                f"weighting: the state was saved by {state.get('rule')}, this is {name}; "
                "resume with the weighting the run was started with"
            )

        check_same_tasks("weighting", state["tasks"], self._bound())
        self._load(state)

    def _bound(self) -> tuple[str, ...]:
        if not self._tasks:
            raise StateError(
                f"{type(self).__name__}: not bound to tasks yet; "
                "give it to a TaskMixer or call .bind(names)"
            )
        return self._tasks

    def _array(self, where: str, values: TaskValues, absent: float) -> Floats:
        where = f"{type(self).__name__}.update: {where}"
        array = np.full(len(self._tasks), absent)
        for task, value in values.items():
            if task not in self._index:
                raise ConfigError(unknown(where, "task", task, self._index))

            number = _number(value)
            if not np.isfinite(number):
                raise ConfigError(
                    f"{where}[{task!r}] is {value!r}; a finite number is needed, "
                    "leave a task out when there is none"
                )
            array[self._index[task]] = number

        return array

    @abstractmethod
    def _start(self, num_tasks: int) -> None:
        """Set up the state for that many tasks. A rule that draws takes its seed from `_seed`."""

    def _change_tasks(self, change: TaskChange) -> None:
        """Carry the state over to other tasks; `tasks` are still those before."""
        self._carry(change, {})

    def _carry(self, change: TaskChange, new: TaskValues) -> None:
        # The arrays, with the entries that new tasks have; by default the mean of the others.
        change.carry(self, self.per_task or (), new)

    def _count(self, counts: CountArrays) -> None:
        """Take in the groups behind the signals of the `_update` that follows."""

    @abstractmethod
    def _update(
        self, rewards: list[Floats], improvements: list[Floats], mean_abs_advantages: Floats
    ) -> None:
        """Move the state.

        Args:
            rewards: J_k of each observation, shape (K,); NaN where a task was not
                sampled.
            improvements: I_k of each minibatch, shape (K,); may be empty.
            mean_abs_advantages: Shape (K,); 0 where there is none.
        """

    @abstractmethod
    def _weights(self) -> Floats:
        """The point of the simplex the state stands for, shape (K,)."""

    @abstractmethod
    def _state(self) -> State:
        """JSON-able state."""

    @abstractmethod
    def _load(self, state: State) -> None:
        """Restore what `_state` returned."""


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):  # None, text, an array of several
        return np.nan


def _as_list(values: Any) -> list[TaskValues]:
    return [values] if isinstance(values, Mapping) else list(values)
