"""What a completion is worth, and how a reward function is called."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

Row: TypeAlias = "Mapping[str, Any]"
"""One prompt: the key ``"prompt"`` and whatever columns the reward reads."""

Completion: TypeAlias = "str | Sequence[Mapping[str, Any]]"
"""What a model answered: a text, or chat messages with the keys ``role`` and ``content``."""


class Score(NamedTuple):
    """What one completion is worth.

    Attributes:
        reward: The number that is trained on; any finite number.
        accuracy: The number that is reported and filtered on, in [0, 1].
    """

    reward: float
    accuracy: float


RewardFunction: TypeAlias = "Callable[..., Sequence[float | Score | None]]"
"""TRL's own signature: ``f(prompts=[...], completions=[...], **columns as lists)``, one value per completion."""

# Keyword arguments every reward function is called with; a column of that name would collide.
RESERVED_COLUMNS = frozenset({"prompts", "completions"})


def each(fn: Callable[[str, Row], float | Score]) -> RewardFunction:
    """Make a reward function of a function that scores one completion.

    Args:
        fn: Called as ``fn(completion_text, row)``; `row` has the prompt and the columns of the data.

    Returns:
        A reward function for `Task` and for TRL's ``reward_funcs``. An exception of `fn` passes through.
    """

    def reward(
        prompts: Sequence[Any], completions: Sequence[Completion], **columns: Any
    ) -> list[float | Score]:
        # An engine may add arguments that are no columns (TRL: trainer_state, log_metric): leave them out.
        lists = {
            name: cast("list[Any]", values)
            for name, values in columns.items()
            if isinstance(values, list) and len(cast("list[Any]", values)) == len(completions)
        }
        return [
            fn(
                completion_text(completion),
                {"prompt": prompt, **{name: values[i] for name, values in lists.items()}},
            )
            for i, (prompt, completion) in enumerate(zip(prompts, completions, strict=True))
        ]

    reward.__name__ = getattr(fn, "__name__", type(fn).__name__)
    reward.__qualname__ = getattr(fn, "__qualname__", reward.__name__)
    reward.__module__ = getattr(fn, "__module__", reward.__module__)
    reward.__doc__ = fn.__doc__
    setattr(reward, "scores_one", fn)  # noqa: B010 - `reward_recipe` finds the function another process can import
    return reward


def completion_text(completion: Completion) -> str:
    """The text of a completion.

    Args:
        completion: A text, or chat messages. Of messages, the last run of assistant messages counts (what
            stands after the last tool call's result), joined by line ends; of content in parts, the text parts.

    Returns:
        The text; empty when no assistant message is there.

    Raises:
        TypeError: `completion` is neither.
    """
    if isinstance(completion, str):
        return completion
    texts: list[str] = []
    for message in reversed(list(completion)):
        if message.get("role") == "assistant":
            texts.append(_content_text(message.get("content")))
        elif texts:
            break
    return "\n".join(reversed(texts))


def _content_text(content: object) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Iterable):
        parts = cast("Iterable[Any]", content)
        return "".join(
            str(cast("Mapping[str, Any]", part).get("text", ""))
            for part in parts
            if isinstance(part, Mapping)
        )
    raise TypeError(
        f"message content: found {type(content).__name__}; a text or a list of parts is needed"
    )


def call_reward(
    reward: RewardFunction, rows: Sequence[Row], completions: Sequence[Completion]
) -> list[object] | None:
    """The values that `reward` returns for one row per completion, or None when that is no sequence."""
    names = dict.fromkeys(name for row in rows for name in row if name != "prompt")
    columns = {name: [row.get(name) for row in rows] for name in names}
    result: Any = reward(
        prompts=[row["prompt"] for row in rows], completions=list(completions), **columns
    )
    # Lists, tuples, arrays and tensors are all fine; a text or a mapping iterates too, but never on purpose.
    if isinstance(result, (str, bytes, Mapping, Score)) or not hasattr(
        cast("object", result), "__len__"
    ):
        return None
    try:
        return list(result)
    except TypeError:  # a tensor or array without dimensions has a length method that refuses
        return None


def as_number(value: Any) -> float | None:
    """`value` as a finite float, or None when it is no number (texts and booleans are not)."""
    if (
        isinstance(value, (bool, str, bytes)) or type(value).__name__ == "bool"
    ):  # numpy's and a plain one
        return None
    try:
        number = float(value)
    except (
        TypeError,
        ValueError,
        OverflowError,
        RuntimeError,
    ):  # RuntimeError: a tensor of many numbers
        return None
    return number if math.isfinite(number) else None


def label(fn: object) -> str:
    """A function's module and name, for messages."""
    name = getattr(fn, "__qualname__", None) or type(fn).__qualname__
    module = getattr(fn, "__module__", None)
    return f"{module}.{name}" if module else str(name)
