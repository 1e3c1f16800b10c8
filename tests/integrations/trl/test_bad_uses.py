"""Wrong uses of the trainer, each of which ends in one line that says what to do about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, IterableDataset

from mtgrpo import Balanced
from mtgrpo.errors import ConfigError, MtgrpoError, RewardError, StateError
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.tasks import Score

from .toy import make_tasks


def parity(completions, **columns):
    return [float(len(completion) % 2) for completion in completions]


class Late:
    async def reset(self, **row):
        return "later"


def of(**columns: list[Any]) -> Dataset:
    return Dataset.from_dict(columns)


def rows(**changes: list[Any]) -> Dataset:
    columns = {"prompt": ["q0", "q1", "q2", "q3"], "task": ["a", "b", "a", "b"]}
    return of(**{**columns, **changes})


def stream(*columns: dict[str, Any]) -> IterableDataset:
    def read():
        yield from columns

    return IterableDataset.from_generator(read)


class Bad(NamedTuple):
    """What is given in the place of something right, and what is said of it."""

    given: dict[str, Any]
    said: str
    config: Mapping[str, Any] = MappingProxyType({})
    then: Callable[[Any], Any] | None = None
    """What fails; the constructor if None."""


def train(trainer):
    return trainer.train()


def nothing(trainer):
    raise AssertionError("the constructor took it")


def evaluate(dataset):
    return lambda trainer: trainer.evaluate(dataset)


BAD = {
    # Which side rows and rewards come from.
    "a task set for rewards": Bad({"reward_funcs": make_tasks()}, "write tasks=tasks"),
    "tasks in a list": Bad(
        {"tasks": [make_tasks()], "reward_funcs": None, "train_dataset": None},
        "tasks is a list; a TaskSet is needed: TaskSet",
    ),
    "tasks and rows": Bad(
        {"tasks": make_tasks(), "reward_funcs": None}, "train_dataset was given.*leave out tasks="
    ),
    "tasks and rewards": Bad(
        {"tasks": make_tasks(), "train_dataset": None}, "reward_funcs was given.*leave out tasks="
    ),
    "arguments in a dict": Bad(
        {"args": {"max_steps": 3}}, "args is a dict; a GRPOConfig is needed"
    ),
    # Rows.
    "an empty dataset": Bad({"train_dataset": of(prompt=[])}, "no rows; at least one is needed"),
    "an empty mapping": Bad({"train_dataset": {}}, "empty mapping; a dataset for each task"),
    "splits": Bad(
        {"train_dataset": DatasetDict(train=rows(), test=rows())},
        r"give one of them: dataset\['train",
    ),
    "lists for datasets": Bad(
        {"train_dataset": {"a": [{"prompt": "q"}]}}, "has a list; a Dataset for each task is needed"
    ),
    "some with a length": Bad(
        {"train_dataset": {"a": rows(), "b": stream({"prompt": "q"})}},
        "with and without a length; make them all of one kind",
    ),
    "a name that is a number": Bad({"train_dataset": {1: rows()}}, "task name 1: a non-empty"),
    "a stream that is empty": Bad(
        {"train_dataset": stream()}, "the stream has no rows; at least one is needed"
    ),
    "a stream without prompts": Bad(
        {"train_dataset": stream({"text": "q"})}, "no column 'prompt'; columns there are: text"
    ),
    "a stream without an end": Bad(
        {"train_dataset": stream({"prompt": "q"})}, "no epochs; set max_steps", {"max_steps": -1}
    ),
    # Prompts and names of tasks.
    "no prompts": Bad(
        {"train_dataset": of(text=["q"])}, r"columns there are: text; rename.*rename_column\(old"
    ),
    "a prompt that is None": Bad(
        {"train_dataset": rows(prompt=["q", None, "q", "q"])}, "row 1: prompt is a NoneType; a text"
    ),
    "an empty prompt": Bad(
        {"train_dataset": rows(prompt=["q", "q", "", "q"])},
        "row 2: the prompt is empty: ''; a text",
    ),
    "a message without a role": Bad(
        {"train_dataset": rows(prompt=[[{"content": "q"}]] * 4)},
        "row 0, message 0: no 'role'; keys there are: content",
    ),
    "a column misspelt": Bad(
        {"task_column": "taks"}, r"no column 'taks' .task_column.; columns there are: prompt, task"
    ),
    "a column that is a number": Bad({"task_column": 3}, "task_column=3; the name of a column"),
    "a row without a task": Bad(
        {"train_dataset": rows(task=["a", None, "a", "b"])},
        "row 1: column 'task' is None; the name",
    ),
    # Rewards and what they mean.
    "a number for a reward": Bad({"reward_funcs": [parity, 3]}, "has a int; a function, a reward"),
    "a task without a reward": Bad(
        {"reward_funcs": {"a": parity}}, "no entry for task 'b'; give it a function"
    ),
    "a reward of no task": Bad(
        {"reward_funcs": {"a": parity, "b": parity, "c": parity}}, "unknown task 'c'; allowed: a, b"
    ),
    "weights of zero": Bad({}, "no reward counts; give one of them", {"reward_weights": [0.0]}),
    "a weight that is NaN": Bad(
        {}, "finite numbers are needed", {"reward_weights": [float("nan")]}
    ),
    "a reward that raises": Bad(
        {"reward_funcs": lambda completions, **columns: [1 / len(c[999:]) for c in completions]},
        r"task '[ab]', prompt \d: reward function .*test_bad_uses.py:\d+. raised "
        r"ZeroDivisionError: .*test_bad_uses.py:\d+.; one number or None .* is needed; correct",
        then=train,
    ),
    "a reward with other arguments": Bad(
        {"reward_funcs": lambda texts: [0.0 for text in texts]},
        r"reward_funcs: reward function .*<lambda> \(.*test_bad_uses.py:\d+\) takes texts, but not "
        r"prompts, completions, completion_ids and trainer_state; .* add \*\*kwargs",
    ),
    "a reward that needs what no row has": Bad(
        {"reward_funcs": {"a": parity, "b": lambda completions, tsak, **columns: [0.0]}},
        r"reward_funcs\['b'\]: reward function .* needs tsak \(did you mean 'task'\?\), which",
    ),
    "an environment that must be waited for": Bad(
        {"environment_factory": Late}, "environment_factory: Late.reset is async, but nothing waits"
    ),
    "a reward of texts": Bad(
        {"reward_funcs": lambda completions, **columns: ["0.5" for c in completions]},
        "task '[ab]', prompt .* returned '0.5'; a finite number is needed, or None where it",
        then=train,
    ),
    "one reward for all completions": Bad(
        {"reward_funcs": lambda completions, **columns: [0.5]},
        "tasks? '[ab]'.*test_bad_uses.py.* returned 1 value for 8 completions; a list is needed",
        then=train,
    ),
    "a reward that is no list": Bad(
        {"reward_funcs": lambda completions, **columns: 0.5},
        "returned 0.5; a list is needed with a number for each completion",
        then=train,
    ),
    "an infinite reward": Bad(
        {"reward_funcs": lambda completions, **columns: [float("inf")] * len(completions)},
        "task '[ab]', prompt .* returned inf; a finite number is needed, or None where it",
        then=train,
    ),
    "a score for a reward": Bad(
        {"reward_funcs": lambda completions, **columns: [Score(1.0, 1.0) for c in completions]},
        r"returned Score\(.*; one number is needed; return the reward alone, and say with accuracy=",
        then=train,
    ),
    "a reward of one task that raises": Bad(
        {"reward_funcs": {"a": parity, "b": lambda completions, **columns: completions[0] + 1}},
        "task 'b', prompt .* raised TypeError.*test_bad_uses.py",
        then=train,
    ),
    "an accuracy of no name": Bad(
        {"accuracy": "exact"}, "unknown reward function 'exact'; allowed: parity"
    ),
    "an accuracy of no task": Bad({"accuracy": {"c": "parity"}}, "unknown task 'c'; allowed: a, b"),
    "a number for an accuracy": Bad({"accuracy": 1.0}, "accuracy of task 'a' is 1.0; the name of"),
    "an accuracy above 1": Bad(
        {"accuracy": lambda rewards: 7.0},
        r"gives 7; a number in \[0, 1\] is needed; set correct_at",
        then=train,
    ),
    "right from a text on": Bad(
        {"correct_at": "1"}, "correct_at of task 'a' is '1'; a finite number"
    ),
    "right from NaN on": Bad({"correct_at": {"b": float("nan")}}, "correct_at of task 'b' is nan"),
    "a range upside down": Bad({"reward_range": (1, 0)}, r"reward_range is \(1, 0\); two finite"),
    "a range of one number": Bad({"reward_range": 1.0}, "reward_range is 1.0; two finite numbers"),
    "a range of no task": Bad({"reward_range": {"c": (0, 1)}}, "unknown task 'c'; allowed: a, b"),
    # The method and our own arguments.
    "a method misspelt": Bad({"method": "balancd"}, "did you mean 'balanced'"),
    "a weighting for a method": Bad(
        {"method": Balanced()}, "write method=Method.weighting, sampler"
    ),
    "a path for a run log": Bad({"run_log": "runs/x"}, r"run_log is 'runs/x'; RunLog\(folder\) is"),
    "a text for a seed": Bad({"eval_seed": "x"}, "eval_seed is 'x'; a whole number"),
    "a word for a switch": Bad({"share_prompts": "yes"}, "share_prompts is 'yes'; True or False"),
    "a number to call": Bad(
        {"on_mixer_step": 3}, "on_mixer_step is 3; a function of step and report"
    ),
    # Evaluation.
    "the best by the loss": Bad(
        {"eval_dataset": rows()},
        "does not say which model is better; name another metric",
        {"load_best_model_at_end": True, "eval_strategy": "steps", "save_strategy": "steps"},
    ),
    "batches that cut prompts": Bad(
        {"eval_dataset": rows()},
        "cannot hold whole groups of 4 samples; make their product a multiple of 4",
        {"per_device_eval_batch_size": 3},
        then=lambda trainer: trainer.evaluate(),
    ),
    "rows to predict of no task": Bad(
        {"tasks": make_tasks(), "reward_funcs": None, "train_dataset": None},
        "predict: test rows come from the tasks; put them into Task.test",
        {"per_device_eval_batch_size": 4},
        then=lambda trainer: trainer.predict(rows()),
    ),
    "a task for each row": Bad(
        {"train_dataset": of(prompt=["q"] * 40, task=list(range(40)))},
        "column 'task' has 40 different values in 40 rows; a task has many rows: name the column",
    ),
    "a label that is none": Bad(
        {
            "train_dataset": rows()
            .cast_column("task", ClassLabel(names=["a", "b"]))
            .map(lambda row: {"task": -1})
        },
        "row 0: column 'task' is -1; the name of the row's task is needed, or its number",
    ),
    "test rows without a task": Bad(
        {},
        "row 0: column 'task' is None; the name of the row's task",
        {"per_device_eval_batch_size": 4},
        then=evaluate(of(prompt=["q", "r"], task=[None, None])),
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_use_ends_in_one_line(lab, name):
    bad = BAD[name]
    given = {
        "reward_funcs": parity,
        "args": lab.config(**{"per_device_train_batch_size": 8, "max_steps": 1, **bad.config}),
        "train_dataset": rows(),
        "processing_class": lab.tokenizer(),
        **bad.given,
    }

    # What can be known before a model is loaded is said before.
    is_early = bad.then is None and "accuracy of no name" not in name
    model = "there is no such model" if is_early else lab.model()
    with pytest.raises(MtgrpoError) as caught:
        (bad.then or nothing)(MultiTaskGRPOTrainer(model, **given))

    message = str(caught.value)
    assert re.search(bad.said, message)
    assert "\n" not in message
    assert isinstance(caught.value, (ConfigError, RewardError, StateError))


def test_there_are_forty_of_them():
    assert len(BAD) >= 40
