"""Tasks from the rows that the Multi-Task GRPO paper released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from mtgrpo.errors import TaskError, did_you_mean
from mtgrpo.tasks.sources.paper import FAMILIES, LEVELS
from mtgrpo.tasks.sources.read_rows import RowSource, read_rows, require_column
from mtgrpo.tasks.task import Task
from mtgrpo.tasks.task_set import TaskSet


class _Rows(NamedTuple):
    train: list[dict[str, Any]]
    test: list[dict[str, Any]]


def released_tasks(*sources: RowSource) -> list[Task]:
    r"""The tasks in rows of the released schema, one per family and level, in the order of their first rows.

    Family, level and split are read from ``extra_info`` (``type``, ``difficulty`` 1 to 4, ``split``); the name is
    ``"<family>-<level>"``, as in `paper_task`. ``data_source`` is not parsed. A prompt of one user message becomes a
    text, because the paper uses no chat template. The rewards are those of `paper_task`.

    Args:
        *sources: ``.parquet`` or ``.jsonl`` files, or rows; train and test rows may come in one or in several.

    Raises:
        TaskError: a row does not have the released schema, or a prompt is in both splits.
    """
    if not sources:
        raise TaskError("released_tasks: no source; give a file or rows")
    found: dict[tuple[str, str], _Rows] = {}
    for number, source in enumerate(sources):
        where = "released_tasks" if len(sources) == 1 else f"released_tasks, source {number}"
        rows = read_rows(source, where)
        for column in ("prompt", "reward_model", "extra_info"):
            require_column(rows, column, where)
        for i, row in enumerate(rows):
            at = f"{where}: row {i}"
            family, level, split = _place(row["extra_info"], at)
            splits = found.setdefault((family, level), _Rows([], []))
            getattr(splits, split).append(_row(family, row, at))
    tasks = [
        Task(
            name=f"{family}-{level}",
            train=splits.train,
            test=splits.test,
            reward=FAMILIES[family].reward,
            floor=FAMILIES[family].floors[LEVELS.index(level)],
            family=family,
            level=level,
            oracle=FAMILIES[family].oracle,
        )
        for (family, level), splits in found.items()
    ]
    TaskSet(*tasks).check_disjoint()
    return tasks


def _place(extra: Any, where: str) -> tuple[str, str, str]:
    """Family, level and split of a row."""
    info = _mapping(extra, where, "extra_info")
    family: str = _one_of(info, "type", list(FAMILIES), where)
    difficulty: int = _one_of(info, "difficulty", list(range(1, len(LEVELS) + 1)), where)
    split: str = _one_of(info, "split", ["train", "test"], where)
    return family, LEVELS[difficulty - 1], split


def _one_of(info: Mapping[str, Any], key: str, allowed: Sequence[Any], where: str) -> Any:
    value = info.get(key)
    if value not in allowed:
        hint = did_you_mean(str(value), map(str, allowed))
        raise TaskError(
            f"{where}: extra_info.{key} is {value!r}{hint}; allowed: {', '.join(map(str, allowed))}"
        )
    return value


def _row(family: str, row: Mapping[str, Any], where: str) -> dict[str, Any]:
    model = _mapping(row["reward_model"], where, "reward_model")
    truth = _mapping(model.get("ground_truth"), where, "reward_model.ground_truth")
    prompt: Any = row["prompt"]
    if isinstance(prompt, list):
        messages = cast("list[Any]", prompt)
        if len(messages) == 1 and isinstance(messages[0], Mapping) and "content" in messages[0]:
            prompt = cast("Mapping[str, Any]", messages[0])["content"]
    if family != "countdown":
        if not isinstance(truth.get("target"), str):
            raise TaskError(
                f"{where}: reward_model.ground_truth.target is {truth.get('target')!r}; a text is needed"
            )
        return {"prompt": prompt, "answer": truth["target"]}
    try:
        numbers = [int(number) for number in str(truth["numbers"]).split(",")]
        return {"prompt": prompt, "numbers": numbers, "target": int(truth["target"])}
    except (KeyError, TypeError, ValueError) as error:
        raise TaskError(
            f"{where}: reward_model.ground_truth is {dict(truth)!r}; target and numbers such as '8,73,96' are needed"
        ) from error


def _mapping(value: Any, where: str, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TaskError(f"{where}: {what} is a {type(value).__name__}; a mapping is needed")
    return cast("Mapping[str, Any]", value)
