"""The tasks of one file, whose rows say which task they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from mtgrpo.errors import TaskError
from mtgrpo.imports import import_function, is_import_path
from mtgrpo.tasks.scores import Row
from mtgrpo.tasks.sources.by_task import RewardsByTask, tasks_by_name
from mtgrpo.tasks.sources.dataset import label_names, rows_by_task
from mtgrpo.tasks.sources.prompt_shape import PromptShape
from mtgrpo.tasks.sources.read_rows import RowSource, read_rows, require_column
from mtgrpo.tasks.sources.rows import check_fraction, prepare_rows, split_rows
from mtgrpo.tasks.sources.saved_rows import opened
from mtgrpo.tasks.task import Task
from mtgrpo.tasks.task_set import TaskSet


def dataset_tasks(
    train: RowSource,
    *,
    task_column: str,
    rewards: Any,
    test: RowSource | None = None,
    test_fraction: float = 0.0,
    train_split: str | None = None,
    test_split: str | None = None,
    prompt: str = "prompt",
    template: str | None = None,
    chat: bool = False,
    reward_weights: Sequence[float] | None = None,
    accuracy: Any = None,
    correct_at: Any = None,
    reward_range: Any = None,
) -> list[Task]:
    """A task for each value of a column.

    Args:
        train: A ``.jsonl``, ``.json``, ``.csv``, ``.tsv`` or ``.parquet`` file, a folder saved
            with `save_to_disk`, a list of mappings, or a Hugging Face `Dataset`.
        task_column: The column that names each row's task. The rewards get it with the others.
        rewards: A reward function, where one is (``"file.py:function"``), or a list of them; for
            all tasks or as a mapping by task.
        test: Rows to test on, in any of the forms of `train`, with the same column.
        test_fraction: Instead of `test`, the share of each task's rows to test on; see
            `rows_task`.
        train_split: The split of a saved folder; see `rows_task`.
        test_split: The split to test on; see `rows_task`.
        prompt: The column with the prompt.
        template: The prompt of all tasks; see `rows_task`.
        chat: Whether a text becomes one chat message of the user.
        reward_weights: One for each function of a list; 1 by default.
        accuracy: The name of a reward function whose values are accuracies, or where a function of
            a completion's rewards by name is; for all tasks or by task.
        correct_at: A completion is right from this value on, of `accuracy` or else of its reward;
            for all tasks or by task.
        reward_range: Lowest and highest reward of graded tasks; for all tasks or by task.

    Raises:
        TaskError: The file, a column, a name, a reward or a number cannot be used, or a prompt is
            in both splits.
    """
    if test is None and test_split is not None:
        test = train
    check_fraction(test, test_fraction, "dataset")

    source = opened(train, "dataset", train_split)
    by_task = _by_task(source, task_column, prompt, "dataset")

    tests: dict[str, Sequence[Row]] = {}
    if test is not None:
        # Its numbers are those of the training rows' labels, where it has none of its own.
        labels = label_names(source, task_column)
        tested = opened(test, "test", test_split, "test")
        tests = _by_task(tested, task_column, prompt, "test", labels)
    elif test_fraction:
        for name, own in by_task.items():
            split = split_rows([dict(row) for row in own], test_fraction, f"task {name!r}")
            by_task[name], tests[name] = split

    said = RewardsByTask(
        _by_path(_with_text_keys(rewards), "rewards", may_be_name=False),
        reward_weights,
        _by_path(_with_text_keys(accuracy), "accuracy", may_be_name=True),
        _with_text_keys(correct_at),
        _with_text_keys(reward_range),
    )
    # Rows in memory are checked, and their splits are compared.
    shape = PromptShape(prompt, template, chat)
    in_memory = {name: shape.shaped(own, f"task {name!r}") for name, own in by_task.items()}
    for_tests = {name: shape.shaped(own, f"task {name!r}, test") for name, own in tests.items()}
    tasks = tasks_by_name(in_memory, for_tests, said, "dataset")
    TaskSet(*tasks).check_disjoint()
    return tasks


def _by_task(
    source: Any, column: str, prompt: str, where: str, labels: Sequence[str] | None = None
) -> dict[str, Sequence[Row]]:
    rows = read_rows(source, where)
    require_column(rows, column, where)
    if column == "prompt" != prompt:
        raise TaskError(
            f"{where}: task_column is 'prompt', which holds the prompts from here on; rename it"
        )

    rows = prepare_rows(rows, prompt, where)
    return rows_by_task(rows, column, where, label_names(source, column) or labels)


def _with_text_keys(value: Any) -> Any:
    """YAML reads the key of ``{0: ...}`` as a number; names of tasks are texts."""
    if not isinstance(value, Mapping):
        return value
    named = cast("Mapping[object, Any]", value)
    return {str(key): inner for key, inner in named.items()}


def _by_path(value: Any, where: str, *, may_be_name: bool) -> Any:
    """What import paths in `value` lead to: in place of each of them, alone, by task or listed.

    Args:
        value: Texts, and mappings and lists of them.
        where: Begins error messages.
        may_be_name: Whether a text that is no import path stays as it is.
    """
    if isinstance(value, Mapping):
        named = cast("Mapping[str, Any]", value)
        return {
            name: _by_path(inner, f"{where}[{name!r}]", may_be_name=may_be_name)
            for name, inner in named.items()
        }

    if isinstance(value, (list, tuple)):
        listed = cast("Sequence[Any]", value)
        return [
            _by_path(inner, f"{where}[{i}]", may_be_name=may_be_name)
            for i, inner in enumerate(listed)
        ]

    if isinstance(value, str) and (is_import_path(value) or not may_be_name):
        return import_function(value, where)
    return value
