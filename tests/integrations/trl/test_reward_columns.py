"""Reward functions of several tasks, and what their columns say of a completion."""

import math

import pytest
import torch

from mtgrpo.errors import ConfigError, RewardError
from mtgrpo.integrations.trl.reward_columns import RewardColumns
from mtgrpo.integrations.trl.rollouts import DatasetRow, with_all_images

NAN = math.nan


def exact(completions, answer, **columns):
    return [float(c == a) for c, a in zip(completions, answer, strict=True)]


def short(completions, log_extra, **columns):
    log_extra("length", [len(c) for c in completions])
    return [-len(c) for c in completions]


async def slow(completions, **columns):
    return [0.5 for _ in completions]


def columns(reward_funcs, names=("exact", "short"), weights=(1.0, 0.5), **said):
    made = RewardColumns(reward_funcs, ("a", "b"), **said)
    made.bind(names, torch.tensor(weights))
    return made


def measured(made, rewards, tasks=("a", "b")):
    return made.measure(torch.tensor(rewards), tasks).tolist()


def test_functions_for_all_tasks_are_trls_own_list():
    functions = [exact, short]
    assert RewardColumns(functions, ("a", "b")).functions is functions


def test_rewards_are_summed_with_their_weights_and_none_leaves_the_statistics():
    total = measured(columns([exact, short]), [[1.0, -2.0], [NAN, NAN]])
    assert total[0][0] == 0.0
    assert math.isnan(total[1][0])
    assert all(math.isnan(accuracy) for _, accuracy in total), "nothing says what is right"
    assert measured(columns([exact, short]), [[NAN, -2.0]], ["a"])[0][0] == -1.0


@pytest.mark.parametrize(
    ("said", "accuracies"),
    [
        ({"accuracy": "exact"}, [1.0, 0.0]),
        ({"accuracy": lambda by_name: by_name["exact"] / 2}, [0.5, 0.0]),
        ({"accuracy": "short", "correct_at": -2.0}, [1.0, 0.0]),
        ({"correct_at": 0.0}, [1.0, 0.0]),
        ({"correct_at": {"a": 0.5}}, [0.0, NAN]),
        ({"accuracy": {"b": "exact"}}, [NAN, 0.0]),
    ],
)
def test_what_is_right_is_what_was_said(said, accuracies):
    values = measured(columns([exact, short], **said), [[1.0, -2.0], [0.0, -3.0]])
    assert [accuracy for _, accuracy in values] == pytest.approx(accuracies, nan_ok=True)


def test_functions_of_some_tasks_are_columns_of_their_own_and_a_model_is_there_once():
    given = {"a": [exact, short, "judge"], "b": [slow, short, "".join(["jud", "ge"])]}
    made = RewardColumns(given, ("a", "b"))
    assert made.functions == [exact, short, "judge", slow]
    assert made.calls.tasks_of == (frozenset("a"), None, None, frozenset("b"))


def test_trl_gets_the_columns_of_all_rows():
    rows = [
        DatasetRow({"prompt": "x", "answer": "1"}, "a", 0),
        DatasetRow({"prompt": "y", "level": 3}, "b", 0),
    ]
    given = columns([exact, short]).rows_for_trl(None, rows, [])
    assert [list(row) for row in given] == [["prompt", "answer", "level"]] * 2


@pytest.mark.parametrize(
    ("reward_funcs", "said", "message"),
    [
        ({"a": exact}, {}, "no entry for task 'b'"),
        ({"a": exact, "b": exact, "c": exact}, {}, "unknown task 'c'"),
        ({"a": exact, "b": 3}, {}, r"reward_funcs\['b'\] has a int; a function"),
        ([exact], {"correct_at": {"c": 1.0}}, "correct_at: unknown task 'c'"),
        ([exact, short], {"accuracy": "exakt"}, "unknown reward function 'exakt' .did you mean"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(reward_funcs, said, message):
    with pytest.raises(ConfigError, match=message) as error:
        columns(reward_funcs, **said)
    assert "\n" not in str(error.value)


def test_an_accuracy_outside_its_range_is_refused():
    with pytest.raises(RewardError, match=r"accuracy='short' gives -2; a number in \[0, 1\]"):
        measured(columns([exact, short], accuracy="short"), [[1.0, -2.0]], ["a"])


def test_no_images_are_left_behind_the_first_row():
    rows = [{"prompt": 1}, {"prompt": 2, "image": "x"}, {"prompt": 3, "images": ["y", "z"]}]
    assert [row["images"] for row in with_all_images(rows)] == [[], ["x"], ["y", "z"]]
    assert with_all_images([{"prompt": 1}, {"prompt": 2, "image": None}]) == [
        {"prompt": 1},
        {"prompt": 2},
    ]
