"""What is refused before a model is loaded."""

import json

import pytest

from mtgrpo.config import load_config
from mtgrpo.errors import TaskError
from mtgrpo.jobs.setup import prepare

pytest.importorskip("trl")


def test_prompts_that_no_engine_can_take_are_refused_with_task_and_row(tmp_path):
    rows = [{"prompt": "say e", "answer": "e"}] * 6
    rows[4] = {"prompt": [{"role": "user", "content": "say e"}], "answer": "e"}
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "rewards.py").write_text("def none(prompts, completions, **columns): ...\n")
    entry = f"{{rows: {file}, name: say, reward: '{tmp_path / 'rewards.py'}:none'}}"
    run = load_config("demo", [f"tasks=[{entry}]", f"output={tmp_path / 'run'}"])
    with pytest.raises(TaskError, match=r"^task 'say', train row 4: .* this one is chat messages"):
        prepare(run)
