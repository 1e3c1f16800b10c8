"""CSV and TSV files: texts under a header, and each fault with its line."""

import csv
from pathlib import Path

import pytest

from mtgrpo.errors import TaskError
from mtgrpo.tasks import build_tasks
from mtgrpo.tasks.sources.read_rows import read_rows

HEADER = b"question,answer\n"


def read(path: Path, content: bytes):
    path.write_bytes(content)
    return read_rows(path, "here")


def test_values_are_texts(tmp_path: Path):
    rows = read(tmp_path / "a.csv", HEADER + b"2+2?,4\n\nnone?,\n  \n")
    assert rows == [{"question": "2+2?", "answer": "4"}, {"question": "none?", "answer": ""}]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_what_was_written_is_read(tmp_path: Path, ending: str):
    rows = [
        {"q": 'say "hi", twice', "a": "line 1\nline 2"},
        {"q": " spaces ", "a": "\ttab"},
        {"q": "größer 三", "a": "NaN"},
    ]
    for suffix, separator, encoding in ((".csv", ",", "utf-8-sig"), (".TSV", "\t", "utf-8")):
        path = tmp_path / f"rows{suffix}"
        with path.open("w", newline="", encoding=encoding) as file:
            writer = csv.DictWriter(file, ["q", "a"], delimiter=separator, lineterminator=ending)
            writer.writeheader()
            writer.writerows(rows)
        assert read_rows(str(path), "here") == rows


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.csv: empty; a first line with the names of the columns"),
        (b"\n\n", r"a\.csv: empty"),
        (HEADER, r"a\.csv: no rows"),
        (b"a,b,a\n1,2,3\n", r"a\.csv:1: two columns are called 'a'"),
        (b",question\n0,x\n", r"a\.csv:1: column 1 has no name; .*to_csv\(path, index=False\)"),
        (b"question, answer\nx, 4\n", r"a\.csv:1: the column ' answer' has space around"),
        (b"question;answer\nx;4\n", r"a\.csv:1: one column, 'question;answer', .* a semicolon"),
        (b"question\tanswer\nx\t4\n", r"a\.csv:1: one column, .* a tab stands; .* a comma is"),
        (HEADER + b'"x\ny",1\nz\n', r"a\.csv:4: 1 field, but the header names 2 columns"),
        (HEADER + b"1,000,4\n", r"a\.csv:2: 3 fields, but .* with a comma in quotation marks"),
        (HEADER + b'x,1\n"y,2\nz,3\n', r"a\.csv:3: unexpected end of data; .*quotation marks"),
        (HEADER + b'"x"y,1\n', r"a\.csv:2: ',' expected after '\"'"),
        (HEADER + b"x," + b"1" * 131_073, r"a\.csv:2: field larger than .* 131,072 characters"),
        (
            HEADER + b"x,1\ncaf\xe9,2\n",
            r"a\.csv:3: not UTF-8 \(byte 0xe9\); save the file as UTF-8",
        ),
        ("q,a\n".encode("utf-16"), r"a\.csv:1: not UTF-8"),
    ],
)
def test_faults_name_the_line(tmp_path: Path, content: bytes, message: str):
    with pytest.raises(TaskError, match=message) as caught:
        read(tmp_path / "a.csv", content)
    assert str(caught.value).startswith("here: ")
    assert "\n" not in str(caught.value)


def test_in_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("csv_rewards.py").write_text(
        "def exact(completions, answer, **columns):\n"
        "    return [float(c == a) for c, a in zip(completions, answer)]\n"
    )
    lines = [f"{i}+{i}?\t{2 * i}\t{i % 2}" for i in range(20)]
    Path("train.tsv").write_text("\n".join(["q\tanswer\tkind", *lines]))
    Path("test.csv").write_text("q,answer,kind\nnew?,7,0\n")

    exact = "csv_rewards.py:exact"
    one = {"rows": "train.tsv", "name": "sums", "prompt": "q", "reward": exact, "correct_at": 1.0}
    several = {"dataset": "train.tsv", "task_column": "kind", "prompt": "q", "rewards": exact}
    sums = build_tasks([{**one, "test": "test.csv"}], "tasks")["sums"]
    assert sums.test[0] == {"prompt": "new?", "answer": "7", "kind": "0"}
    assert sums.score(sums.train[3:4], ["6"]) == [(1.0, 1.0)]

    tasks = build_tasks([{**several, "test_fraction": 0.3}], "tasks")
    assert tasks.names == ("0", "1")
    assert len(tasks["0"].train) + len(tasks["0"].test) == 10
