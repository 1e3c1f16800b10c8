import copy
import json
from pathlib import Path
from typing import Any

import pytest

from mtgrpo.errors import TaskError
from mtgrpo.tasks import check_task, released_tasks

DATA = Path(__file__).parents[2] / "data" / "released_rows.jsonl"
ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()
]


def test_one_task_per_family_and_level():
    tasks = released_tasks(DATA)
    assert {task.name for task in tasks} == {
        f"{family}-{level}"
        for family in ("countdown", "zebra", "arc")
        for level in ("easy", "medium", "hard", "very_hard")
    }
    assert all((len(task.train), len(task.test)) == (0, 2) for task in tasks)


@pytest.mark.parametrize("task", released_tasks(DATA), ids=lambda task: task.name)
def test_oracle_scores_one(task: Any):
    assert check_task(task) == []
    row = task.test[0]
    assert row["prompt"].startswith("A conversation between User and Assistant.")
    answer = task.oracle(row)
    like_a_model = (
        f" First, we look at it.\nThen the answer is:\n$$\n{answer}\n$$\nI hope that helps."
    )
    wrong = answer.replace("{", "{9 ")
    scores = task.score([row] * 3, [like_a_model, wrong, "no answer"])
    assert scores == [(1.0, 1.0), (0.1, 0.0), (0.0, 0.0)]


def train_row() -> dict[str, Any]:
    row = copy.deepcopy(ROWS[0])
    row["extra_info"]["split"] = "train"
    row["data_source"] = row["data_source"].replace("-test", "-train")
    row["prompt"][0]["content"] += " "
    return row


def test_train_and_test_rows_end_up_in_one_task():
    for sources in ([[train_row(), ROWS[0]]], [[train_row()], [ROWS[0]]]):
        (task,) = released_tasks(*sources)
        assert (task.name, len(task.train), len(task.test)) == ("countdown-easy", 1, 1)


def test_data_source_is_not_parsed():
    row = copy.deepcopy(ROWS[0]) | {"data_source": "anything"}
    assert released_tasks([row])[0].name == "countdown-easy"


def broken(**changes: Any) -> dict[str, Any]:
    row = copy.deepcopy(ROWS[0])
    for path, value in changes.items():
        *parents, last = path.split("__")
        at = row
        for key in parents:
            at = at[key]
        at[last] = value
    return row


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            broken(extra_info__type="countdwn"),
            r"row 0: extra_info.type is 'countdwn' \(did you mean 'countdown'",
        ),
        (broken(extra_info__difficulty=5), "extra_info.difficulty is 5; allowed: 1, 2, 3, 4"),
        (broken(extra_info__split="dev"), "extra_info.split is 'dev'; allowed: train, test"),
        (broken(extra_info=None), "extra_info is a NoneType"),
        (broken(reward_model={}), "ground_truth is a NoneType"),
        (broken(reward_model__ground_truth__numbers="8;73"), "numbers such as '8,73,96'"),
        (broken(reward_model__ground_truth__target=None), "target and numbers"),
        (broken(reward_model__ground_truth__target=841.5), "'target': 841.5}; target and numbers"),
        ({"prompt": "p"}, "row 0 has no column 'reward_model'; columns there are: prompt"),
    ],
)
def test_other_schemas_are_one_clear_line(row: dict[str, Any], message: str):
    with pytest.raises(TaskError, match=message) as caught:
        released_tasks([row])
    assert "\n" not in str(caught.value)


def test_a_prompt_in_both_splits_is_refused():
    row = train_row()
    row["prompt"] = ROWS[0]["prompt"]
    with pytest.raises(TaskError, match="the same prompt is test row 0"):
        released_tasks([row, ROWS[0]])
    with pytest.raises(TaskError, match="no source"):
        released_tasks()


def test_numbers_in_any_type_with_one_meaning():
    (plain,) = released_tasks([ROWS[0]])
    truth = ROWS[0]["reward_model"]["ground_truth"]
    others = broken(
        reward_model__ground_truth__numbers=[float(n) for n in truth["numbers"].split(",")],
        reward_model__ground_truth__target=str(truth["target"]),
    )
    assert released_tasks([others])[0].test == plain.test
