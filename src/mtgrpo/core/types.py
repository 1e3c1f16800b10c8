"""The values that pass between an engine and the core."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mtgrpo.errors import ConfigError, StateError, counted

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# What `state_dict` returns and `load_state_dict` takes: a tree that `json.dumps` writes
# as it is.
State: TypeAlias = "dict[str, Any]"

TOLERANCE = 1e-6
"""How far apart two numbers count as equal, per unit of the larger one's size and at least per 1.

Rewards are sums and float32 numbers: .7 + .2 + .1 is meant to be 1, and float32's .9 to
be .9. A difference this small is no gradient either: GRPO divides by the spread within
a group plus 1e-4.
"""


def at_least(value: float, threshold: float) -> bool:
    """Whether `value` reaches `threshold`, within `TOLERANCE`."""
    return value >= threshold - TOLERANCE * max(1.0, abs(threshold))


def all_equal(values: Sequence[float]) -> bool:
    """Whether the numbers, at least one, are the same within `TOLERANCE`."""
    low, high = min(values), max(values)
    return low == high or high - low <= TOLERANCE * max(1.0, abs(low), abs(high))


def as_accuracy(value: float) -> float | None:
    """`value` as a number in [0, 1]; None where it is outside by more than `TOLERANCE`, or NaN."""
    if -TOLERANCE <= value <= 1.0 + TOLERANCE:
        return min(max(float(value), 0.0), 1.0)
    return None


class Verdict(NamedTuple):
    """What a filter says of a group.

    Attributes:
        keep: Whether the group may be trained on.
        reason: Why not, as one word that becomes the counter ``dropped/<reason>``;
            empty when kept.
    """

    keep: bool
    reason: str = ""


class Draw(NamedTuple):
    """How a prompt was drawn, and which ones were passed over on the way to it.

    Attributes:
        row: Index of the prompt among its task's.
        chance: Probability with which it was asked when its turn came.
        predicted: What its last, constant group says of its accuracy, 0 or 1; None when
            that group was informative or there was none.
        skipped_wrong: Prompts passed over since the last draw whose predicted accuracy
            is 0.
        skipped_right: The same where it is 1.
    """

    row: int
    chance: float = 1.0
    predicted: float | None = None
    skipped_wrong: int = 0
    skipped_right: int = 0

    @property
    def num_skipped(self) -> int:
        """Prompts passed over since the last draw."""
        return self.skipped_wrong + self.skipped_right

    def corrected(self, value: float) -> float:
        """What `value`, measured on this prompt, counts among prompts that are not always asked.

        A prompt that is passed over counts with its prediction m, so one that is asked
        counts ``m + (value - m) / chance``. That is unbiased however wrong the
        predictions are, precise when they are mostly right, and possibly outside the
        range of `value`.

        Source: the difference estimator, Saerndal, Swensson and Wretman, Model Assisted
        Survey Sampling, 6.3.
        """
        if self.predicted is None:
            return value
        return self.predicted + (value - self.predicted) / self.chance


class Cost(NamedTuple):
    """What a group took to generate, as far as the engine measures it.

    Attributes:
        tokens: Completion tokens, all completions together.
        seconds: Its part of the seconds of generation.
    """

    tokens: float | None = None
    seconds: float | None = None


class Probed(NamedTuple):
    """That a group was generated in parts, see `mtgrpo.core.probes`.

    Attributes:
        size: Completions of the first part, the probe; the first ones of the group. All, where
            none of the task's groups stays without a part.
        weight: Groups that it counts as in training: 1 where the probe was mixed, 1 / q where it
            was completed with a chance of q, all stages together. 0: it was not completed.
    """

    size: int
    weight: float = 1


@dataclass(frozen=True, slots=True)
class Group:
    """The completions of one prompt, scored.

    Attributes:
        task: The task the prompt belongs to.
        rewards: One number per completion, the quantity that is trained on. NaN marks a completion
            that could not be scored; it is left out of every statistic, whatever its accuracy.
        accuracies: One number in [0, 1] per completion, the quantity that is reported and filtered
            on; what is outside by no more than `TOLERANCE` is taken for 0 or 1. Left empty, nothing
            is said about right and wrong: the group is graded, and its rewards alone count. See
            `verified` for rewards that do say it.
        uid: The engine's identifier of the group. It is kept in the mixer's state, so that a
            resumed engine can hand the payloads back (`Batch.attach`), and groups of a round
            are sorted by it. It must be unique within a batch for that, and given when the
            prompt is asked, not when its answers are there.
        payload: Whatever the engine needs to train on the group. Never looked at, never saved.
        draw: How its prompt was drawn, where prompts may be passed over: the task's statistics
            need it.
        cost: What it took to generate: samplers with a budget in tokens or seconds need it.
        probe: What was generated first, and what the group counts; None for a group that was
            generated at once.
    """

    task: str
    rewards: tuple[float, ...]
    accuracies: tuple[float, ...] = ()
    uid: int | str = 0
    payload: Any = field(default=None, compare=False, repr=False)
    draw: Draw | None = field(default=None, compare=False, repr=False)
    cost: Cost | None = field(default=None, compare=False, repr=False)
    probe: Probed | None = None

    def __post_init__(self) -> None:
        rewards = tuple(float(r) for r in self.rewards)
        accuracies = tuple(float(a) for a in self.accuracies)
        if not rewards or len(accuracies) not in (0, len(rewards)):
            raise ConfigError(
                f"group of task {self.task!r}: {counted(len(rewards), 'reward')} and "
                f"{len(accuracies)} accuracies; both need one number per completion, "
                "and at least one completion"
            )

        # Groups are made by the thousand: completions are looked at one by one only
        # where needed.
        are_finite = math.isfinite(sum(rewards) + sum(accuracies))
        if not are_finite or (accuracies and not 0.0 <= min(accuracies) <= max(accuracies) <= 1.0):
            pairs = zip(rewards, accuracies or (0.0,) * len(rewards), strict=True)
            checked = tuple(_checked_accuracy(self.task, r, a) for r, a in pairs)
            accuracies = checked if accuracies else ()

        object.__setattr__(self, "rewards", rewards)
        object.__setattr__(self, "accuracies", accuracies)

    @classmethod
    def verified(
        cls,
        task: str,
        rewards: Sequence[float],
        *,
        correct_at: float = 1.0,
        uid: int | str = 0,
        payload: Any = None,
        draw: Draw | None = None,
        cost: Cost | None = None,
        probe: Probed | None = None,
    ) -> Group:
        """A group whose rewards say what is right: a completion is, from `correct_at` on."""
        accuracies = tuple(
            reward if math.isnan(reward) else float(at_least(reward, correct_at))
            for reward in rewards
        )
        return cls(task, tuple(rewards), accuracies, uid, payload, draw, cost, probe)

    @property
    def is_graded(self) -> bool:
        """Whether nothing is known about right and wrong: there are rewards alone."""
        return not self.accuracies

    def with_payload(self, payloads: Mapping[int | str, Any]) -> Group:
        """This group with the payload of its uid, if there is one."""
        return replace(self, payload=payloads.get(self.uid, self.payload))

    @property
    def weight(self) -> float:
        """Groups that it counts as in training; 0 for one that was not completed."""
        return 1 if self.probe is None else self.probe.weight

    @property
    def mean_reward(self) -> float:
        """Mean reward of the completions that could be scored; NaN when none could.

        Of the probe alone, if there was one: which groups are completed depends on it, so that
        only the probes are a fair sample of the task's completions.
        """
        return _mean(self._sample(self.rewards))

    @property
    def mean_accuracy(self) -> float:
        """Mean accuracy, likewise; NaN also for a graded group."""
        return _mean(self._sample(self.accuracies))

    def _sample(self, values: tuple[float, ...]) -> tuple[float, ...]:
        return values if self.probe is None else values[: self.probe.size]

    def state(self) -> list[Any]:
        """All of the group but payload, draw and cost, JSON-able."""
        # JSON has no NaN: an unscorable completion is written as null.
        state: list[Any] = [
            self.task,
            [None if math.isnan(r) else r for r in self.rewards],
            [None if math.isnan(a) else a for a in self.accuracies],
            self.uid,
        ]
        return state if self.probe is None else [*state, list(self.probe)]

    @classmethod
    def from_state(cls, state: Sequence[Any]) -> Group:
        """The group that `state` describes, without payload, draw and cost."""
        task, rewards, accuracies, uid, *probe = state
        return cls(
            task,
            tuple(math.nan if r is None else r for r in rewards),
            tuple(math.nan if a is None else a for a in accuracies),
            uid,
            probe=Probed(*probe[0]) if probe else None,
        )


def _checked_accuracy(task: str, reward: float, accuracy: float) -> float:
    if math.isnan(reward):
        return math.nan

    if math.isinf(reward):
        raise ConfigError(
            f"group of task {task!r}: a completion of reward {reward}; rewards must be finite "
            "numbers; give NaN for a completion that could not be scored"
        )
    if not math.isfinite(accuracy):
        raise ConfigError(
            f"group of task {task!r}: a completion of accuracy {accuracy}; accuracies must be "
            "finite numbers; give the reward as NaN for a completion that could not be scored"
        )

    checked = as_accuracy(accuracy)
    if checked is None:
        raise ConfigError(
            f"group of task {task!r}: a completion of accuracy {accuracy}; it must be in [0, 1]"
        )
    return checked


def _mean(values: Sequence[float]) -> float:
    if not values:
        return math.nan

    total = math.fsum(values)
    if not math.isnan(total):
        return total / len(values)

    known = [v for v in values if not math.isnan(v)]
    return math.fsum(known) / len(known) if known else math.nan


def check_task_names(tasks: Sequence[str], where: str) -> tuple[str, ...]:
    """The names as a tuple, once they are known to be unique, non-empty strings.

    Raises:
        ConfigError: No names, a name that is no string or empty, or the same name twice.
    """
    if isinstance(tasks, str):
        raise ConfigError(
            f"{where}: got the string {tasks!r}; a sequence of task names is needed: [{tasks!r}]"
        )

    names = tuple(tasks)
    if not names:
        raise ConfigError(f"{where}: no tasks; at least one task name is needed")

    for name in names:
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"{where}: task name {name!r}; names are non-empty strings")

    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ConfigError(
            f"{where}: task name {twice[0]!r} appears more than once; names must be unique"
        )
    return names


def check_same_tasks(where: str, saved: Sequence[str], now: Sequence[str]) -> None:
    """Refuse a state of other tasks, or of the same tasks in another order.

    Raises:
        StateError: They differ; the message shows both lists.
    """
    if list(saved) != list(now):
        raise StateError(
            f"{where}: saved for tasks {list(saved)}, now {list(now)}; "
            "resume with the same tasks in the same order"
        )
