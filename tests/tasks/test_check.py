import itertools
from typing import Any

import pytest

from mtgrpo.errors import MissingExtra
from mtgrpo.tasks import GeneratedRows, Score, Task, check_task, each
from mtgrpo.tasks.check import Findings, examine_task

TRAIN, TEST = [{"prompt": "1+1?", "answer": "2"}], [{"prompt": "2+2?", "answer": "4"}]


def make(**options: Any) -> Task:
    sound: dict[str, Any] = {
        "name": "math",
        "train": TRAIN,
        "test": TEST,
        "reward": each(lambda text, row: float(text == row["answer"])),
        "oracle": lambda row: row["answer"],
        "correct_at": 1.0,
    }
    return Task(**(sound | options))


def explode(row: Any) -> str:
    raise KeyError("solution")


def test_a_sound_task_has_no_problem():
    assert check_task(make()) == []
    assert check_task(make(oracle=None)) == []


COUNTER = itertools.count()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"oracle": lambda row: "5"},
            "test row 0 and 1 more row: the oracle's completion has reward 0 and accuracy 0: '5'",
        ),
        ({"oracle": explode}, "the oracle raised KeyError: 'solution'"),
        (
            {"reward": each(lambda text, row: 1.0)},
            "an empty completion has reward 1 and accuracy 1",
        ),
        ({"reward": each(lambda text, row: float(text[0] == row["answer"]))}, "raised IndexError"),
        (
            {"reward": each(lambda text, row: -float(next(COUNTER))), "oracle": None},
            "scored differently the second time",
        ),
        (
            {"reward": lambda completions, **columns: [0.0]},
            "test row 0 and 1 more row: 11 completions in one call: reward function",
        ),
        (
            {"reward": each(lambda text, row: 0.5), "correct_at": None, "oracle": None},
            "all 58 completions tried, some made of the rows' own values, earned 0.5: where all",
        ),
        ({"test": TRAIN}, "the same prompt is test row 0"),
        (
            {"test": GeneratedRows(1, lambda i: TRAIN[0])},
            "train row 0: the same prompt is test row 0",
        ),
        ({"test": [{"prompt": "x", "answer": {1, 2}}]}, "JSON cannot hold it"),
        (
            {"test": GeneratedRows(1, lambda i: {"prompt": f"{next(COUNTER)}", "answer": "1"}, 0)},
            "not the same",
        ),
        ({"test": GeneratedRows(1, lambda i: {"question": "x"})}, "no column 'prompt'"),
    ],
)
def test_problems_are_found(options: dict[str, Any], problem: str):
    found = check_task(make(**options))
    assert any(problem in line for line in found), found


def test_a_missing_package_is_raised():
    def needs(text: str, row: Any) -> float:
        raise MissingExtra("mathx: not installed")

    with pytest.raises(MissingExtra):
        check_task(make(reward=each(needs)))


def test_rounding_is_no_problem_and_oracles_get_a_row_of_their_own():
    def oracle(row: Any) -> str:
        return row["answer"].pop()

    def reward(text: str, row: Any) -> Any:
        sure = 0.7 + 0.2 + 0.1 if [text] == row["answer"] else 0.1 + 0.2 - 0.3
        return Score(sure, sure)

    rows = [{"prompt": "1+1?", "answer": ["2"]}]
    assert check_task(make(train=rows, test=[], reward=each(reward), oracle=oracle)) == []
    assert rows == [{"prompt": "1+1?", "answer": ["2"]}]


def test_equal_problems_of_many_rows_are_one_line():
    rows = [{"prompt": f"{i}?", "answer": "2"} for i in range(50)]
    lines = check_task(make(train=rows, test=[], reward=each(lambda text, row: 1.0), oracle=None))
    assert lines == [
        "train row 0 and 19 more rows: an empty completion has reward 1 and accuracy 1; both "
        "should be 0",
        "all 60 completions tried, some made of the rows' own values, earned 1: where all earn "
        "alike there is nothing to learn; let the reward tell good answers from bad ones",
    ]

    def fails(text: str, row: Any) -> float:
        return 0.0 if not text or text[-1].isalnum() or text == "<answer>2</answer>" else 1 / 0

    lines = check_task(make(train=rows, test=[], reward=each(fails), oracle=None))
    first, others = lines
    assert first.startswith("train row 0: completion '\\\\boxed{2}' and 10 more: reward function")
    assert others.startswith("train row 1 and 1 more row: completion '\\\\boxed{2}': reward")


def test_what_may_be_wrong_is_only_remarked_on():
    rows = [{"prompt": "1+1?", "answer": "two", "steps": ["1", 1]}]
    never = examine_task(make(train=rows, test=[], reward=each(lambda text, row: 0.0), oracle=None))
    assert never.problems == []
    assert "earned 0; see that a right answer earns more" in never.remarks[0]

    part = each(lambda text, row: 0.8 * (text == row["answer"]))
    out_of_reach = examine_task(make(train=rows, test=[], reward=part, oracle=None))
    assert out_of_reach.problems == []
    assert "count as wrong, and earned up to 0.8 where correct_at is 1;" in out_of_reach.remarks[0]

    earned = each(lambda text, row: float(text == "<answer>1</answer>"))
    assert examine_task(make(train=rows, test=[], reward=earned, oracle=None)) == Findings()
