"""Files that grow line by line know how far they have come."""

from __future__ import annotations

from mtgrpo.runlog.line_file import LineFile


def test_lines_are_counted_as_they_come_and_as_they_are_kept(tmp_path):
    file = LineFile(tmp_path / "x.jsonl")
    file.keep(lambda _: True)
    assert (file.num_lines, file.last_step, file.elapsed_s) == (0, None, 0.0)
    assert not file.path.exists()

    for step in (1, 2, 3):
        file.append({"step": step, "elapsed_s": 2.0 * step})
    assert (file.num_lines, file.last_step, file.elapsed_s) == (3, 3, 6.0)

    again = LineFile(file.path)
    with open(file.path, "a") as torn:
        torn.write('{"step": 4, "elap')
    again.keep(lambda line: line["step"] <= 2)
    assert (again.num_lines, again.last_step, again.elapsed_s) == (2, 2, 4.0)
    assert file.path.read_text().count("\n") == 2
    assert repr(again) == "LineFile('x.jsonl', 2 lines)"
