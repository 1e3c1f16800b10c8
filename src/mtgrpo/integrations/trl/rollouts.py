"""Rollouts between TRL's generation and its loss: recorded by row, planned by round."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mtgrpo.core.types import Group
from mtgrpo.tasks.own_copy import own_copy
from mtgrpo.tasks.prompts import OWN_COLUMNS, PromptCheck
from mtgrpo.tasks.task_set import TaskSet

TASK_KEY, ROW_KEY = OWN_COLUMNS
# Keys of what each row carries in the batch that TRL slices into minibatches, tensors of shape
# (rows,):
TASK_NUMBERS = "mtgrpo_task_numbers"
"""The number of its task; -1 marks a row that only fills up the batch."""
LOSS_FACTORS = "mtgrpo_loss_factors"
"""The factor on its advantage."""


@dataclass(frozen=True, slots=True)
class RecordedRow:
    """One completion as TRL made it.

    Attributes:
        inputs: Its row, as TRL got it.
        generation: Its part of what `_generate` returned, field by field.
        rewards: Its reward columns.
        trains: False for a row that only fills up the batch.
        old_log_probs: Log-probabilities of the completion's tokens under the policy that generated
            it, a tensor of shape (tokens,); None while that is the current policy.
        extra: What reward functions logged of it, by column.
        weight: What its advantage is multiplied by: groups that its group stands for.
    """

    inputs: dict[str, Any]
    generation: tuple[Any, ...]
    rewards: tuple[float, ...]
    trains: bool = True
    old_log_probs: Any = field(default=None, compare=False, repr=False)
    extra: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    weight: float = 1.0


class RolledOut(NamedTuple):
    """What came of one call of TRL's generation.

    Attributes:
        groups: One group per prompt, those of all processes; payloads are there on the process that
            made them.
        prompts: This process's prompts, row by row.
        completions: This process's completions, row by row.
    """

    groups: list[Group]
    prompts: Sequence[Any]
    completions: Sequence[Any]


def input_row(task: str, index: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """A task's row as it travels through TRL. Copied: TRL and environments may edit it in place."""
    columns = own_copy(dict(row))
    if not isinstance(columns["prompt"], str):  # TRL knows messages by their types
        columns["prompt"] = [dict(message) for message in columns["prompt"]]
    return {**columns, TASK_KEY: task, ROW_KEY: index}


class InputRows:
    """The tasks' rows as they travel through TRL.

    Args:
        tasks: Their rows are checked: those in memory now, generated ones as they are asked for.

    Attributes:
        prompts: What is known of the prompts.

    Raises:
        TaskError: A prompt cannot be used, or is both trained and tested on; names task and row.
    """

    def __init__(self, tasks: TaskSet) -> None:
        self.tasks, self.prompts = tasks, PromptCheck(tasks)
        tasks.check_disjoint()

    def train(self, task: str, index: int) -> dict[str, Any]:
        """A row to train on.

        Raises:
            TaskError: Its prompt cannot be used; names task and row.
        """
        row = self.tasks[task].train[index]
        self.prompts.check(self.tasks[task], "train", index, row)
        return input_row(task, index, row)

    def test(self, task: str, index: int) -> dict[str, Any]:
        """A row to test on.

        Raises:
            TaskError: Its prompt cannot be used; names task and row.
        """
        row = self.tasks[task].test[index]
        self.prompts.check(self.tasks[task], "test", index, row)
        return input_row(task, index, row)


class DatasetRow(dict[str, Any]):
    """A dataset's row as it travels through TRL: its columns and nothing else, as TRL has them.

    Attributes:
        task: Name of its task.
        index: Its number among the task's.
    """

    __slots__ = ("index", "task")

    def __init__(self, row: Mapping[str, Any], task: str, index: int) -> None:
        super().__init__(row)
        self.task, self.index = task, index

    def with_prompt(self, prompt: Any) -> DatasetRow:
        """The row with another prompt, and without images: those are in the generation."""
        others = {name: value for name, value in self.items() if name not in IMAGES}
        return DatasetRow({**others, "prompt": prompt}, self.task, self.index)


IMAGES = ("image", "images")


class DatasetInputRows(InputRows):
    """A dataset's rows as they travel through TRL, which checks them itself.

    Args:
        tasks: Those of the dataset.
    """

    def __init__(self, tasks: TaskSet) -> None:
        self.tasks = tasks

    def train(self, task: str, index: int) -> dict[str, Any]:
        return DatasetRow(own_copy(dict(self.tasks[task].train[index])), task, index)


def copied(row: dict[str, Any]) -> dict[str, Any]:
    """A copy of a row for another completion of its prompt."""
    if isinstance(row, DatasetRow):
        return DatasetRow(own_copy(dict(row)), row.task, row.index)
    return own_copy(row)


def task_of(row: Mapping[str, Any]) -> str:
    """The name of a row's task."""
    return row.task if isinstance(row, DatasetRow) else row[TASK_KEY]


def number_of(row: Mapping[str, Any]) -> int:
    """The number of a row among its task's."""
    return row.index if isinstance(row, DatasetRow) else row[ROW_KEY]


def with_all_images(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows in a form from which TRL takes all their images.

    TRL asks the first row alone whether there are images, and in which column. Where only some
    rows have some, or tasks have them in different columns, all get the column ``"images"``.
    """
    columns = {tuple(name for name in IMAGES if name in row) for row in rows}
    if len(columns) < 2:
        return rows

    lists = [_images(row) for row in rows]
    for row, images in zip(rows, lists, strict=True):
        for name in IMAGES:
            row.pop(name, None)
        if any(lists):
            row["images"] = images
    return rows


def _images(row: Mapping[str, Any]) -> list[Any]:
    if row.get("images") is not None:
        return list(row["images"])
    return [] if row.get("image") is None else [row["image"]]


# ---- generations -------------------------------------------------------------------------------
class _PerRow(NamedTuple):
    """A value that belongs to one row, in contrast to one that all rows of a call share."""

    value: Any


def split_generation(generation: Sequence[Any], num_rows: int) -> list[tuple[Any, ...]]:
    """The output of `_generate` row by row.

    Fields are not told apart by their position, which changes between releases.
    """

    def part(value: Any, i: int) -> Any:
        if isinstance(value, dict):  # extra fields of a rollout function
            return {key: part(inner, i) for key, inner in value.items()}
        if isinstance(value, list) and len(value) == num_rows:
            return _PerRow(value[i])
        return value

    return [tuple(part(value, i) for value in generation) for i in range(num_rows)]


def join_generation(rows: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """What `_generate` would have returned for these rows, which may come from different calls."""

    def join(values: Sequence[Any]) -> Any:
        if any(isinstance(value, _PerRow) for value in values):
            return [value.value if isinstance(value, _PerRow) else None for value in values]

        if isinstance(values[0], dict):
            keys = dict.fromkeys(key for value in values for key in value)
            return {key: join([value.get(key) for value in values]) for key in keys}

        return values[0]

    return tuple(join([row[field] for row in rows]) for field in range(len(rows[0])))


def token_ids(row: RecordedRow) -> tuple[list[int], list[int]]:
    """Tokens of a row's prompt and completion, which every release of TRL returns first."""
    prompt, completion = row.generation[:2]
    return prompt.value, completion.value


def generation_as_json(generation: tuple[Any, ...]) -> list[Any]:
    """A row's part of a generation, JSON-able if its values are."""

    def plain(value: Any) -> list[Any]:
        if isinstance(value, _PerRow):
            return ["row", value.value]
        if isinstance(value, dict):
            return ["keys", {key: plain(inner) for key, inner in value.items()}]
        return ["all", value]

    return [plain(value) for value in generation]


def generation_from_json(record: Sequence[Any]) -> tuple[Any, ...]:
    """What `generation_as_json` made plain."""

    def part(kind: str, value: Any) -> Any:
        if kind == "keys":
            return {key: part(*inner) for key, inner in value.items()}
        return _PerRow(value) if kind == "row" else value

    return tuple(part(*value) for value in record)


# ---- a round -----------------------------------------------------------------------------------
def plan_round(request: Mapping[str, int], multiple: int) -> list[str]:
    """The task of each prompt to roll out, interleaved: every stretch has about the round's shares.

    The round is padded to a multiple of the number of processes with prompts of the task that needs
    most.
    """
    counts = dict(request)
    neediest = max(counts, key=lambda task: counts[task])
    counts[neediest] += -sum(counts.values()) % multiple

    places: list[tuple[float, int]] = []
    for k, count in enumerate(counts.values()):
        places += [((i + 0.5) / count, k) for i in range(count)]

    names = list(counts)
    return [names[k] for _, k in sorted(places)]


def take(groups: Sequence[Group], request: Mapping[str, int]) -> tuple[list[Group], list[Group]]:
    """The groups that a request asked for, and those beyond it."""
    room = dict(request)
    wanted, spare = list[Group](), list[Group]()

    for group in groups:
        if room.get(group.task, 0) > 0:
            room[group.task] -= 1
            wanted.append(group)
        else:
            spare.append(group)

    return wanted, spare


def in_order(groups: Sequence[Group], names: Sequence[str]) -> list[Group]:
    """The groups in the order that `names` gives their tasks; within a task they keep theirs."""
    queues: dict[str, deque[Group]] = {}
    for group in groups:
        queues.setdefault(group.task, deque()).append(group)
    return [queues[name].popleft() for name in names]
