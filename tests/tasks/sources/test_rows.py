import json
from pathlib import Path
from typing import Any

import pytest

from mtgrpo.errors import TaskError
from mtgrpo.tasks import check_task, rows_task

ROWS = [{"question": f"{i}+{i}?", "answer": str(2 * i)} for i in range(100)]


def exact(prompts: Any, completions: Any, answer: Any, **_: Any) -> list[float]:
    return [float(c == a) for c, a in zip(completions, answer, strict=True)]


def test_in_memory():
    task = rows_task("sums", ROWS, prompt="question", reward=exact, correct_at=1.0)
    assert task.train[3] == {"prompt": "3+3?", "answer": "6"}
    assert len(task.test) == 0
    assert task.score(task.train[:2], ["0", "0"]) == [(1.0, 1.0), (0.0, 0.0)]
    assert check_task(task) == []


def test_files_and_a_reward_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (tmp_path / "my_reward.py").write_text(
        "def exact(prompts, completions, answer, **_):\n"
        "    return [float(c == a) for c, a in zip(completions, answer)]\n"
    )
    monkeypatch.chdir(tmp_path)
    task = rows_task(
        "sums",
        "rows.jsonl",
        prompt="question",
        reward="my_reward.py:exact",
        test=[{"question": "new"}],
        correct_at=1.0,
    )
    assert (len(task.train), len(task.test)) == (100, 1)
    assert task.score(task.train[:1], ["0"])[0].accuracy == 1.0


def test_test_fraction_is_by_hash():
    task = rows_task("sums", ROWS, prompt="question", reward=exact, test_fraction=0.2)
    assert len(task.train) + len(task.test) == 100
    assert 8 <= len(task.test) <= 32
    # Rows that come later move no other, and the order does not matter.
    more = rows_task(
        "sums",
        [*ROWS, {"question": "x", "answer": "y"}][::-1],
        prompt="question",
        reward=exact,
        test_fraction=0.2,
    )
    assert {row["prompt"] for row in task.test} == {row["prompt"] for row in more.test} - {"x"}


def test_chat_prompts_and_a_second_prompt_column():
    chat = [{"role": "user", "content": "hi"}]
    task = rows_task(
        "chat", [{"messages": chat, "prompt": "other"}], prompt="messages", reward=lambda **_: [0.0]
    )
    assert task.train[0] == {"prompt": chat}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"prompt": "qestion"},
            r"task 'sums', train: row 0 has no column 'qestion' \(did you mean 'question'\?\)",
        ),
        ({"train": []}, "task 'sums', train: no rows"),
        ({"reward": "nowhere:f"}, "task 'sums', reward: no module 'nowhere'"),
        ({"reward": None}, "reward is a NoneType"),
        ({"name": ""}, "task name ''"),
        ({"test": ROWS, "test_fraction": 0.5}, "both given"),
        ({"test_fraction": 1.0}, r"a share in \[0, 1\)"),
        ({"test_fraction": 1e-9}, "leaves 100 rows to train on and 0 to test on"),
        (
            {"test": ROWS[7:8]},
            r"train row 7: the same prompt is test row 0 of task 'sums': '7\+7\?'",
        ),
        ({"train": [{"question": None}]}, "row 0, column 'question': the prompt is empty: None"),
        ({"train": [{"question": 3}]}, "the prompt is a int"),
        ({"train": [{"question": [{"content": "x"}]}]}, "a message without role"),
        ({"train": [{"question": "x", "completions": 1}]}, "reserved"),
    ],
)
def test_mistakes_are_one_clear_line(options: dict[str, Any], message: str):
    arguments = {"name": "sums", "train": ROWS, "prompt": "question", "reward": exact} | options
    with pytest.raises(TaskError, match=message) as caught:
        rows_task(**arguments)
    assert "\n" not in str(caught.value)
