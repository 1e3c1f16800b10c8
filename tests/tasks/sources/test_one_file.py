"""One file with a column that says which task each row is of."""

import json

import pytest

from mtgrpo.errors import ConfigError, MtgrpoError
from mtgrpo.tasks import Score, build_tasks

ROWS = [
    {"question": f"q{i}", "answer": str(i), "source": ("math", "code")[i % 2]} for i in range(40)
]
ENTRY = {
    "dataset": "rows.jsonl",
    "task_column": "source",
    "prompt": "question",
    "rewards": {"math": "one_file_rewards.py:exact", "code": "one_file_rewards.py:short"},
}
REWARDS = """
def exact(completions, answer, source, **columns):
    return [float(c == a) for c, a in zip(completions, answer, strict=True)]

def short(completions, **columns):
    return [-len(c) / 10 for c in completions]

def half(by_name):
    return by_name["exact"] / 2
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one_file_rewards.py").write_text(REWARDS)
    write("rows.jsonl", ROWS)


def write(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def entry(**changes):
    given = {**ENTRY, **changes}
    return {key: value for key, value in given.items() if value is not None}


def scores(task, *completions):
    return task.score([task.train[0]] * len(completions), completions)


def test_a_file_becomes_several_tasks():
    tasks = build_tasks([entry(test_fraction=0.3, correct_at={"math": 1.0}, from_step=2)], "tasks")
    assert tasks.names == ("math", "code")
    assert len(tasks["math"].train) + len(tasks["math"].test) == 20
    assert {row["source"] for row in tasks["code"].train} == {"code"}
    assert tasks["code"].from_step == 2

    answer = tasks["math"].train[0]["answer"]
    assert scores(tasks["math"], answer, "?") == [Score(1.0, 1.0), Score(0.0, 0.0)]
    assert scores(tasks["code"], "??") == [Score(-0.2, None)]


def test_test_rows_of_a_file_and_several_rewards():
    write("test.jsonl", [{**row, "question": f"new {row['question']}"} for row in ROWS[:5]])
    several = ["one_file_rewards.py:exact", "one_file_rewards.py:short"]
    given = entry(
        test="test.jsonl",
        rewards=several,
        reward_weights=[1, 0.5],
        accuracy={"math": "exact", "code": "one_file_rewards.py:half"},
        correct_at={"math": 1.0},
    )
    tasks = build_tasks([given], "tasks")
    assert [len(task.test) for task in tasks] == [3, 2]
    assert scores(tasks["math"], "0") == [Score(0.95, 1.0)]
    assert scores(tasks["code"], "1") == [Score(0.95, 0.5)]


def test_numbers_for_names():
    write("rows.jsonl", [{**row, "source": i % 2} for i, row in enumerate(ROWS)])
    exact = "one_file_rewards.py:exact"
    tasks = build_tasks([entry(rewards={0: exact, 1: exact}, reward_range={0: [0, 1]})], "tasks")
    assert tasks.names == ("0", "1")
    assert tasks["0"].reward_range == [0, 1]


def test_a_task_of_a_file_is_found_again_by_another_process():
    tasks = build_tasks([entry(scoring={"num_processes": 1})], "tasks")
    assert tasks["code"].origin["task_column"] == "source"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "none.jsonl"}, r"tasks\[0\] .*: dataset: none.jsonl: no such file"),
        ({"dataset": {"path": "rows.jsonl"}}, "dataset: .* is a mapping; text is needed"),
        ({"task_column": "sorce"}, "row 0 has no column 'sorce' .did you mean 'source'"),
        ({"task_column": None}, "needs the key 'task_column': {dataset: train.jsonl, task_column"),
        ({"task_column": "answer"}, "column 'answer' has 40 different values in 40 rows"),
        ({"prompt": "text"}, "row 0 has no column 'text'"),
        ({"rewards": None}, "needs the key 'rewards'"),
        ({"rewards": "exact"}, "rewards: 'exact' is no import path; write 'module:function' or"),
        ({"rewards": 3}, "rewards: 3 is a whole number; text or a list or a mapping"),
        ({"rewards": {"math": "one_file_rewards.py:exact"}}, "task 'code' has no reward; give rew"),
        ({"rewards": {**ENTRY["rewards"], "cod": "m:f"}}, r"rewards\['cod'\]: no module 'm'"),
        ({"reward": "m:f"}, "unknown key of a dataset task 'reward' .did you mean 'rewards'"),
        ({"accuracy": "exakt"}, "accuracy: unknown reward function 'exakt' .did you mean 'exact'"),
        ({"correct_at": "high"}, "correct_at: 'high' is text; a number or a mapping is needed"),
        ({"correct_at": {"maths": 1.0}}, "correct_at: unknown task 'maths' .did you mean 'math'"),
        ({"reward_range": [1, 0]}, r"reward_range is \[1, 0\]; two finite numbers"),
        ({"test_fraction": 2.0}, r"test_fraction is 2.0; a share in \[0, 1\)"),
        ({"test_fraction": 0.01}, "task '.*': test_fraction 0.01 leaves 20 rows to train on and 0"),
        ({"test": "rows.jsonl"}, "the same prompt is test row 0 of task 'math'"),
        ({"test": "rows.jsonl", "test_fraction": 0.1}, "both given; give one"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(changes, message):
    with pytest.raises(MtgrpoError, match=message) as error:
        build_tasks([entry(**changes)], "tasks")
    assert isinstance(error.value, ConfigError)
    assert "\n" not in str(error.value)
