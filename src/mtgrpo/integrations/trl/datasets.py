"""What a trainer is given to train and to evaluate on, as tasks: datasets, or a task set."""

# TRL exports lazily, which pyright cannot see.
# pyright: reportPrivateImportUsage=false
from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from datasets import Dataset, IterableDataset
from trl import GRPOConfig

from mtgrpo.errors import ConfigError, StateError, counted
from mtgrpo.integrations.trl.given_rows import check_column, check_prompts
from mtgrpo.integrations.trl.loader_rows import LoaderRows, LoaderStream
from mtgrpo.integrations.trl.reward_columns import by_task
from mtgrpo.integrations.trl.schedule import WHERE, Schedule
from mtgrpo.integrations.trl.setup import placeholder_dataset
from mtgrpo.integrations.trl.streamed_rows import BUFFER, StreamedPrompts, streams_of
from mtgrpo.tasks.sources.dataset import DEFAULT, check_names, rows_by_task
from mtgrpo.tasks.task import Task
from mtgrpo.tasks.task_set import TaskSet

logger = logging.getLogger("mtgrpo")


@dataclass(frozen=True)
class Data:
    """The rows of a run.

    Attributes:
        tasks: Its tasks.
        column: Column of a dataset's row that names its task; None for a task set.
        train_dataset: What TRL's loader reads.
        streams: Prompts of each task to train on; empty where each is a `PromptStream`.
        shuffle: Whether those permute their rows.
        loader: Set where the rows of TRL's loader are those that are trained on.
    """

    tasks: TaskSet
    column: str | None = None
    train_dataset: Any = None
    streams: Mapping[str, Any] = field(default_factory=dict)
    shuffle: bool = True
    loader: LoaderRows | None = None

    @property
    def of_datasets(self) -> bool:
        """Whether rows and rewards are TRL's, not those of a task set."""
        return self.column is not None


def data_of_tasks(tasks: Any) -> Data:
    """That of a task set.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(tasks, TaskSet):
        raise ConfigError(
            f"{WHERE}: tasks is a {type(tasks).__name__}; a TaskSet is needed: TaskSet(task, ...)"
        )
    return Data(one_kind_of_prompt(tasks))


def data_of_datasets(
    train_dataset: Any,
    args: GRPOConfig,
    schedule: Schedule,
    *,
    column: str,
    reward_ranges: Mapping[str, tuple[float, float]] | tuple[float, float] | None,
    leave_to_loader: bool,
    needs_prompts: bool = True,
) -> Data:
    """That of what TRL calls train_dataset.

    Args:
        train_dataset: With or without a length, or a mapping with one for each task, or None.
        args: TRL's `GRPOConfig`.
        schedule: TRL's batch arithmetic.
        column: Column that names the task of each row. Without one called `TASK_COLUMN` a dataset
            is one task; any other name must be there.
        reward_ranges: Lowest and highest reward, for all tasks or by task.
        leave_to_loader: Whether TRL's loader says which rows are next, if there is one task.
        needs_prompts: Whether rows must have prompts; environments may bring theirs.

    Raises:
        ConfigError: What no task can be made of, or a method where an environment owns the data.
        TaskError: A row without a name of its task, or with a prompt that cannot be used.
    """
    if train_dataset is None and not needs_prompts and not leave_to_loader:
        raise ConfigError(
            f"{WHERE}: a method without train_dataset; environments that own the data go with "
            "plain GRPO alone; leave method out, or give train_dataset with a row for each prompt"
        )
    check_column(train_dataset, column)
    if needs_prompts:
        check_prompts(train_dataset)

    rows: dict[str, Any]
    rows, is_stream = _rows_by_task(train_dataset, column)
    # TRL has words of its own for dispatch_batches, which it does not take with streams.
    dispatches = getattr(args.accelerator_config, "dispatch_batches", None)
    if is_stream and args.max_steps <= 0 and not dispatches:
        raise ConfigError(
            f"{WHERE}: args.max_steps={args.max_steps}, and datasets without a length have no "
            "epochs; set max_steps"
        )

    ranges = by_task(reward_ranges, tuple(rows), "reward_range")
    if not leave_to_loader and tuple(rows) == (DEFAULT,) and train_dataset is not None:
        logger.warning(
            "%s: train_dataset has no column %r, so all its rows are one task; name the column of "
            "the tasks with task_column=",
            WHERE,
            column,
        )

    loader: LoaderRows | None = None
    streams: dict[str, Any] = {}
    if len(rows) == 1 and leave_to_loader and not isinstance(train_dataset, Mapping):
        (name,) = rows
        loader = LoaderRows()
        rows = {name: loader}
        streams = {name: LoaderStream(name, schedule.batch_size)}
    elif is_stream:
        streams = {name: StreamedPrompts(part) for name, part in rows.items()}
        _say_of_streams()

    tasks = TaskSet(
        *(
            Task(name, part, (), _scored_by_trl, reward_range=ranges.get(name))
            for name, part in rows.items()
        )
    )
    # TRL's loader yields whole batches only: of a dataset smaller than one, nothing at all.
    num_rows = len(train_dataset) if isinstance(train_dataset, Dataset) else schedule.batch_size
    is_small = num_rows < schedule.batch_size
    if loader is not None and is_small:
        _say_of_small(num_rows, schedule.batch_size)

    if loader is None and (is_stream or is_small or isinstance(train_dataset, Mapping)):
        tasks = one_kind_of_prompt(tasks)
        sizes = [part.size for part in streams.values()] or [len(part) for part in rows.values()]
        train_dataset = placeholder_dataset(sizes, schedule.batch_size)
    return Data(tasks, column, train_dataset, streams, bool(args.shuffle_dataset), loader)


def _rows_by_task(train_dataset: Any, column: str) -> tuple[dict[str, Sequence[Any]], bool]:
    """The rows of each task, and whether they come from a stream."""
    if train_dataset is None:  # an environment owns the data, or TRL says what is missing
        return {DEFAULT: LoaderRows()}, False

    parts: Iterable[Any] = [train_dataset]
    if isinstance(train_dataset, Mapping):
        check_names(train_dataset, f"{WHERE}: train_dataset")
        parts = list(train_dataset.values())
    kinds = {isinstance(part, IterableDataset) for part in parts}
    if kinds == {True}:
        return dict(streams_of(train_dataset, column)), True
    if kinds == {True, False}:
        raise ConfigError(
            f"{WHERE}: train_dataset has datasets with and without a length; make them all of one "
            "kind: Dataset.from_list(list(part.take(10_000)))"
        )

    odd = next((part for part in parts if not isinstance(part, Dataset)), None)
    if odd is not None and not isinstance(train_dataset, Mapping):
        return {DEFAULT: LoaderRows()}, False  # TRL refuses it, in its own words
    if odd is not None:
        raise ConfigError(
            f"{WHERE}: train_dataset has a {type(odd).__name__}; a Dataset for each task is needed"
        )
    return rows_by_task(train_dataset, column, f"{WHERE}: train_dataset"), False


def _say_of_streams() -> None:
    logger.warning(
        "%s: rows of datasets without a length are read in their order, %d of each task are kept; "
        "resuming reads them from the start again, and is exact where no task's buffer ran over",
        WHERE,
        BUFFER,
    )


def _say_of_small(num_rows: int, batch_size: int) -> None:
    logger.warning(
        "%s: train_dataset has %s, and a generation batch %d prompts; TRL leaves out what fills no "
        "batch, so no step will be made; give more rows, name a method=, or make "
        "per_device_train_batch_size smaller",
        WHERE,
        counted(num_rows, "row"),
        batch_size,
    )


def _scored_by_trl(prompts: Any, completions: Any, **columns: Any) -> list[float]:
    raise StateError("rewards: the tasks of a dataset are scored by TRL's own reward functions")


# ---- texts and chats ---------------------------------------------------------------------------
class ChatRows(Sequence[Mapping[str, Any]]):
    """Rows with text prompts as rows whose prompts are one user message.

    Args:
        rows: The rows.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        row = self._rows[index]
        prompt = row["prompt"]
        if not isinstance(prompt, str):
            return row
        return {**row, "prompt": [{"role": "user", "content": prompt}]}


def _as_chats(rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    # Rows in memory stay there: they are checked before the run.
    chats = ChatRows(rows)
    return list(chats) if isinstance(rows, (list, tuple)) else chats


def one_kind_of_prompt(tasks: TaskSet) -> TaskSet:
    """The tasks with chat prompts, where any of them has some: TRL needs one kind in a run."""
    kinds = {task.name: _is_text(task) for task in tasks}
    texts = [name for name, is_text in kinds.items() if is_text]
    if not texts or all(kind is not False for kind in kinds.values()):
        return tasks

    logger.warning(
        "%s: there are tasks with chat messages, so each text prompt of %s becomes one user "
        "message, and rewards get messages",
        WHERE,
        ", ".join(map(repr, texts)),
    )
    return TaskSet(
        *(
            replace(task, train=_as_chats(task.train), test=_as_chats(task.test))
            if task.name in texts
            else task
            for task in tasks
        )
    )


def _is_text(task: Task) -> bool | None:
    """Whether a task's prompts are texts; None where the first row has none."""
    for rows in (task.train, task.test):
        if isinstance(rows, LoaderRows):
            return None
        if len(rows):
            prompt = rows[0].get("prompt")
            return None if prompt is None else isinstance(prompt, str)
    return None
