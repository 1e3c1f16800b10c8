import json
from pathlib import Path

import pytest

from mtgrpo.errors import TaskError
from mtgrpo.tasks import check_task, paper_task, paper_tasks
from mtgrpo.tasks.sources.paper import LEVELS

pytest.importorskip("reasoning_gym")
DATA = Path(__file__).parents[2] / "data" / "released_rows.jsonl"
RELEASED = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("level", ["easy", "medium", "hard", "very_hard"])
@pytest.mark.parametrize("family", ["countdown", "arc", "zebra"])
def test_every_task_is_sound(family: str, level: str):
    if family == "zebra" and level.endswith("hard"):
        pytest.skip("takes seconds a row; the parameters are those of the easier levels")
    task = paper_task(family, level, num_train=0 if level == "very_hard" else 2, num_test=2)
    assert (task.name, task.family, task.level) == (f"{family}-{level}", family, level)
    assert check_task(task, num_rows=2) == []


def skeleton(prompt: str) -> list[str]:
    """What does not depend on the row: the words of its first and last lines, without numbers."""
    lines = prompt.splitlines()
    kept = lines[0].split() + [line for line in lines if "\\boxed" in line] + lines[-1:]
    text = " ".join(kept).split("What is ")[-1]
    return [word for word in text.split() if not any(c.isdigit() for c in word)]


@pytest.mark.parametrize("family", ["countdown", "arc", "zebra"])
def test_prompts_are_worded_like_the_released_ones(family: str):
    released = [r["prompt"][0]["content"] for r in RELEASED if r["extra_info"]["type"] == family]
    ours = paper_task(family, "easy", num_train=1, num_test=1).test[0]["prompt"]
    assert skeleton(ours) == skeleton(released[0])
    assert "??" not in ours


def test_the_papers_parameters():
    rows = paper_task("countdown", "hard", num_train=40, num_test=5).train
    assert all(len(row["numbers"]) == 5 and 1 <= row["target"] <= 1000 for row in rows)
    assert all(1 <= n <= 100 for row in rows for n in row["numbers"])
    assert len(paper_task("arc", "medium", num_train=1, num_test=1).test[0]["answer"].split()) == 20
    zebra = paper_task("zebra", "easy")
    assert (len(zebra.train), len(zebra.test)) == (10_000, 200)
    assert zebra.floor == pytest.approx(1 / 3)
    assert len(paper_task("arc", "very_hard").train) == 0


def test_reward_levels():
    task = paper_task("countdown", "easy", num_train=1, num_test=1)
    row = task.test[0]
    assert task.oracle is not None
    scores = task.score([row] * 3, [task.oracle(row), "\\boxed{1}", "?"])
    assert scores == [(1.0, 1.0), (0.1, 0.0), (0.0, 0.0)]


def test_paper_tasks():
    assert len(paper_tasks()) == 9
    assert [t.name for t in paper_tasks(["medium"])] == [
        "countdown-medium",
        "zebra-medium",
        "arc-medium",
    ]
    assert len(paper_tasks(LEVELS, ["arc"])) == 4
    with pytest.raises(TaskError, match=r"levels is the text 'medium'; a list is needed"):
        paper_tasks("medium")
    with pytest.raises(TaskError, match=r"unknown family 'countdwn' \(did you mean 'countdown'"):
        paper_task("countdwn", "easy")
    with pytest.raises(TaskError, match=r"unknown level 'very-hard' \(did you mean 'very_hard'"):
        paper_task("arc", "very-hard")
