"""What every weighting is: bound to tasks, updated once a step, always on the simplex, always restorable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np

from mtgrpo.core.described import Described
from mtgrpo.core.quotas import Floats
from mtgrpo.core.types import State, check_task_names
from mtgrpo.errors import ConfigError, StateError, unknown

TaskValues: TypeAlias = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """How many groups are behind a step's signals, per task; absent tasks had none.

    Attributes:
        generated: Groups that J_k was measured over.
        informative: Of those, the ones that pass the filter.
        trained: Groups trained on.
    """

    generated: TaskValues = field(default_factory=dict[str, float])
    informative: TaskValues = field(default_factory=dict[str, float])
    trained: TaskValues = field(default_factory=dict[str, float])


class TaskWeighting(Described, ABC):
    """Task weights z on the simplex, moved by what the tasks earn.

    A weighting is made without tasks and bound to them once, by the mixer or by hand:

        weighting = ImprovementAware(lam=0.2).bind(["countdown", "zebra", "arc"])
        weighting.update(task_rewards={"countdown": 0.4, "zebra": 0.8, "arc": 0.1})
        weighting.weights()

    A subclass implements `_start`, `_update`, `_weights`, `_state` and `_load`, over arrays in task order; one that
    cares how much evidence is behind a step's rewards also overrides `_count`, which is called before `_update`.

    Class attributes:
        uses_advantages: `update` wants ``mean_abs_advantages``.
        uses_improvements: `update` wants ``improvements`` measured by the engine, at the price of a forward
            pass; an instance may override it.
    """

    uses_advantages: ClassVar[bool] = False
    uses_improvements: bool = False

    _tasks: tuple[str, ...] = ()
    _claimed: bool = False

    def bind(self, tasks: Sequence[str]) -> TaskWeighting:
        """Fix the tasks and start from uniform weights. Returns itself.

        Raises:
            ConfigError: Names that are empty or not unique.
            StateError: Already bound.
        """
        if self._tasks:
            raise StateError(
                f"{type(self).__name__}: already bound to {list(self._tasks)}; make a new one for each mixer"
            )
        self._tasks = check_task_names(tasks, type(self).__name__)
        self._index = {name: i for i, name in enumerate(self._tasks)}
        self._start(len(self._tasks))
        return self

    def claim(self, tasks: Sequence[str]) -> None:
        """Take the weighting for a mixer: bind it, unless that was done by hand for the same tasks.

        Raises:
            ConfigError: Names that are empty or not unique.
            StateError: Bound to other tasks, or in use by another mixer: one state cannot follow two runs.
        """
        name, now = type(self).__name__, list(tasks)
        if self._claimed:
            raise StateError(
                f"{name}: already in use by another mixer, for {list(self._tasks)}; make a new one for each mixer"
            )
        if not self._tasks:
            self.bind(tasks)
        elif list(self._tasks) != now:
            raise StateError(
                f"{name}: bound to {list(self._tasks)}, the mixer's tasks are {now}; bind it to the same tasks in the "
                "same order, or leave that to the mixer"
            )
        self._claimed = True

    @property
    def tasks(self) -> tuple[str, ...]:
        """The bound tasks, in order; empty before `bind`."""
        return self._tasks

    def weights(self) -> dict[str, float]:
        """Task weights: non-negative, summing to 1."""
        return dict(zip(self._bound(), self.weight_array().tolist(), strict=True))

    def weight_array(self) -> Floats:
        """Task weights as an array in task order, shape (K,)."""
        self._bound()
        return self._weights()

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
            task_rewards: J_k, the mean reward or accuracy per task, measured over *all* generated groups: one
                mapping for the step, or a sequence of mappings, one per generation round. Tasks that were not
                sampled are left out.
            improvements: I_k per task, one mapping for the step or one per minibatch, `[]` after a step without
                any. Absent tasks count as 0. Left out, it stands for one mapping of zeros.
            mean_abs_advantages: Mean absolute advantage per task of the groups trained on.
            counts: Groups behind these signals. Left out, each task with a reward counts as one group that was
                informative and trained on.

        Raises:
            ConfigError: An unknown task, a value that is not finite, or a needed signal that is missing.
        """
        self._bound()
        rewards = [self._array("task_rewards", m, np.nan) for m in _as_list(task_rewards)]
        given = _as_list({} if improvements is None else improvements)
        changes = [self._array("improvements", m, 0.0) for m in given]
        if self.uses_advantages and mean_abs_advantages is None:
            raise ConfigError(
                f"{type(self).__name__}.update: mean_abs_advantages missing; this rule is driven by it"
            )
        if self.uses_improvements and improvements is None:
            raise ConfigError(
                f"{type(self).__name__}.update: improvements missing; pass the change of each task's objective, "
                "or use improvement='rewards'"
            )
        advantages = self._array("mean_abs_advantages", mean_abs_advantages or {}, 0.0)
        if counts is None:
            seen = np.any(
                [~np.isnan(r) for r in rewards] or [np.zeros(len(self._tasks), dtype=bool)], axis=0
            )
            self._count(*[seen.astype(np.float64)] * 3)
        else:
            self._count(
                self._array("counts.generated", counts.generated, 0.0),
                self._array("counts.informative", counts.informative, 0.0),
                self._array("counts.trained", counts.trained, 0.0),
            )
        self._update(rewards, changes, advantages)

    def metrics(self) -> dict[str, float]:
        """Figures of this rule worth logging besides the weights."""
        return {}

    def notices(self) -> dict[str, str]:
        """What a user should be told of a task at present, in a few words: that it cannot be learned, say."""
        return {}

    def state_dict(self) -> State:
        """JSON-able state, with the rule's name and the tasks."""
        return {"rule": type(self).__name__, "tasks": list(self._bound()), **self._state()}

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned.

        Raises:
            StateError: Saved by another rule or for other tasks.
        """
        if state.get("rule") != type(self).__name__:
            raise StateError(
                f"weighting: the state was saved by {state.get('rule')}, this is {type(self).__name__}; "
                "resume with the weighting the run was started with"
            )
        check_same_tasks("weighting", state["tasks"], self._bound())
        self._load(state)

    def _bound(self) -> tuple[str, ...]:
        if not self._tasks:
            raise StateError(
                f"{type(self).__name__}: not bound to tasks yet; give it to a TaskMixer or call .bind(names)"
            )
        return self._tasks

    def _array(self, where: str, values: TaskValues, absent: float) -> Floats:
        array = np.full(len(self._tasks), absent)
        for task, value in values.items():
            if task not in self._index:
                raise ConfigError(
                    unknown(f"{type(self).__name__}.update: {where}", "task", task, self._index)
                )
            number = _number(value)
            if not np.isfinite(number):
                raise ConfigError(
                    f"{type(self).__name__}.update: {where}[{task!r}] is {value!r}; a finite number is needed, "
                    "leave a task out when there is none"
                )
            array[self._index[task]] = number
        return array

    @abstractmethod
    def _start(self, num_tasks: int) -> None:
        """Set up the state for that many tasks."""

    def _count(self, generated: Floats, informative: Floats, trained: Floats) -> None:
        """The groups behind the signals of the `_update` that follows; each of shape (K,)."""

    @abstractmethod
    def _update(
        self, rewards: list[Floats], improvements: list[Floats], mean_abs_advantages: Floats
    ) -> None:
        """Move the state. `rewards` holds NaN where a task was not sampled, the others 0; `improvements` may be []."""

    @abstractmethod
    def _weights(self) -> Floats:
        """The point of the simplex the state stands for."""

    @abstractmethod
    def _state(self) -> State:
        """JSON-able state."""

    @abstractmethod
    def _load(self, state: State) -> None:
        """Restore what `_state` returned."""


class TaskRewardEstimate(Described):
    """Moving average of J_k: ``J <- ema J + (1 - ema) observed``; tasks not observed keep theirs.

    Args:
        ema: 0 keeps the latest observation alone (paper); 0.5 in the released code.
        start: Value before the first observation, without bias correction (released: 0). None starts at the
            first observation itself.
    """

    def __init__(self, ema: float, start: float | None = None) -> None:
        if not 0 <= ema < 1:
            raise ConfigError(f"reward_ema: {ema}; it must be in [0, 1)")
        if start is not None and not np.isfinite(start):
            raise ConfigError(
                f"reward_start: {start}; a finite number is needed, or None to start at the first reward"
            )
        self.ema, self.start = ema, start
        self.values: Floats = np.zeros(0)

    def reset(self, num_tasks: int) -> None:
        """Forget everything."""
        self.values = np.full(num_tasks, np.nan if self.start is None else self.start)

    def observe(self, rewards: Floats) -> None:
        """Take in one observation per task; NaN where there is none."""
        averaged = self.ema * self.values + (1 - self.ema) * rewards
        fresh = np.where(np.isnan(self.values), rewards, averaged)
        self.values = np.where(np.isnan(rewards), self.values, fresh)

    def filled(self) -> Floats:
        """The estimates, with the mean of the known ones for tasks never observed: neither favoured nor shunned."""
        known = ~np.isnan(self.values)
        if known.all():
            return self.values
        return np.where(known, self.values, self.values[known].mean() if known.any() else 0.0)

    def dump(self) -> list[float | None]:
        """The estimates for JSON: None where there is none yet."""
        return [None if np.isnan(v) else float(v) for v in self.values]

    def load(self, values: Sequence[float | None]) -> None:
        """Restore what `dump` returned."""
        self.values = np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def softmax(logits: Floats) -> Floats:
    """Softmax of a vector, safe against overflow."""
    exponentials = np.exp(logits - logits.max())
    return exponentials / exponentials.sum()


def simplex_gradient(weights: Floats, scores: Floats) -> Floats:
    """``g_k = z_k (s_k - sum_j z_j s_j)``, the gradient of ``sum_k z_k s_k`` in the logits."""
    return weights * (scores - weights @ scores)


def check_same_tasks(where: str, saved: Sequence[str], now: Sequence[str]) -> None:
    """Refuse a state of other tasks, or of the same tasks in another order.

    Raises:
        StateError: They differ; the message shows both lists.
    """
    if list(saved) != list(now):
        raise StateError(
            f"{where}: saved for tasks {list(saved)}, now {list(now)}; resume with the same tasks in the same order"
        )


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):  # None, text, an array of several
        return np.nan


def _as_list(values: Any) -> list[TaskValues]:
    return [values] if isinstance(values, Mapping) else list(values)
