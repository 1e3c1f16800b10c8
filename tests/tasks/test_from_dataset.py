"""A task set made of a dataset: rows by task, and several rewards as one."""

import pytest

from mtgrpo.errors import TaskError
from mtgrpo.tasks import Score, TaskSet

ROWS = [{"prompt": f"p{i}", "answer": str(i), "source": "ab"[i % 2]} for i in range(6)]


def exact(completions, answer, **columns):
    return [float(c == a) for c, a in zip(completions, answer, strict=True)]


def short(completions, **columns):
    return [-len(c) / 10 if c else None for c in completions]


def scores(task, *completions):
    return task.score([task.train[0]] * len(completions), completions)


def test_rows_of_each_task_in_order():
    tasks = TaskSet.from_dataset(ROWS, column="source", rewards=exact, eval_dataset=ROWS[:1])
    assert tasks.names == ("a", "b")
    assert [row["prompt"] for row in tasks["b"].train] == ["p1", "p3", "p5"]
    assert (len(tasks["a"].test), len(tasks["b"].test)) == (1, 0)
    assert scores(tasks["a"], "0", "x") == [Score(1.0, None), Score(0.0, None)]
    assert TaskSet.from_dataset(ROWS, rewards=exact).names == ("default",)
    assert TaskSet.from_dataset({"x": ROWS, "y": ROWS[:2]}, rewards=exact).names == ("x", "y")


def test_a_dataset_of_the_package():
    datasets = pytest.importorskip("datasets")
    tasks = TaskSet.from_dataset(datasets.Dataset.from_list(ROWS), column="source", rewards=exact)
    assert tasks["a"].train[1] == ROWS[2]


def test_numbers_name_tasks_and_labels_have_names():
    numbered = [{**row, "source": i % 2} for i, row in enumerate(ROWS)]
    assert TaskSet.from_dataset(
        numbered, column="source", rewards={"0": exact, "1": short}
    ).names == (
        "0",
        "1",
    )
    datasets = pytest.importorskip("datasets")
    labels = datasets.Features(
        prompt=datasets.Value("string"),
        answer=datasets.Value("string"),
        source=datasets.ClassLabel(names=["a", "b"]),
    )
    labelled = datasets.Dataset.from_list(ROWS, features=labels)
    tasks = TaskSet.from_dataset(labelled, column="source", rewards=exact)
    assert tasks.names == ("a", "b")
    assert tasks["b"].train[0]["source"] == 1, "rewards get the column as it is"

    unlabelled = datasets.Dataset.from_list([*ROWS, {**ROWS[0], "source": -1}], features=labels)
    with pytest.raises(TaskError, match="row 6: column 'source' is -1; the name of the row's task"):
        TaskSet.from_dataset(unlabelled, column="source", rewards=exact)


def test_several_rewards_are_summed_and_one_says_what_is_right():
    given = {"column": "source", "rewards": [exact, short], "reward_weights": [1.0, 0.5]}
    graded = TaskSet.from_dataset(ROWS, **given)
    assert scores(graded["a"], "0", "") == [Score(0.95, None), Score(0.0, None)]
    verified = TaskSet.from_dataset(ROWS, **given, accuracy="exact")
    assert scores(verified["a"], "0", "") == [Score(0.95, 1.0), Score(0.0, 0.0)]
    by_rule = TaskSet.from_dataset(
        ROWS, **given, accuracy={"a": lambda by_name: by_name["exact"] + 0.2}, correct_at={"a": 1.0}
    )
    assert scores(by_rule["a"], "0", "x") == [Score(0.95, 1.0), Score(-0.05, 0.0)]
    assert scores(by_rule["b"], "1") == [Score(0.95, None)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rewards": {"a": exact}, "column": "source"}, "task 'b' has no reward"),
        ({"rewards": {"c": exact}, "column": "source"}, "rewards: unknown task 'c'"),
        ({"rewards": [exact], "accuracy": "short"}, "accuracy: unknown reward function 'short'"),
        ({"rewards": [exact, exact]}, "2 reward functions with 1 name and 2 weights"),
        ({"rewards": [exact], "reward_weights": [1, 2]}, "1 name and 2 weights"),
        ({"rewards": exact, "dataset": {"train": ROWS}}, "the splits 'train', not a dataset for"),
        ({"rewards": exact, "dataset": []}, "dataset: no rows; at least one"),
        (
            {"rewards": exact, "column": "answer", "dataset": [{"answer": 0.5}]},
            "'answer' is 0.5; the",
        ),
        (
            {"rewards": exact, "column": "answer", "dataset": [{"answer": True}]},
            "is True; the name",
        ),
        (
            {
                "rewards": exact,
                "column": "prompt",
                "dataset": [{"prompt": f"p{i}"} for i in range(30)],
            },
            "column 'prompt' has 30 different values in 30 rows; a task has many rows",
        ),
    ],
)
def test_what_cannot_be_is_said_in_one_line(arguments, message):
    arguments = {"dataset": ROWS, **arguments}
    with pytest.raises(TaskError, match=message) as error:
        TaskSet.from_dataset(arguments.pop("dataset"), **arguments)
    assert "\n" not in str(error.value)
