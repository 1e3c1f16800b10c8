"""TRL's calls of reward functions: each gets the rows of its tasks, and its faults are explained.

TRL calls them by itself; for the time of one batch it finds, in their places, functions that look
at what goes in and what comes out.
"""

from __future__ import annotations

import inspect
import logging
import math
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch

from mtgrpo.errors import MtgrpoError, RewardError, StateError, counted
from mtgrpo.tasks.faults import fault, named
from mtgrpo.tasks.numeric import as_number
from mtgrpo.tasks.scores import Score

logger = logging.getLogger("mtgrpo")

PROTOCOL = frozenset({"prompts", "completions", "completion_ids", "environments"})
"""Lists that a reward function gets besides the columns of the data."""
ONE_EACH = "a list is needed with a number for each completion, or None where it does not apply"
SHARED = frozenset({"trainer_state", "log_metric"})
"""What all rows of a call share."""
ALWAYS = ("prompts", "completions", "completion_ids", "trainer_state")
"""What every version of TRL calls reward functions with."""


class RewardCalls:
    """The calls of one trainer's reward functions.

    Args:
        tasks_of: For each function the tasks it is for; None if it is for all.
    """

    def __init__(self, tasks_of: Sequence[frozenset[str] | None]) -> None:
        self.tasks_of = tuple(tasks_of)
        self._said_nan: set[int] = set()

    @contextmanager
    def watched(self, trainer: Any, rows: Sequence[Any]) -> Iterator[None]:
        """While TRL scores these rows, one for each completion."""
        functions = trainer.reward_funcs
        trainer.reward_funcs = [
            self._watched(function, self._tasks(i), rows) for i, function in enumerate(functions)
        ]
        try:
            yield
        finally:
            trainer.reward_funcs = functions

    def _tasks(self, number: int) -> frozenset[str] | None:
        # Environments with rewards of their own add functions to those given.
        return self.tasks_of[number] if number < len(self.tasks_of) else None

    def _watched(self, function: Any, tasks: frozenset[str] | None, rows: Sequence[Any]) -> Any:
        places = list(range(len(rows)))
        if tasks is not None:
            places = [i for i, row in enumerate(rows) if row.task in tasks]

        if isinstance(function, torch.nn.Module):
            return function if tasks is None else _ModelOfSomeRows(function, places)

        call = _Call(function, rows, places, is_part=tasks is not None)

        def reward(**arguments: Any) -> list[Any]:
            given = call.arguments(arguments)
            if not places:
                return call.spread([])
            try:
                values = function(**given)
            except MtgrpoError:
                raise
            # A reward that exits must not end the run as if all were well.
            except (Exception, SystemExit) as error:
                raise call.raised(given, error) from error
            return call.spread(self._checked(call, values))

        async def async_reward(**arguments: Any) -> list[Any]:
            given = call.arguments(arguments)
            if not places:
                return call.spread([])
            try:
                values = await function(**given)
            except MtgrpoError:
                raise
            except (Exception, SystemExit) as error:
                raise call.raised(given, error, ask_again=False) from error
            return call.spread(self._checked(call, values))

        return async_reward if is_async(function) else reward

    def _checked(self, call: _Call, values: Any) -> list[Any]:
        checked = call.checked(values)
        for place, value in enumerate(checked):
            if value is None or not _is_nan(value) or id(call.function) in self._said_nan:
                continue

            self._said_nan.add(id(call.function))
            logger.warning(
                "%s: reward function %s returned nan; it counts as None, as in TRL: the function "
                "does not apply to that completion; return None if that is meant, or correct it "
                "(said once)",
                call.where([place]),
                named(call.function),
            )
        return checked


class _Call:
    """One call of a function.

    Args:
        function: The user's.
        rows: Those of the whole batch.
        places: Of those, the rows that it is asked about.
        is_part: Whether there may be others.
    """

    def __init__(
        self, function: Any, rows: Sequence[Any], places: Sequence[int], *, is_part: bool
    ) -> None:
        self.function, self.rows, self.places, self.is_part = function, rows, places, is_part

    def arguments(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What the function gets, of what TRL gives for the whole batch."""
        if not self.is_part:
            return dict(arguments)

        num_rows = len(arguments["completions"])
        if len(self.rows) != num_rows:
            raise StateError(
                f"rewards: {counted(num_rows, 'completion')}, but "
                f"{counted(len(self.rows), 'row')} to score; "
                "reward functions by task only work inside MultiTaskGRPOTrainer"
            )

        own = {name for i in self.places for name in self.rows[i]}
        given: dict[str, Any] = {}
        for name, value in arguments.items():
            if name == "log_extra":
                given[name] = _spread_log(value, self.places, num_rows)
            elif name in SHARED:
                given[name] = value
            elif name in own or name in PROTOCOL:
                given[name] = [value[i] for i in self.places]
        return given

    def spread(self, values: Sequence[Any]) -> list[Any]:
        """The values for all rows: None where the function was not asked."""
        if not self.is_part:
            return list(values)
        return _spread(values, self.places, len(self.rows))

    def checked(self, values: Any) -> list[Any]:
        """What it returned, one number or None for each row.

        Raises:
            RewardError: It is something else; names function, place, task and row.
        """
        if not isinstance(values, Iterable) or isinstance(values, (str, bytes, Mapping, Score)):
            raise self._returned(reprlib.repr(values), ONE_EACH)

        listed = list(values)
        if len(listed) != len(self.places):
            what = f"{counted(len(listed), 'value')} for {counted(len(self.places), 'completion')}"
            raise self._returned(what, ONE_EACH)

        for place, value in enumerate(listed):
            if value is None or _is_nan(value) or as_number(value) is not None:
                continue

            needed = "a finite number is needed, or None where it does not apply"
            if isinstance(value, Score):
                needed = (
                    "one number is needed; return the reward alone, and say with accuracy= or "
                    "correct_at= what is right"
                )
            raise self._returned(reprlib.repr(value), needed, [place])

        return listed

    def _returned(self, what: str, needed: str, places: Sequence[int] | None = None) -> RewardError:
        return RewardError(
            f"{self.where(places)}: reward function {named(self.function)} returned {what}; "
            f"{needed}"
        )

    def raised(
        self, given: Mapping[str, Any], error: BaseException, *, ask_again: bool = True
    ) -> RewardError:
        """What to say of an error: find the row by asking again, one at a time.

        Args:
            given: The arguments.
            error: What was raised.
            ask_again: Whether that can be done.
        """
        places: Sequence[int] | None = None
        if ask_again and "environments" not in given:  # these have moved on
            for place in range(len(self.places)):
                try:
                    self.function(**_of_one(given, place, len(self.places)))
                except (Exception, SystemExit) as alone:
                    error, places = alone, [place]
                    break

        return RewardError(
            f"{self.where(places)}: reward function {named(self.function)} raised "
            f"{fault(error, self.function)}; one number or None for any completion is needed; "
            "correct it there"
        )

    def where(self, places: Sequence[int] | None = None) -> str:
        """Task and row of one completion, or the tasks of all of them."""
        if places is not None:
            row = self.rows[self.places[places[0]]]
            if hasattr(row, "task"):
                return f"task {row.task!r}, prompt {row.index}"

        names = dict.fromkeys(getattr(self.rows[i], "task", "") for i in self.places)
        shown = ", ".join(repr(name) for name in names if name)
        if not shown:
            return "rewards"
        return f"{'tasks' if len(names) > 1 else 'task'} {shown}"


class _ModelOfSomeRows(torch.nn.Module):
    """A reward model that is asked about some rows; the others get NaN, TRL's None.

    Args:
        model: Of one number per row, as logits.
        places: Numbers of the rows that it is asked about.
    """

    def __init__(self, model: torch.nn.Module, places: Sequence[int]) -> None:
        super().__init__()
        self.model, self.places = model, list(places)

    def forward(self, **inputs: torch.Tensor) -> Any:
        num_rows = len(inputs["input_ids"])
        # A model that is spread over processes must run on each of them.
        asked = self.places or [0]
        own = {name: value[asked] for name, value in inputs.items()}
        logits = self.model(**own).logits  # (asked rows, 1)

        spread = logits.new_full((num_rows, logits.shape[1]), math.nan)
        if self.places:
            spread[self.places] = logits
        return SimpleNamespace(logits=spread)


def is_async(function: Any) -> bool:
    """Whether calling a function gives something to wait for."""
    call: Any = getattr(function, "__call__", None)  # noqa: B004 - the method of an object
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _is_nan(value: Any) -> bool:
    try:
        return bool(value != value)
    except (TypeError, ValueError, RuntimeError):  # of several elements
        return False


def _spread(values: Sequence[Any], places: Sequence[int], num_rows: int) -> list[Any]:
    spread: list[Any] = [None] * num_rows
    for place, value in zip(places, values, strict=True):
        spread[place] = value
    return spread


def _spread_log(
    log_extra: Callable[[str, list[Any]], None], places: Sequence[int], num_rows: int
) -> Callable[[str, Sequence[Any]], None]:
    """`log_extra` for the rows of some tasks: the others' places are empty."""

    def log(column: str, values: Sequence[Any]) -> None:
        log_extra(column, _spread(values, places, num_rows))

    return log


def _of_one(given: Mapping[str, Any], place: int, num_rows: int) -> dict[str, Any]:
    """The arguments for one row alone; nothing is logged."""
    one: dict[str, Any] = {}
    for name, value in given.items():
        if name in ("log_extra", "log_metric"):
            one[name] = _log_nothing
        elif name not in SHARED and isinstance(value, list) and len(value) == num_rows:
            one[name] = value[place : place + 1]
        else:
            one[name] = value
    return one


def _log_nothing(*args: Any) -> None:
    """In place of TRL's log."""
