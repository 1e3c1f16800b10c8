"""docs/design.md: its table of rooms, its picture and the places it names are those of the code."""

from __future__ import annotations

import re
import runpy

import pytest

from .graph import drawing, import_graph, room_graph, shown
from .house import FLOORS
from .source import ROOT, SOURCE

PAGE = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")


def test_the_table_of_rooms_is_that_of_the_house():
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| \S", PAGE, flags=re.MULTILINE)
    rooms = [
        (str(number), shown(room))
        for number, floor in reversed(list(enumerate(FLOORS)))
        for room in floor
    ]
    assert rows == rooms


def test_the_picture_is_drawn_from_the_imports():
    picture = drawing(room_graph(import_graph(SOURCE, "mtgrpo")), FLOORS)
    (block,) = re.findall(r"```mermaid\n(.*?)\n?```", PAGE, flags=re.DOTALL)
    assert block == picture, f"docs/design.md: put this between ```mermaid and ```:\n{picture}"


def test_the_site_draws_the_picture_itself():
    chart = runpy.run_path(str(ROOT / "tools" / "flowchart.py"))
    page = chart["drawn"](PAGE)
    assert "```mermaid" not in page
    assert "```python" in page

    picture = re.search(r"<svg .*</svg>", page)
    assert picture is not None
    names = re.findall(r">(\w+)</text>", picture[0])
    assert sorted(names) == sorted(shown(room) for floor in FLOORS for room in floor)
    assert picture[0].count("marker-end") == len(chart["arrows"](_block()))
    assert "http" not in picture[0].replace("http://www.w3.org/2000/svg", ""), "nothing is loaded"


def test_a_line_that_is_no_arrow_is_refused():
    chart = runpy.run_path(str(ROOT / "tools" / "flowchart.py"))
    assert chart["arrows"]("  a --> b & c\n  b --> c") == [("a", "b"), ("a", "c"), ("b", "c")]
    with pytest.raises(ValueError, match="'a -- b' is no line such as"):
        chart["arrows"]("a -- b")


def _block() -> str:
    (block,) = re.findall(r"```mermaid\nflowchart TD\n(.*?)\n?```", PAGE, flags=re.DOTALL)
    return block


def test_the_places_where_things_go_are_there():
    section = PAGE.split("## Where things go\n")[1].split("\n## ")[0]
    paths = re.findall(r"`((?:src|tests|docs)/[^`]+)`", section)
    assert len(paths) > 20
    for path in paths:
        fixed = path.split("<")[0]  # <rule>.py and the like: the folder must be there
        assert (ROOT / fixed).exists(), path


def test_the_tables_things_are_registered_in_are_there():
    section = PAGE.split("## Where things go\n")[1].split("\n## ")[0]
    for table, file in {
        "WEIGHTINGS": "core/registry.py",
        "PLANNERS": "core/registry.py",
        "ACCEPTANCES": "core/registry.py",
        "FILTERS": "core/filters.py",
        "_KINDS": "tasks/specs.py",
    }.items():
        assert f"`{table}`" in section
        assert re.search(rf"^{table}\b", (SOURCE / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_the_hook_it_shows_is_the_trainers():
    section = PAGE.split("## The TRL trainer has parts\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    trainer = (SOURCE / "integrations" / "trl" / "trainer.py").read_text(encoding="utf-8")

    for line in block.splitlines()[1:]:  # all but the signature, whose types are left out
        assert line.strip() in trainer
    targets = re.findall(r"^        (self\..*?) = ", trainer, flags=re.MULTILINE)
    assigned = set(re.findall(r"self\.(\w+)", " ".join(targets)))
    for part in re.findall(r"`(\w+)`", section.split("The parts (")[1].split(")")[0]):
        assert part in assigned, part
