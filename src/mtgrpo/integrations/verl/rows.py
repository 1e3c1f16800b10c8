"""Tasks as the Parquet files verl reads, and the reward function that goes with them."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtgrpo.errors import ConfigError, RewardError, TaskError, require
from mtgrpo.runlog.files import plain, write_text
from mtgrpo.tasks import TaskSet, build_tasks
from mtgrpo.tasks.task import Task

TASKS_FILE = "tasks.json"
SPLITS = ("train", "test")


# ---- writing -----------------------------------------------------------------------------------
def write_rows(specs: Sequence[Mapping[str, Any]], folder: str | Path) -> dict[str, dict[str, int]]:
    """Write ``train.parquet``, ``test.parquet`` and ``tasks.json``, which `compute_score` reads.

    Each row has verl's columns: ``data_source`` (the task's name), ``prompt`` (chat messages),
    ``ability`` (the task's family), ``reward_model`` whose ``ground_truth`` is the task's own row
    as JSON, and ``extra_info`` with ``index`` and ``split``.

    Args:
        specs: Task descriptions as in a configuration's ``tasks``; docs/writing-a-task.md lists
            the kinds.
        folder: Made if it is not there; files of the same names are replaced.

    Returns:
        Rows written, by task and split.

    Raises:
        ConfigError: A task cannot be built, has steps of its own, does not say what is right, or a
            row holds something that JSON or Parquet cannot.
        MissingExtra: pyarrow is not installed.
    """
    require("pyarrow", "verl")
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_what_is_right(specs)
    tasks = build_tasks(specs, "tasks")
    tasks.check_disjoint()
    _check_present_throughout(tasks)
    _check_settings(tasks)

    folder = Path(folder)
    described = {"tasks": plain(list(specs), TASKS_FILE)}
    write_text(folder / TASKS_FILE, json.dumps(described, indent=1) + "\n")

    schema = _schema()

    counts: dict[str, dict[str, int]] = {task.name: dict.fromkeys(SPLITS, 0) for task in tasks}
    for split in SPLITS:
        with pq.ParquetWriter(folder / f"{split}.parquet", schema) as writer:
            for task in tasks:  # one row group per task, so that a task at a time is in memory
                rows = list(_verl_rows(task, split))
                counts[task.name][split] = len(rows)

                if rows:
                    writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return counts


def _check_what_is_right(specs: Sequence[Mapping[str, Any]]) -> None:
    for i, spec in enumerate(specs):
        if "verifiers" in spec and spec.get("correct_at") is None:
            raise ConfigError(
                f"tasks[{i}]: verifiers taskset {spec['verifiers']!r}: it does not say what is "
                "right, and under verl a task must; set correct_at, the reward from which on a "
                "completion is right"
            )


def _check_present_throughout(tasks: TaskSet) -> None:
    for task in tasks:
        if task.from_step or task.until_step is not None:
            raise ConfigError(
                f"task {task.name!r}: from_step={task.from_step}, until_step={task.until_step}; "
                "under verl tasks do not join or leave while a run goes on; drop both, and resume "
                "the run with other data when a task is to join or leave"
            )


def _check_settings(tasks: TaskSet) -> None:
    for task in tasks:
        if task.generation:
            raise ConfigError(
                f"task {task.name!r}: generation: {task.generation.in_words()}; verl's trainer has "
                "one temperature for the log-probabilities of a batch, and its agent loop the same "
                "sampling parameters for all its prompts; take generation out of the task"
            )


def _schema() -> Any:
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    reward_model = pa.struct([("style", pa.string()), ("ground_truth", pa.string())])
    extra_info = pa.struct([("index", pa.int64()), ("split", pa.string())])
    return pa.schema(
        [
            ("data_source", pa.string()),
            ("prompt", pa.list_(message)),
            ("ability", pa.string()),
            ("reward_model", reward_model),
            ("extra_info", extra_info),
        ]
    )


def _verl_rows(task: Task, split: str) -> Iterator[dict[str, Any]]:
    rows = task.train if split == "train" else task.test
    for i in range(len(rows)):
        row = rows[i]
        where = f"task {task.name!r}, {split} row {i}"

        yield {
            "data_source": task.name,
            "prompt": _messages(row["prompt"], where),
            "ability": task.family or task.name,
            "reward_model": {"style": "rule", "ground_truth": _to_json(row, where)},
            "extra_info": {"index": i, "split": split},
        }


def _messages(prompt: Any, where: str) -> list[dict[str, str]]:
    """A prompt as chat messages whose contents are texts."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]

    for message in prompt:
        if not isinstance(message.get("content"), str):
            raise TaskError(
                f"{where}: a message whose content is no text; verl's Parquet rows hold texts, so "
                "write such a data set yourself and give data.mtgrpo.task_key its task column"
            )
    return [{"role": message["role"], "content": message["content"]} for message in prompt]


def _to_json(row: Mapping[str, Any], where: str) -> str:
    try:
        return json.dumps(dict(row), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TaskError(f"{where}: {error}; columns must be what JSON can hold") from None


# ---- scoring -----------------------------------------------------------------------------------
def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any],
    *,
    tasks: str,
) -> dict[str, float]:
    """verl's reward function for rows of `write_rows`.

    Set ``reward.custom_reward_function.path`` to ``pkg://mtgrpo.integrations.verl.rows``, and its
    ``reward_kwargs.tasks`` to the folder that was written.

    Args:
        data_source: Name of the task.
        solution_str: The completion.
        ground_truth: The task's row as JSON.
        extra_info: Holds ``index``, which names the row in errors.
        tasks: The folder with ``tasks.json``.

    Returns:
        ``score``, the reward, and ``acc``, the accuracy.

    Raises:
        RewardError: The task's reward raised, or returned no finite number.
        ConfigError: No readable ``tasks.json``, or none of its tasks has that name.
    """
    task = read_tasks(tasks)[data_source]
    row = json.loads(ground_truth)
    (score,) = task.score([row], [solution_str], [extra_info["index"]])
    if score.accuracy is None:
        raise RewardError(
            f"task {data_source!r}: its reward does not say what is right; under verl a task needs "
            "correct_at, or a reward that returns Score objects"
        )
    return {"score": score.reward, "acc": score.accuracy}


@functools.lru_cache(maxsize=8)
def read_tasks(folder: str) -> TaskSet:
    """The tasks of a folder that `write_rows` wrote.

    Raises:
        ConfigError: No readable ``tasks.json``, or its tasks cannot be built here.
    """
    path = Path(folder) / TASKS_FILE
    try:
        specs = json.loads(path.read_text(encoding="utf-8"))["tasks"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: cannot be read ({type(error).__name__}: {error}); give the folder that "
            "write_rows wrote, as seen from every node"
        ) from None
    return build_tasks(specs, str(path))
