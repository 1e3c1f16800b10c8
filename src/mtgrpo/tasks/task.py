"""A task: a family of prompts with one reward, and the strict scoring of its completions."""

from __future__ import annotations

import inspect
import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, final

from mtgrpo.core.types import as_accuracy, at_least
from mtgrpo.errors import MissingExtra, RewardError, TaskError, counted
from mtgrpo.tasks.faults import fault, named
from mtgrpo.tasks.generation import AS_THE_RUN, Generation
from mtgrpo.tasks.numeric import as_number, as_reward
from mtgrpo.tasks.policy import IN_PROCESS, Scoring
from mtgrpo.tasks.scores import (
    RESERVED_COLUMNS,
    Completion,
    RewardFunction,
    Row,
    Score,
    call_reward,
    label,
)
from mtgrpo.tasks.signatures import defect_of_call


@final
@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A family of prompts with one reward.

    Attributes:
        name: Unique in a `TaskSet`. Never parsed: any text without surrounding space or line ends.
        train: Rows to train on. Each is a mapping with ``"prompt"`` (a text or a list of chat
            messages) and the columns the reward reads. May be generated on access, then it is
            deterministic. May be empty for a task that is only evaluated.
        test: Rows to evaluate on; may be empty.
        reward: Called as ``reward(prompts=[...], completions=[...], **columns)``; see `each`.
        correct_at: A completion counts as correct from this reward on, within
            `mtgrpo.core.types.TOLERANCE`, where the reward function returns plain numbers. A
            returned `Score` brings its own accuracy. With neither, the task is graded: groups
            inform when their rewards vary, and the task is compared with others by its mean
            reward on a scale from 0 to 1.
        reward_range: Lowest and highest reward of a graded task; learnt from its rewards if None.
        floor: Accuracy of a guess, in [0, 1).
        family: Group of tasks in reports.
        level: Difficulty in reports.
        oracle: Gives, for a row, a completion that is right; used by `mtgrpo.tasks.check_task`.
        scoring: Processes, timeout, and what happens to a group whose reward fails.
        origin: The configuration entry it was made from, with which another process can make it
            again.
        from_step: Steps that a run has done when the task joins it: it is trained on from step
            ``from_step + 1`` on.
        until_step: Steps that a run has done when the task leaves it; None: it stays. A task is
            evaluated all the time.
        generation: How its completions are sampled, where that differs from the run.

    Raises:
        TaskError: an attribute cannot be used.
    """

    name: str
    train: Sequence[Row]
    test: Sequence[Row]
    reward: RewardFunction
    correct_at: float | None = None
    reward_range: tuple[float, float] | None = None
    floor: float = 0.0
    family: str | None = None
    level: str | None = None
    oracle: Callable[[Row], str] | None = None
    scoring: Scoring = IN_PROCESS
    origin: Mapping[str, Any] | None = None
    from_step: int = 0
    until_step: int | None = None
    generation: Generation = AS_THE_RUN

    def __post_init__(self) -> None:
        check_name(self.name)
        where = f"task {self.name!r}"

        for split, rows in (("train", self.train), ("test", self.test)):
            _check_rows(f"{where}, {split}", rows)
        if len(self.train) == 0 and len(self.test) == 0:
            raise TaskError(f"{where}: no rows to train on and none to test on; give at least one")

        for what, fn in (("reward", self.reward), ("oracle", self.oracle)):
            if not callable(fn) and not (what == "oracle" and fn is None):
                raise TaskError(f"{where}: {what} is a {type(fn).__name__}; a function is needed")
        if inspect.iscoroutinefunction(self.reward):
            raise TaskError(
                f"{where}: reward {label(self.reward)} is async; a plain function is needed: "
                "call it with asyncio.run in one, or give it to "
                "MultiTaskGRPOTrainer(reward_funcs=...), which takes async ones"
            )
        _check_call(where, self.reward, self.train if len(self.train) else self.test)

        if self.correct_at is not None and not _is_finite_number(self.correct_at):
            raise TaskError(
                f"{where}: correct_at is {self.correct_at!r}; a finite number is needed"
            )
        _check_range(where, self.reward_range, self.correct_at)
        if not _is_finite_number(self.floor) or not 0.0 <= self.floor < 1.0:
            raise TaskError(f"{where}: floor is {self.floor!r}; an accuracy in [0, 1) is needed")
        _check_span(where, self.from_step, self.until_step)
        for what, kind in (("scoring", Scoring), ("generation", Generation)):
            value = getattr(self, what)
            if not isinstance(value, kind):
                found = type(value).__name__
                raise TaskError(f"{where}: {what} is a {found}; a {kind.__name__} is needed")

    def __repr__(self) -> str:
        return (
            f"Task({self.name!r}, {counted(len(self.train), 'train row')}, "
            f"{counted(len(self.test), 'test row')})"
        )

    def score(
        self,
        rows: Sequence[Row],
        completions: Sequence[Completion],
        indices: Sequence[int] | None = None,
    ) -> list[Score]:
        """Score completions, one per row, in one call of the reward function.

        Args:
            rows: The row of each completion; a group of G completions repeats its row G times.
            completions: One per row.
            indices: The number that names each row in an error message; its position by default.

        Returns:
            One `Score` per completion.

        Raises:
            RewardError: the reward function raised, or did not return one finite number per
                completion. Names the task and the prompt, and has the reward function's own
                exception as its cause.
            TaskError: a row cannot be used, or the lengths differ.
        """
        numbers = list(range(len(rows))) if indices is None else list(indices)
        if not len(rows) == len(completions) == len(numbers):
            raise TaskError(
                f"task {self.name!r}: {counted(len(rows), 'row')}, "
                f"{counted(len(completions), 'completion')} and "
                f"{counted(len(numbers), 'index', 'indices')}; one row and one index per "
                "completion are needed"
            )

        for row, number in zip(rows, numbers, strict=True):
            _check_row(f"task {self.name!r}, prompt {number}", row)

        if not rows:
            return []

        try:
            values = call_reward(self.reward, rows, completions)
        except MissingExtra:
            raise  # says what to install; no fault of the prompt
        # A reward that exits must not end the run as if all were well.
        except (Exception, SystemExit) as error:
            raise self._raised(rows, completions, numbers, error) from error

        if values is None or len(values) != len(rows):
            returned = "no sequence"
            if values is not None:
                returned = f"{counted(len(values), 'value')} for {counted(len(rows), 'completion')}"
            raise RewardError(
                f"task {self.name!r}, prompts {numbers[0]} to {numbers[-1]}: reward function "
                f"{named(self.reward)} returned {returned}; a sequence with one number per "
                "completion is needed; wrap a function that scores one completion in "
                "mtgrpo.tasks.each"
            )

        return [
            self._score_of(value, number) for value, number in zip(values, numbers, strict=True)
        ]

    def _raised(
        self,
        rows: Sequence[Row],
        completions: Sequence[Completion],
        numbers: Sequence[int],
        error: BaseException,
    ) -> RewardError:
        """The message for a reward that raised: find the prompt by asking again, one at a time."""
        culprit = error
        prompt = f"prompts {numbers[0]} to {numbers[-1]} (only together, not one at a time)"
        if len(numbers) == 1:
            prompt = f"prompt {numbers[0]} (not when it was called again)"

        for row, completion, number in zip(rows, completions, numbers, strict=True):
            try:
                call_reward(self.reward, [row], [completion])
            except (Exception, SystemExit) as alone:
                culprit, prompt = alone, f"prompt {number}"
                break

        way_out = "correct it there"
        if self.scoring.on_error != "drop":
            way_out += ", or leave such groups out with scoring: on_error: drop"
        return RewardError(
            f"task {self.name!r}, {prompt}: reward function {label(self.reward)} raised "
            f"{fault(culprit, self.reward)}; a number for any completion is needed; {way_out}"
        )

    def _accuracy_of(self, reward: float) -> float | None:
        return None if self.correct_at is None else float(at_least(reward, self.correct_at))

    def _score_of(self, value: object, number: int) -> Score:
        if isinstance(value, Score):
            reward = as_reward(value.reward)
            if reward is not None and value.accuracy is None:
                return Score(reward, None)

            accuracy = as_number(value.accuracy)
            accuracy = None if accuracy is None else as_accuracy(accuracy)
            if reward is not None and accuracy is not None:
                return Score(reward, accuracy)
            need = "a reward within 1e15 and an accuracy in [0, 1], or None, are needed"

        else:
            reward = as_reward(value)
            if reward is not None:
                return Score(reward, self._accuracy_of(reward))
            need = (
                "one number within 1e15 per completion is needed; return 0.0 for a completion "
                "that earns nothing"
            )

        raise RewardError(
            f"task {self.name!r}, prompt {number}: reward function {named(self.reward)} returned "
            f"{reprlib.repr(value)}; {need}"
        )


def _check_range(where: str, reward_range: Any, correct_at: float | None) -> None:
    if reward_range is None:
        return

    is_pair = isinstance(reward_range, (list, tuple)) and len(cast("list[Any]", reward_range)) == 2
    limits = cast("list[Any]", reward_range) if is_pair else []
    if not is_pair or not all(map(_is_finite_number, limits)) or not limits[0] < limits[1]:
        raise TaskError(
            f"{where}: reward_range is {reward_range!r}; two finite numbers are needed, the lower "
            "one first: the least and the most that a completion can earn"
        )
    if correct_at is not None:
        raise TaskError(
            f"{where}: reward_range and correct_at are both given; a task is compared by its "
            "accuracy from correct_at on, or by its rewards within reward_range: give one"
        )


def _check_span(where: str, from_step: Any, until_step: Any) -> None:
    has_start = type(from_step) is int and from_step >= 0
    has_end = until_step is None or (type(until_step) is int and until_step > from_step)
    if not has_start or not has_end:
        raise TaskError(
            f"{where}: from_step={from_step!r}, until_step={until_step!r}; numbers of steps are "
            "needed, 0 or more, and the later one last: the task is trained on between them"
        )


def check_name(name: object) -> None:
    """Raise `TaskError` when `name` cannot name a task."""
    if not isinstance(name, str) or not name or name != name.strip() or not name.isprintable():
        raise TaskError(
            f"task name {name!r}: a non-empty, printable text without space around it is needed; "
            "it becomes part of metric names"
        )


def _check_rows(where: str, rows: Any) -> None:
    is_sequence = hasattr(rows, "__len__") and hasattr(rows, "__getitem__")
    if not is_sequence or isinstance(rows, (str, bytes, Mapping)):
        kind = type(cast("object", rows)).__name__
        raise TaskError(
            f"{where}: found {kind}; a sequence of rows (mappings with the key 'prompt') is needed"
        )

    # Generated rows are checked when they are scored: making them all here could take hours.
    if isinstance(rows, (list, tuple)):
        for i, row in enumerate(cast("Sequence[Any]", rows)):
            _check_row(f"{where}, row {i}", row)


def _check_call(where: str, reward: RewardFunction, rows: Sequence[Row]) -> None:
    """Refuse a reward that no call can succeed with.

    Raises:
        TaskError: It does not take what it gets, or needs what no row has.
    """
    passed: tuple[str, ...] = ("prompts", "completions")
    possible: set[str] | None = None
    if isinstance(rows, (list, tuple)):  # to make generated rows could take hours
        passed += tuple(name for name in rows[0] if name != "prompt")
        possible = {"prompts", "completions", "environments"}
        possible.update(name for row in rows for name in row)
        possible.discard("prompt")

    if defect := defect_of_call(reward, passed, possible):
        raise TaskError(f"{where}: {defect}")


def _check_row(where: str, row: Any) -> None:
    if not isinstance(row, Mapping):
        kind = type(row).__name__
        raise TaskError(f"{where}: found {kind}; a mapping with the key 'prompt' is needed")

    columns = cast("Row", row)
    if "prompt" not in columns:
        names = ", ".join(map(str, columns))
        raise TaskError(f"{where}: no column 'prompt'; columns there are: {names}")
    if not isinstance(columns["prompt"], (str, list, tuple)):
        kind = type(columns["prompt"]).__name__
        raise TaskError(f"{where}: prompt is a {kind}; a text or a list of chat messages is needed")

    if taken := RESERVED_COLUMNS.intersection(columns):
        raise TaskError(
            f"{where}: column {min(taken)!r} is reserved for reward functions; rename it"
        )


def _is_finite_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, (int, float)) and math.isfinite(value)
