"""Tasks from a configuration's mappings, such as ``{"paper": "countdown", "level": "medium"}``."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from mtgrpo.errors import ConfigError, TaskError, unknown
from mtgrpo.imports import import_function
from mtgrpo.tasks.generation import parse_generation
from mtgrpo.tasks.policy import IN_PROCESS, parse_scoring
from mtgrpo.tasks.sources.hub import hub_task
from mtgrpo.tasks.sources.one_file import dataset_tasks
from mtgrpo.tasks.sources.paper import paper_task
from mtgrpo.tasks.sources.reasoning_gym import reasoning_gym_task
from mtgrpo.tasks.sources.released import released_tasks
from mtgrpo.tasks.sources.rows import rows_task
from mtgrpo.tasks.sources.verifiers import verifiers_task
from mtgrpo.tasks.task import Task
from mtgrpo.tasks.task_set import TaskSet
from mtgrpo.tasks.tiny.catalogue import tiny_task
from mtgrpo.values import check_type, shorten

Spec = Mapping[str, Any]


def build_tasks(specs: Sequence[Spec], where: str) -> TaskSet:
    """The tasks of a configuration's list.

    Args:
        specs: One mapping per entry; an entry of the kinds ``dataset``, ``released`` and ``task``
            may give several tasks.
        where: Begins error messages, such as ``"config.yaml: tasks"``; entry i is
            ``"config.yaml: tasks[i] (its name)"``.

    Raises:
        ConfigError: an entry is wrong, two tasks have one name, or a prompt is trained and tested
            on.
    """
    tasks: list[Task] = []
    for i, spec in enumerate(specs):
        tasks += build_task(spec, f"{where}[{i}]{_label(spec)}")

    try:
        task_set = TaskSet(*tasks)
        task_set.check_disjoint()
    except TaskError as error:
        raise TaskError(f"{where}: {error}") from error

    return task_set


def build_task(spec: Spec, where: str) -> list[Task]:
    """The task or tasks of one entry. One of its keys says what it is: see `kinds`.

    Args:
        spec: A mapping with exactly one of the kinds as a key, that kind's options, and
            ``scoring``, ``generation``, ``from_step`` and ``until_step`` for any kind.
        where: Begins error messages, such as ``"config.yaml: tasks[2]"``.

    Raises:
        ConfigError: there is no kind, an unknown key, a value of the wrong type, or what the kind
            itself refuses.
        MissingExtra: an optional dependency is not installed.
    """
    if not isinstance(spec, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(
            f"{where}: found {spec!r}; a mapping such as {{paper: countdown, level: medium}} "
            "is needed"
        )

    name = _kind_of(spec, where)
    kind = _KINDS[name]
    options = {name: str, **kind.options, "scoring": Mapping, "generation": Mapping, **_SPAN}

    values: dict[str, Any] = {}
    for key, value in spec.items():
        if key == "group_size":
            raise ConfigError(f"{where}: {_NO_GROUP_SIZE}")
        if key not in options:
            raise ConfigError(unknown(where, f"key of a {name} task", key, options, most=20))
        values[key] = check_type(value, options[key], f"{where}: {key}")

    for key in kind.required:
        if key not in values:
            raise ConfigError(f"{where}: a {name} task needs the key {key!r}: {kind.example}")

    subject = values.pop(name)

    scoring = IN_PROCESS
    if "scoring" in values:
        scoring = parse_scoring(values.pop("scoring"), where)

    own: dict[str, Any] = {key: values.pop(key) for key in _SPAN if key in values}
    if "generation" in values:
        own["generation"] = parse_generation(values.pop("generation"), where)

    try:
        tasks = kind.build(subject, values)
        return [dataclasses.replace(t, scoring=scoring, origin=spec, **own) for t in tasks]
    except ConfigError as error:
        raise type(error)(f"{where}: {error}") from error


def _label(spec: Spec) -> str:
    """What an entry is called, for messages: its name, or what it is made of."""
    if not isinstance(spec, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        return ""

    for key in ("name", *_KINDS):
        if isinstance(value := spec.get(key), str):
            return f" ({shorten(value)})"
    return ""


def kinds() -> dict[str, str]:
    """The kinds of entries, each with an example."""
    return {name: f"{kind.summary}: {kind.example}" for name, kind in _KINDS.items()}


def _kind_of(spec: Spec, where: str) -> str:
    names = [key for key in spec if key in _KINDS]
    if "task" in names and len(names) > 1:
        names.remove("task")

    if not names:
        key = next(iter(spec), "")
        raise ConfigError(unknown(where, "kind of task", key, _KINDS))
    if len(names) > 1:
        raise ConfigError(f"{where}: {' and '.join(names)} are both given; an entry is of one kind")
    return names[0]


# ---- the builders --------------------------------------------------------------------------------
def _tiny(family: str, options: Spec) -> list[Task]:
    return [tiny_task(family, **options)]


def _paper(family: str, options: Spec) -> list[Task]:
    return [paper_task(family, **options)]


def _reasoning_gym(dataset: str, options: Spec) -> list[Task]:
    parameters = cast("Mapping[str, Any]", options.get("parameters", {}))
    own = {key: value for key, value in options.items() if key != "parameters"}

    if taken := set(parameters) & _REASONING_GYM.keys():
        raise TaskError(
            f"parameters: {min(taken)!r} is no parameter of the dataset; "
            "write it beside 'parameters'"
        )
    return [reasoning_gym_task(dataset, **own, **parameters)]


def _rows(path: str, options: Spec) -> list[Task]:
    return [rows_task(train=path, **options)]


def _dataset(path: str, options: Spec) -> list[Task]:
    return dataset_tasks(path, **options)


def _hub(dataset: str, options: Spec) -> list[Task]:
    return [hub_task(dataset=dataset, **options)]


def _verifiers(taskset: str, options: Spec) -> list[Task]:
    return [verifiers_task(taskset, **options)]


def _released(path: str, options: Spec) -> list[Task]:
    if "test" in options:
        return released_tasks(path, options["test"])
    return released_tasks(path)


def _imported(path: str, options: Spec) -> list[Task]:
    function = import_function(path, "task")
    arguments = options.get("arguments", {})

    try:
        inspect.signature(function).bind(**arguments)
    except (TypeError, ValueError) as error:
        raise TaskError(
            f"task: {path} cannot be called with arguments {dict(arguments)!r}: {error}"
        ) from error

    made: object = function(**arguments)
    tasks = cast("list[object]", made if isinstance(made, list) else [made])
    for task in tasks:
        if not isinstance(task, Task):
            kind = type(task).__name__
            raise TaskError(f"task: {path} returned a {kind}; a Task or a list of them is needed")
    return cast("list[Task]", tasks)


# ---- the table -----------------------------------------------------------------------------------
class _Kind(NamedTuple):
    """A kind of entry.

    Attributes:
        build: Makes the tasks from the value of the kind's own key and the options that are given.
        summary: What it is.
        example: An entry.
        options: Its keys and their types.
        required: The keys that must be given.
    """

    build: Callable[[str, Spec], list[Task]]
    summary: str
    example: str
    options: dict[str, Any]
    required: tuple[str, ...] = ()


_NO_GROUP_SIZE = (
    "group_size: a task has no group size of its own: TRL compares rewards in groups of one size "
    "and cuts a batch into passes of so many completions, and verl repeats every prompt of a batch "
    "as often; set the run's group_size, or see 'Group size per task' in docs/engines.md for a "
    "loop of your own"
)
_SPAN: dict[str, type] = {"from_step": int, "until_step": int}
_SPLITS: dict[str, type] = {"seed": int, "num_train": int, "num_test": int}
_REPORTED: dict[str, type] = {"correct_at": float, "floor": float, "family": str, "level": str}
_GRADED: dict[str, type] = {"reward_range": list}
_SHAPE: dict[str, type] = {"prompt": str, "template": str, "chat": bool}
_REASONING_GYM: dict[str, type] = {
    "name": str, "parameters": Mapping, "template": str, "chat": bool, **_SPLITS, **_REPORTED,
}  # fmt: skip

_KINDS: dict[str, _Kind] = {
    "tiny": _Kind(
        _tiny,
        "a task for the embedded tiny model",
        "{tiny: countdown, level: medium}",
        {"level": str, **_SPLITS},
        ("level",),
    ),
    "paper": _Kind(
        _paper,
        "a task of the paper",
        "{paper: countdown, level: medium}",
        {"level": str, "name": str, **_SPLITS},
        ("level",),
    ),
    "reasoning_gym": _Kind(
        _reasoning_gym,
        "one of reasoning-gym's datasets",
        "{reasoning_gym: countdown, parameters: {min_numbers: 4, max_numbers: 4}}",
        _REASONING_GYM,
    ),
    "rows": _Kind(
        _rows,
        "rows of a .jsonl, .json, .csv, .tsv or .parquet file, or a folder that datasets saved",
        "{rows: train.jsonl, name: math, prompt: question, reward: 'my_rewards.py:exact', "
        "test_fraction: 0.1}",
        {
            "name": str, "reward": str, "test": str, "test_fraction": float,
            "train_split": str, "test_split": str, **_SHAPE, **_REPORTED, **_GRADED,
        },
        ("name", "reward"),
    ),
    "dataset": _Kind(
        _dataset,
        "the tasks of one such file or folder with a column that names each row's task",
        "{dataset: train.jsonl, task_column: source, rewards: {math: 'my_rewards.py:exact', "
        "code: 'my_rewards.py:passes'}}",
        {
            "task_column": str, "rewards": str | list | Mapping, "test": str,
            "test_fraction": float, "train_split": str, "test_split": str,
            **_SHAPE, "reward_weights": list[float],
            "accuracy": str | Mapping, "correct_at": float | Mapping,
            "reward_range": list | Mapping,
        },
        ("task_column", "rewards"),
    ),
    "hub": _Kind(
        _hub,
        "a dataset of the Hugging Face Hub",
        "{hub: some/dataset, name: math, prompt: question, reward: 'trl.rewards:accuracy_reward'}",
        {
            "name": str, "reward": str, "config": str, "train_split": str, "test_split": str,
            "test_fraction": float, "revision": str, **_SHAPE, **_REPORTED, **_GRADED,
        },
        ("name", "prompt", "reward"),
    ),
    "verifiers": _Kind(
        _verifiers,
        "an installed taskset of verifiers, one turn of text",
        "{verifiers: gsm8k_v1, num_test: 100, correct_at: 1.0}",
        {
            "name": str, "config": Mapping, "num_train": int, "num_test": int, "chat": bool,
            **_REPORTED, **_GRADED,
        },
    ),
    "released": _Kind(
        _released,
        "the rows the paper released, train and test in one file or two",
        "{released: train.parquet, test: test.parquet}",
        {"test": str},
    ),
    "task": _Kind(
        _imported,
        "a function that returns a Task or a list of them",
        "{task: 'my_tasks.py:make_task', arguments: {size: 3}}",
        {"arguments": Mapping},
    ),
}  # fmt: skip
