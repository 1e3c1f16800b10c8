"""Parquet rows for verl and the reward function that reads them; needs pyarrow, but not verl."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from mtgrpo.errors import ConfigError, RewardError, TaskError
from mtgrpo.integrations.verl.rows import compute_score, read_tasks, write_rows

SPECS = [
    {"tiny": "countdown", "level": "easy", "num_train": 4, "num_test": 2},
    {"tiny": "zebra", "level": "easy", "num_train": 3, "num_test": 2},
]


def read(path):
    pq = pytest.importorskip("pyarrow.parquet")
    return pq.read_table(path).to_pylist()


def test_rows_have_verls_columns_and_score_as_their_task_does(tmp_path):
    assert write_rows(SPECS, tmp_path) == {
        "countdown-easy": {"train": 4, "test": 2},
        "zebra-easy": {"train": 3, "test": 2},
    }
    rows = read(tmp_path / "train.parquet")
    assert [r["data_source"] for r in rows] == ["countdown-easy"] * 4 + ["zebra-easy"] * 3
    assert [r["extra_info"] for r in rows][:2] == [
        {"index": 0, "split": "train"},
        {"index": 1, "split": "train"},
    ]
    assert read(tmp_path / "test.parquet")[0]["extra_info"]["split"] == "test"
    tasks = read_tasks(str(tmp_path))
    for row in rows:
        task, index = tasks[row["data_source"]], row["extra_info"]["index"]
        source = task.train[index]
        assert row["prompt"] == [{"role": "user", "content": source["prompt"]}]
        assert row["ability"] == task.family
        for completion in (task.oracle(source), "no answer"):
            want = task.score([source], [completion])[0]
            truth = row["reward_model"]["ground_truth"]
            got = compute_score(
                row["data_source"], completion, truth, row["extra_info"], tasks=str(tmp_path)
            )
            assert got == {"score": want.reward, "acc": want.accuracy}
        assert got != {"score": 1.0, "acc": 1.0}


def test_a_reward_that_raises_names_task_and_row(tmp_path):
    (tmp_path / "my_task.py").write_text(
        "from mtgrpo.tasks import Task\n"
        "def reward(prompts, completions, **columns):\n    raise OSError('down')\n"
        "def make():\n    return Task('mine', [{'prompt': 'a'}], [{'prompt': 'b'}], reward)\n"
    )
    write_rows([{"task": f"{tmp_path}/my_task.py:make"}], tmp_path)
    with pytest.raises(RewardError, match=r"task 'mine', prompt 5: .*OSError: down"):
        compute_score("mine", "x", '{"prompt": "a"}', {"index": 5}, tasks=str(tmp_path))


def test_what_cannot_be_written_or_read_is_refused(tmp_path):
    (tmp_path / "odd.py").write_text(
        "from mtgrpo.tasks import Task\n"
        "def make(**row):\n    return Task('odd', [{'prompt': 'a', **row, 'set': {1}}], [], lambda **k: [0.0])\n"
        "def parts():\n"
        "    parts = [{'type': 'text', 'text': 'a'}]\n"
        "    return Task('parts', [{'prompt': [{'role': 'user', 'content': parts}]}], [], lambda **k: [0.0])\n"
    )
    with pytest.raises(TaskError, match=r"task 'odd', train row 0: .*set is not JSON serializable"):
        write_rows([{"task": f"{tmp_path}/odd.py:make"}], tmp_path / "a")
    with pytest.raises(
        TaskError, match="task 'parts', train row 0: a message whose content is no text"
    ):
        write_rows([{"task": f"{tmp_path}/odd.py:parts"}], tmp_path / "b")
    with pytest.raises(
        ConfigError, match=r"nowhere/tasks.json: cannot be read \(FileNotFoundError"
    ):
        read_tasks(str(tmp_path / "nowhere"))
    (tmp_path / "tasks.json").write_text(json.dumps({"tasks": SPECS}))
    with pytest.raises(
        ConfigError, match=r"unknown task 'zebra-eas' \(did you mean 'zebra-easy'\?\)"
    ):
        compute_score("zebra-eas", "x", "{}", {"index": 0}, tasks=str(tmp_path))


def test_a_taskset_of_verifiers_is_told_what_is_right(tmp_path):
    line = r"^tasks\[2\]: verifiers taskset 'gsm8k_v1': .* set correct_at"
    with pytest.raises(ConfigError, match=line):
        write_rows([*SPECS, {"verifiers": "gsm8k_v1"}], tmp_path)


def test_the_example_script_writes_a_configurations_tasks(tmp_path, monkeypatch, capsys):
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"defaults": ["paper"], "tasks": SPECS}))  # JSON is YAML
    script = Path(__file__).parents[3] / "examples" / "verl" / "prepare_data.py"
    monkeypatch.setattr("sys.argv", ["prepare_data.py", str(config), str(tmp_path / "data")])
    runpy.run_path(str(script), run_name="__main__")
    assert capsys.readouterr().out.splitlines() == [
        "countdown-easy: 4 train, 2 test rows",
        "zebra-easy: 3 train, 2 test rows",
    ]
    assert len(read(tmp_path / "data" / "train.parquet")) == 7
