"""A slice of the campaign of near misses: some for every dataset, each with its oracle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("reasoning_gym")
from mtgrpo.tasks.sources.reasoning_gym import dataset_names

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
@pytest.mark.parametrize("dataset", dataset_names())
def test_no_near_miss_is_taken_for_right(dataset: str, campaign: Any):
    tally = campaign.run(dataset, each=25, rows=2)
    assert tally["near_misses"] == 25
    assert tally["wrong_taken_for_right"] == 0, tally["examples"]


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
