"""A slice of the campaign of near misses: some for every dataset, each with its oracle."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("reasoning_gym")
from mtgrpo.tasks.sources.reasoning_gym import HASH_DEPENDENT, dataset_names

BENCHMARKS = Path(__file__).parents[4] / "benchmarks"


@pytest.fixture
def campaign(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("PYTHONHASHSEED", "0")  # silences a warning; the rows are right in any case
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import fuzz_near_misses

    return fuzz_near_misses


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("dataset", sorted({*dataset_names()} - HASH_DEPENDENT))
def test_no_near_miss_is_taken_for_right(dataset: str, campaign: Any):
    tally = campaign.run(dataset, each=25, rows=2)
    assert tally["near_misses"] == 25
    assert tally["wrong_taken_for_right"] == 0, tally["examples"]


def test_no_near_miss_is_taken_for_right_where_rows_depend_on_the_hash_seed(tmp_path: Path):
    names = sorted(HASH_DEPENDENT)
    script = str(BENCHMARKS / "fuzz_near_misses.py")
    subprocess.run(
        [sys.executable, script, *names, "--each", "25"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        check=True,
        capture_output=True,
        timeout=300,
    )
    tallies = [json.loads(path.read_text()) for path in tmp_path.glob("runs/near/*.json")]
    assert [tally["near_misses"] for tally in tallies] == [25] * len(names)
    assert not any(tally["wrong_taken_for_right"] for tally in tallies), tallies


@pytest.mark.parametrize(
    "text", ["-0.00136748116123765260", "-1.3674811612376526e-3", "-1.37e-3", "-0.00136748"]
)
def test_the_oracle_of_powers_takes_the_reference_by_value(text: str, campaign: Any):
    entry = {
        "answer": "-0.0013674811612376526",  # a float's digits, the last of them rounded wrongly
        "metadata": {"base": -731.2715, "exponent": -1},
    }
    assert campaign.oracles.power(text, entry)
    assert campaign.table.is_right("power_function", text, entry)


@pytest.mark.parametrize(
    "text", ["-0.0013674811612376527", "-1.36e-3", "1.37e-3", "-1.37e-9999999"]
)
def test_the_oracle_of_powers_refuses_other_numbers(text: str, campaign: Any):
    entry = {
        "answer": "-0.0013674811612376526",
        "metadata": {"base": -731.2715, "exponent": -1},
    }
    assert not campaign.oracles.is_right("power_function", text, entry)
    assert not campaign.table.is_right("power_function", text, entry)


@pytest.mark.parametrize(
    ("text", "right"), [("1230000", True), ("1,230,000", True), ("1230004e0", False)]
)
def test_zeros_stand_for_digits_of_whole_numbers_alone(text: str, right: bool, campaign: Any):
    entry = {"answer": "1230002.0", "metadata": {"base": 1230002, "exponent": 1}}
    assert campaign.oracles.is_right("power_function", text, entry) == right
    assert campaign.table.is_right("power_function", text, entry) == right


@pytest.mark.parametrize("dataset", ["gsm_symbolic", "knights_knaves", "rush_hour", "pool_matrix"])
def test_without_the_vet_near_misses_are_found(dataset: str, campaign: Any, monkeypatch: Any):
    monkeypatch.setitem(campaign.table.VETS, dataset, lambda answer, entry: True)
    tally = campaign.run(dataset, each=100, rows=4)
    assert tally["wrong_taken_for_right"] == tally["own_scorer_took"] > 0
    assert tally["examples"]["wrong_taken_for_right"]


def test_no_near_miss_of_math_is_taken_for_right(campaign: Any):
    pytest.importorskip("math_verify")
    tally = campaign.near_math.run(60)
    assert tally["near_misses"] == 60
    assert tally["wrong_taken_for_right"] == 0, tally["examples"]


def test_every_dataset_has_an_oracle(campaign: Any):
    assert set(campaign.oracles.ORACLES) == set(dataset_names())


SOLVED = "R U R' U' F2 D' L B' M E' S X Y' Rw U"


def test_the_oracle_of_the_cube(campaign: Any):
    entry = {"metadata": {"scramble_moves": "R U"}}
    assert campaign.games.rubiks("U' R'", entry)
    assert campaign.games.rubiks("U3 R3", entry)
    assert not campaign.games.rubiks("R' U'", entry)
    assert not campaign.games.rubiks("U' R' Q", entry)

    magiccube = pytest.importorskip("magiccube")
    cube = magiccube.Cube(3)
    turned = campaign.games.solved_cube()
    for move in SOLVED.split():
        cube.rotate(move)
        turned = campaign.games.turn(turned, move)
    assert not cube.is_done()
    inverse = " ".join(
        move.removesuffix("'") if move.endswith("'") else f"{move}'" if move[-1] != "2" else move
        for move in reversed(SOLVED.split())
    )
    entry = {"metadata": {"scramble_moves": SOLVED}}
    assert campaign.games.rubiks(inverse, entry)
    cube.rotate(inverse)
    assert cube.is_done()


def test_the_record_and_the_page_agree():
    """The campaign found nothing, and the page names every dataset whose own scorer was too kind."""
    record = json.loads((BENCHMARKS / "fuzz_near_misses.json").read_text())
    assert record["wrong_taken_for_right"] == 0
    assert record["near_misses"] >= 200_000
    assert set(record["by_dataset"]) == {*dataset_names(), "math"}

    page = (BENCHMARKS.parent / "docs" / "faults.md").read_text(encoding="utf-8")
    section = page.split("## ... a wrong answer looks right")[1].split("\n## ")[0]
    assert f"{record['near_misses']:,} near misses" in section
    assert f"{record['own_scorers_took']:,} of them" in section

    named = {
        name
        for row in section.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    kind = {name for name, tally in record["by_dataset"].items() if tally["own_scorer_took"]}
    assert kind - {"composite"} <= named
