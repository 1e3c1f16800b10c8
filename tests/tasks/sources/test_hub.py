"""The Hub is never asked: `load_dataset` is replaced."""

from typing import Any

import pytest

from mtgrpo.errors import TaskError
from mtgrpo.tasks import hub_task

datasets = pytest.importorskip("datasets")


def make(**options: Any):
    return hub_task(
        "math", "some/data", prompt="q", reward=lambda prompts, **_: [0.0] * len(prompts), **options
    )


def test_splits_are_loaded_by_name(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def load_dataset(path: str, name: str | None, *, split: str, revision: str | None):
        asked.append((path, name, split, revision))
        return datasets.Dataset.from_list([{"q": f"{split} {i}", "a": i} for i in range(3)])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    task = make(config="main", test_split="validation", revision="v1")
    assert asked == [
        ("some/data", "main", "train", "v1"),
        ("some/data", "main", "validation", "v1"),
    ]
    assert task.train[2] == {"prompt": "train 2", "a": 2}
    assert task.test[0]["prompt"] == "validation 0"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ConnectionError("offline\nlong story"),
            "task 'math': dataset 'some/data': cannot be reached.*cache: offline$",
        ),
        (
            FileNotFoundError("no such dataset"),
            "cannot be loaded: FileNotFoundError: no such dataset",
        ),
        (ValueError("Config name is missing."), "dataset 'some/data': Config name is missing"),
    ],
)
def test_errors_are_one_clear_line(monkeypatch: pytest.MonkeyPatch, error: Exception, message: str):
    def load_dataset(*_: Any, **__: Any):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(TaskError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_an_unknown_split_shows_those_there_are(tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.jsonl").write_text('{"q": "a"}\n')
    (tmp_path / "data/test.jsonl").write_text('{"q": "b"}\n')
    with pytest.raises(
        TaskError, match=r"unknown split 'tets' \(did you mean 'test'\?\); allowed: test, train"
    ):
        hub_task(
            "math", str(tmp_path / "data"), prompt="q", reward=lambda **_: [0.0], test_split="tets"
        )
    task = hub_task(
        "math", str(tmp_path / "data"), prompt="q", reward=lambda **_: [0.0], test_split="test"
    )
    assert (task.train[0]["prompt"], task.test[0]["prompt"]) == ("a", "b")
