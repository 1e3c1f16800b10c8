"""Texts of a column become prompts: by a template, as chat messages."""

from pathlib import Path

import pytest

from mtgrpo.errors import ConfigError, TaskError
from mtgrpo.tasks import build_tasks, rows_task
from mtgrpo.tasks.sources.prompt_shape import PromptShape

TEMPLATE = "Put the answer into \\boxed{answer}.\n{question}\n"


def nothing(completions, **columns):
    return [0.0 for _ in completions]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    lines = [f"{i}+{i}?,{2 * i},{'ab'[i % 2]}" for i in range(20)]
    Path("rows.csv").write_text("\n".join(["question,answer,kind", *lines]))
    Path("shape_rewards.py").write_text(
        "def nothing(completions, **columns):\n    return [0.0 for _ in completions]\n"
    )


def test_a_template_takes_the_prompt_alone():
    rows = [{"question": "{answer}?", "answer": "4"}]
    task = rows_task("a", rows, prompt="question", reward=nothing, template=TEMPLATE)
    assert task.train == [
        {"prompt": "Put the answer into \\boxed{answer}.\n{answer}?\n", "answer": "4"}
    ]


def test_chats():
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "?"}]
    rows = PromptShape(chat=True).shaped([{"prompt": "hi", "a": 1}, {"prompt": messages}], "here")
    assert rows[0] == {"prompt": [{"role": "user", "content": "hi"}], "a": 1}
    assert rows[1] == {"prompt": messages}


def test_in_a_configuration():
    entry = {"prompt": "question", "template": TEMPLATE, "chat": True, "test_fraction": 0.3}
    one = {"rows": "rows.csv", "name": "all", "reward": "shape_rewards.py:nothing", **entry}
    several = {"dataset": "rows.csv", "task_column": "kind", **entry}

    task = build_tasks([one], "tasks")["all"]
    for row in (*task.train, *task.test):
        ((message),) = row["prompt"]
        assert message["content"].startswith("Put the answer into \\boxed{answer}.\n")
        assert message["role"] == "user"

    # What is tested on does not depend on how it is asked.
    bare = build_tasks([{**one, "template": "{question}", "chat": False}], "tasks")["all"]
    assert [row["answer"] for row in bare.test] == [row["answer"] for row in task.test]

    tasks = build_tasks([{**several, "rewards": "shape_rewards.py:nothing"}], "tasks")
    assert tasks["a"].train[0]["prompt"] == task.train[0]["prompt"]
    assert tasks["b"].test[0]["prompt"][0]["role"] == "user"


def test_what_cannot_be_is_refused():
    with pytest.raises(TaskError, match=r"^template: no {question} in it; put it where the text"):
        PromptShape("question", "Answer!")
    with pytest.raises(TaskError, match="row 0: the prompt is chat messages, which no template"):
        PromptShape(template="{prompt}").shaped([{"prompt": [{"role": "user"}]}], "here")

    entry = {"rows": "rows.csv", "name": "a", "prompt": "question", "template": "{prompt}"}
    with pytest.raises(ConfigError, match=r"^tasks\[0\] \('a'\): template: no {question} in it"):
        build_tasks([{**entry, "reward": "shape_rewards.py:nothing"}], "tasks")
