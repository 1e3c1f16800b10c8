import json
from pathlib import Path
from typing import Any

import pytest

from mtgrpo.errors import TaskError
from mtgrpo.tasks.sources.read_rows import read_rows, require_column

ROWS = [{"prompt": "a", "answer": "1"}, {"prompt": "b", "answer": "2"}]


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_jsonl(tmp_path: Path):
    text = "\n".join(map(json.dumps, ROWS)) + "\n\n"
    assert read_rows(write(tmp_path / "a.jsonl", text), "here") == ROWS
    assert read_rows(str(write(tmp_path / "b.jsonl", "\ufeff" + text)), "here") == ROWS


def test_json(tmp_path: Path):
    assert read_rows(write(tmp_path / "a.json", json.dumps(ROWS, indent=1)), "here") == ROWS


def test_parquet(tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    parquet.write_table(arrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert read_rows(tmp_path / "a.parquet", "here") == ROWS
    with pytest.raises(TaskError, match=r"b\.parquet: cannot be read"):
        read_rows(write(tmp_path / "b.parquet", "no parquet"), "here")


def test_objects():
    assert read_rows(ROWS, "here") == ROWS
    assert read_rows(iter(ROWS), "here") == ROWS


def test_hugging_face_datasets():
    datasets = pytest.importorskip("datasets")
    dataset = datasets.Dataset.from_list(ROWS)
    assert read_rows(dataset, "here") == ROWS
    with pytest.raises(TaskError, match="found a DatasetDict of train, test; choose one split"):
        read_rows(datasets.DatasetDict({"train": dataset, "test": dataset}), "here")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", None, "a.jsonl: no such file"),
        (
            "a.xlsx",
            "x",
            "a.xlsx: unknown file type; a .jsonl, .json, .csv, .tsv or .parquet file can",
        ),
        ("a.json", "[]", "a.json: no rows"),
        ("a.json", '{"a": 1}', r"a.json: found dict; a list of objects is needed, \[{...}"),
        ("a.json", '{"a": 1}\n{"a": 2}\n', "a.json: no JSON: Extra data.* needs a .jsonl file"),
        ("a.json", '[{"a": 1}, 2]', "a.json: row 1 is a int; a mapping is needed"),
        ("a.json", b"\xff", "a.json: cannot be read"),
        ("a.jsonl", '{"a": 1}\n{"a": \n', r"a.jsonl:2: no JSON: Expecting value"),
        ("a.jsonl", '{"a": 1}\n[1]\n', r"a.jsonl:2: found list; one JSON object a line"),
        ("a.jsonl", "[" * 100_000, r"a.jsonl:1: no JSON"),
        ("a.jsonl", "", "a.jsonl: no rows"),
        ("a.jsonl", b"\xff\xfe\x00", "a.jsonl: cannot be read"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: str | bytes | None, message: str):
    if content is not None:
        write(tmp_path / name, content)
    with pytest.raises(TaskError, match=message) as caught:
        read_rows(tmp_path / name, "here")
    assert "\n" not in str(caught.value)


def test_where_a_missing_file_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "train.csv", "q\n1")

    looked = f"it was looked for in the working directory, as {tmp_path / 'trian.csv'};"
    for source, message in (
        ("trian.csv", rf"no such file \(did you mean 'train.csv'\?\); {looked}"),
        (tmp_path / "trian.csv", r"no such file \(did you mean 'train.csv'\?\); a .jsonl"),
        ("data/train.csv", r"no such file, nor its folder data; it was looked for"),
        (tmp_path, ": a directory that save_to_disk did not write "),
    ):
        with pytest.raises(TaskError, match=message):
            read_rows(source, "here")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "no rows"),
        ([1], "row 0 is a int"),
        (3, "found a int"),
        ({"train": []}, "dict of train"),
    ],
)
def test_bad_objects(source: Any, message: str):
    with pytest.raises(TaskError, match=message):
        read_rows(source, "here")


def test_a_directory_is_no_file(tmp_path: Path):
    with pytest.raises(TaskError, match="a directory"):
        read_rows(tmp_path, "here")


def test_missing_columns():
    require_column(ROWS, "answer", "here")
    with pytest.raises(
        TaskError,
        match=r"here: row 0 has no column 'answr' \(did you mean 'answer'\?\); columns there are: prompt, ans",
    ):
        require_column(ROWS, "answr", "here")
