"""What a completion is worth, and how a reward function is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

from mtgrpo.imports import USER_MODULE
from mtgrpo.tasks.own_copy import own_copy

Row: TypeAlias = "Mapping[str, Any]"
"""One prompt: the key ``"prompt"`` and whatever columns the reward reads."""

Completion: TypeAlias = "str | Sequence[Mapping[str, Any]]"
"""What a model answered: a text, or chat messages with the keys ``role`` and ``content``."""


class Score(NamedTuple):
    """What one completion is worth.

    Attributes:
        reward: The number that is trained on; from -1e15 to 1e15.
        accuracy: The number that is reported and filtered on, in [0, 1]; None where nothing is
            said about right and wrong: the completion is graded by its reward alone.
    """

    reward: float
    accuracy: float | None


RewardFunction: TypeAlias = "Callable[..., Sequence[float | Score | None]]"
"""TRL's own signature: ``f(prompts=[...], completions=[...], **columns as lists)``.

It returns one value per completion.
"""

# Keyword arguments every reward function is called with; a column of that name would collide.
RESERVED_COLUMNS = frozenset({"prompts", "completions"})


def each(fn: Callable[[str, Row], float | Score]) -> RewardFunction:
    """Make a reward function of a function that scores one completion.

    Args:
        fn: Called as ``fn(completion_text, row)``; `row` has the prompt and the data's columns.

    Returns:
        A reward function for `Task` and for TRL's ``reward_funcs``. An exception of `fn` passes
        through.
    """

    def reward(
        prompts: Sequence[Any], completions: Sequence[Completion], **columns: Any
    ) -> list[float | Score]:
        # An engine may add arguments that are no columns (TRL: trainer_state, log_metric).
        lists: dict[str, list[Any]] = {}
        for name, values in columns.items():
            if isinstance(values, list) and len(cast("list[Any]", values)) == len(completions):
                lists[name] = values

        scores: list[float | Score] = []
        for i, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            row: dict[str, Any] = {"prompt": prompt}
            row.update((name, values[i]) for name, values in lists.items())

            scores.append(fn(completion_text(completion), row))
        return scores

    reward.__name__ = getattr(fn, "__name__", type(fn).__name__)
    reward.__qualname__ = getattr(fn, "__qualname__", reward.__name__)
    reward.__module__ = getattr(fn, "__module__", reward.__module__)
    reward.__doc__ = fn.__doc__
    # `reward_recipe` finds the function that another process can import.
    setattr(reward, "scores_one", fn)  # noqa: B010
    return reward


def completion_text(completion: Completion) -> str:
    """The text of a completion.

    Args:
        completion: A text, or chat messages. Of messages, the last run of assistant messages
            counts (what stands after the last tool call's result), joined by line ends; of content
            in parts, the text parts.

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

    if not isinstance(content, Iterable):
        kind = type(content).__name__
        raise TypeError(f"message content: found {kind}; a text or a list of parts is needed")

    texts: list[str] = []
    for part in cast("Iterable[Any]", content):
        if isinstance(part, Mapping):
            texts.append(str(cast("Mapping[str, Any]", part).get("text", "")))
    return "".join(texts)


def call_reward(
    reward: RewardFunction, rows: Sequence[Row], completions: Sequence[Completion]
) -> list[object] | None:
    """The values that `reward` returns for one row per completion.

    Every completion comes with containers of its own (`own_copy`), even where several have the
    same row: a reward may use up a list, and no row is changed by it.

    Returns:
        The values, or None when what it returns is no sequence.
    """
    names = dict.fromkeys(name for row in rows for name in row if name != "prompt")
    columns = {name: [own_copy(row.get(name)) for row in rows] for name in names}

    result: Any = reward(
        prompts=[own_copy(row["prompt"]) for row in rows],
        completions=[own_copy(completion) for completion in completions],
        **columns,
    )

    # Lists, tuples, arrays and tensors are all fine. A text or a mapping iterates too, but never on
    # purpose.
    if isinstance(result, (str, bytes, Mapping, Score)):
        return None
    if not hasattr(cast("object", result), "__len__"):
        return None

    try:
        return list(result)
    except TypeError:  # a tensor or array without dimensions has a length method that refuses
        return None


def label(fn: object) -> str:
    """A function's module and name, for messages; of a file's own module only the name."""
    name = getattr(fn, "__qualname__", None)
    if name is None:
        name = getattr(fn, "__name__", type(fn).__qualname__)
    module = getattr(fn, "__module__", None) or ""
    if not module or module == "__main__" or module.startswith(USER_MODULE):
        return str(name)  # `mtgrpo.tasks.faults.named` says its file
    return f"{module}.{name}"
