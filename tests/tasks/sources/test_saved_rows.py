"""Folders of `save_to_disk`: one dataset, or splits to choose from."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mtgrpo.errors import MissingExtra, TaskError
from mtgrpo.tasks import build_tasks
from mtgrpo.tasks.sources.one_file import dataset_tasks
from mtgrpo.tasks.sources.read_rows import read_rows
from mtgrpo.tasks.sources.saved_rows import is_saved, opened

datasets = pytest.importorskip("datasets")

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}]
ROWS = [{"prompt": CHAT, "answer": 4, "tags": ["sum", "easy"], "extra": {"of": "a"}}]
REWARD = "def right(completions, **columns):\n    return [0.0 for _ in completions]\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("saved_reward.py").write_text(REWARD)


def save(folder: str, **splits: list[dict[str, Any]]):
    parts = {name: datasets.Dataset.from_list(rows) for name, rows in splits.items()}
    datasets.DatasetDict(parts).save_to_disk(folder)


def questions(first: int, last: int):
    return [{"q": f"{i}?", "kind": "ab"[i % 2]} for i in range(first, last)]


def test_rows_come_through_as_from_parquet():
    dataset = datasets.Dataset.from_list(ROWS)
    dataset.with_format("numpy").save_to_disk("saved")
    dataset.to_parquet("rows.parquet")
    assert read_rows("saved", "here") == read_rows("rows.parquet", "here") == ROWS


def test_splits_in_a_configuration():
    save("data", train=questions(0, 6), validation=questions(6, 8), test=questions(8, 11))
    save("one", unusual=questions(20, 24))
    entry = {"rows": "data", "name": "a", "prompt": "q", "reward": "saved_reward.py:right"}

    def sizes(**changes: Any):
        task = build_tasks([{**entry, **changes}], "tasks")["a"]
        return len(task.train), len(task.test)

    assert sizes() == (6, 0)
    assert sizes(test_split="validation") == (6, 2)
    assert sizes(train_split="validation", test="data") == (2, 3)
    assert sizes(test="one", test_split="unusual") == sizes(test="one") == (6, 4)
    assert sizes(rows="one", test="data", test_split="validation") == (4, 2)

    several = {
        "dataset": "data",
        "task_column": "kind",
        "prompt": "q",
        "rewards": "saved_reward.py:right",
        "train_split": "validation",
        "test_split": "test",
    }
    tasks = build_tasks([several], "tasks")
    assert tasks.names == ("a", "b")
    assert [len(task.train) for task in tasks] == [1, 1]
    assert [len(task.test) for task in tasks] == [2, 1]


def test_labels_name_tasks():
    features = datasets.Features(
        {"q": datasets.Value("string"), "kind": datasets.ClassLabel(names=["math", "code"])}
    )
    columns = {"q": ["a", "b", "c"], "kind": [1, 0, 1]}
    datasets.Dataset.from_dict(columns, features=features).save_to_disk("labelled")
    entry = {"dataset": "labelled", "task_column": "kind", "prompt": "q"}

    tasks = build_tasks([{**entry, "rewards": "saved_reward.py:right"}], "tasks")
    assert tasks.names == ("code", "math")
    assert [row["prompt"] for row in tasks["code"].train] == ["a", "c"]

    # Test rows without labels have the numbers of those.
    tests = [{"q": "d", "kind": 0}, {"q": "e", "kind": "code"}]
    several = dataset_tasks(
        "labelled", prompt="q", task_column="kind", test=tests, rewards=lambda **_: [0.0]
    )
    counts = {task.name: (len(task.train), len(task.test)) for task in several}
    assert counts == {"code": (2, 1), "math": (1, 1)}


def test_a_folder_that_is_no_saved_dataset_is_not_taken_for_one():
    Path("checkpoint").mkdir()
    Path("checkpoint/state.json").write_text("{}")
    assert not is_saved(Path("checkpoint"))


def test_faults_are_one_line():
    save("data", train=questions(0, 2), validation=questions(2, 3))
    datasets.Dataset.from_list(ROWS).save_to_disk("flat")
    datasets.Dataset.from_list(ROWS).save_to_disk("torn")
    next(Path("torn").glob("*.arrow")).unlink()
    Path("spoiled").mkdir()
    Path("spoiled/dataset_dict.json").write_text("{")
    Path("empty").mkdir()
    Path("rows.csv").write_text("q\n1\n")

    for source, split, message in (
        (
            "data",
            "tran",
            r"data: unknown split 'tran' \(did you mean 'train'\?\); allowed: train, v",
        ),
        ("flat", "train", "flat: split 'train' was asked for, but this is one dataset without"),
        ("torn", None, "torn: cannot be read: FileNotFoundError: "),
        ("spoiled", None, "spoiled: cannot be read: JSONDecodeError: "),
        ("rows.csv", "train", "rows.csv: split 'train' was asked for, but only a folder saved"),
        (ROWS, "train", "rows in memory: split 'train' was asked for"),
    ):
        with pytest.raises(TaskError, match=rf"^here: {message}") as caught:
            opened(source, "here", split)
        assert "\n" not in str(caught.value)

    with pytest.raises(TaskError, match="empty: a directory that save_to_disk did not write"):
        read_rows("empty", "here")

    entry = {"hub": "data", "name": "a", "prompt": "q", "reward": "saved_reward.py:right"}
    with pytest.raises(TaskError, match=r"a folder that save_to_disk wrote.* 'rows: data' instead"):
        build_tasks([entry], "tasks")

    # Splits to test on that are not the usual one are asked for, not guessed.
    entry = {"rows": "data", "name": "a", "prompt": "q", "reward": "saved_reward.py:right"}
    with pytest.raises(TaskError, match="data: unknown split 'test'; allowed: train, validation"):
        build_tasks([{**entry, "test": "data"}], "tasks")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch):
    Path("data").mkdir()
    Path("data/dataset_dict.json").write_text(json.dumps({"splits": ["train"]}))
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mtgrpo\[trl\]'"):
        read_rows("data", "here")
