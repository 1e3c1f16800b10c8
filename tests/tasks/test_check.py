import itertools
from typing import Any

import pytest

from mtgrpo.errors import MissingExtra
from mtgrpo.tasks import GeneratedRows, Score, Task, check_task, each

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
            "test row 0: the oracle's completion has reward 0 and accuracy 0: '5'",
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
