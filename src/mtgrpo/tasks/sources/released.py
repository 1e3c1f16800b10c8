"""Tasks from the rows that the Multi-Task GRPO paper released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from mtgrpo.errors import TaskError, did_you_mean
from mtgrpo.tasks.columns import whole_number, whole_numbers
from mtgrpo.tasks.sources.paper import FAMILIES, LEVELS
from mtgrpo.tasks.sources.read_rows import RowSource, read_rows, require_column
from mtgrpo.tasks.task import Task
from mtgrpo.tasks.task_set import TaskSet

SPLITS = ("train", "test")


def released_tasks(*sources: RowSource) -> list[Task]:
    r"""The tasks in rows of the released schema, in the order of their first rows.

    There is one task per family and level. Family, level and split are read from ``extra_info``
    (``type``, ``difficulty`` 1 to 4, ``split``); the name is ``"<family>-<level>"``, as in
    `paper_task`. ``data_source`` is not parsed. A prompt of one user message becomes a text,
    because the paper uses no chat template. The rewards are those of `paper_task`.

    Args:
        *sources: ``.parquet`` or ``.jsonl`` files, or rows; train and test rows may come in one
            or in several.

    Raises:
        TaskError: a row does not have the released schema, or a prompt is in both splits.
    """
    if not sources:
        raise TaskError("released_tasks: no source; give a file or rows")

    rows_by_task: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for number, source in enumerate(sources):
        where = "released_tasks" if len(sources) == 1 else f"released_tasks, source {number}"
        rows = read_rows(source, where)
        for column in ("prompt", "reward_model", "extra_info"):
            require_column(rows, column, where)

        for i, row in enumerate(rows):
            at = f"{where}: row {i}"
            family, level, split = _place(row["extra_info"], at)
            splits = rows_by_task.setdefault((family, level), {name: [] for name in SPLITS})
            splits[split].append(_row(family, row, at))

    tasks = [_task(*key, splits) for key, splits in rows_by_task.items()]
    TaskSet(*tasks).check_disjoint()
    return tasks


def _task(family: str, level: str, splits: Mapping[str, list[dict[str, Any]]]) -> Task:
    recipe = FAMILIES[family]
    return Task(
        name=f"{family}-{level}",
        train=splits["train"],
        test=splits["test"],
        reward=recipe.reward,
        floor=recipe.floors[LEVELS.index(level)],
        family=family,
        level=level,
        oracle=recipe.oracle,
    )


def _place(extra: Any, where: str) -> tuple[str, str, str]:
    """Family, level and split of a row."""
    info = _mapping(extra, where, "extra_info")
    difficulties = list(range(1, len(LEVELS) + 1))

    family: str = _one_of(info, "type", list(FAMILIES), where)
    difficulty: int = _one_of(info, "difficulty", difficulties, where)
    split: str = _one_of(info, "split", SPLITS, where)
    return family, LEVELS[difficulty - 1], split


def _one_of(info: Mapping[str, Any], key: str, allowed: Sequence[Any], where: str) -> Any:
    value = info.get(key)
    if value not in allowed:
        names = [str(name) for name in allowed]
        hint = did_you_mean(str(value), names)
        raise TaskError(
            f"{where}: extra_info.{key} is {value!r}{hint}; allowed: {', '.join(names)}"
        )
    return value


def _row(family: str, row: Mapping[str, Any], where: str) -> dict[str, Any]:
    model = _mapping(row["reward_model"], where, "reward_model")
    truth = _mapping(model.get("ground_truth"), where, "reward_model.ground_truth")
    prompt = _prompt(row["prompt"])

    if family != "countdown":
        if not isinstance(truth.get("target"), str):
            raise TaskError(
                f"{where}: reward_model.ground_truth.target is {truth.get('target')!r}; "
                "a text is needed"
            )
        return {"prompt": prompt, "answer": truth["target"]}

    at = f"{where}: reward_model.ground_truth"
    try:
        return {
            "prompt": prompt,
            "numbers": whole_numbers(truth["numbers"], "numbers"),
            "target": whole_number(truth["target"], "target"),
        }
    except (KeyError, TaskError) as error:
        raise TaskError(
            f"{at} is {dict(truth)!r}; target and numbers such as '8,73,96' are needed"
        ) from error


def _prompt(prompt: Any) -> Any:
    """The content of a prompt of one message; any other prompt as it is."""
    if not isinstance(prompt, list):
        return prompt

    messages = cast("list[Any]", prompt)
    if len(messages) == 1 and isinstance(messages[0], Mapping) and "content" in messages[0]:
        return cast("Mapping[str, Any]", messages[0])["content"]
    return messages


def _mapping(value: Any, where: str, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TaskError(f"{where}: {what} is a {type(value).__name__}; a mapping is needed")
    return cast("Mapping[str, Any]", value)
