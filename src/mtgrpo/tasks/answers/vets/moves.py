"""Vets of answers that are moves: in the asked form throughout, and legal one by one.

Where a dataset's own scorer plays the moves by the rules, the form alone is checked here. Two of
them pass over illegal moves (`cars_out`, `boxes_home`); these are played again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

from mtgrpo.tasks.answers.vets.read import json_value, lines

Entry = Mapping[str, Any]

_POURS = re.compile(r"(?:fill|empty) [A-Z]|pour [A-Z]->[A-Z]")
_KEYS = re.compile(r"[LDUR\s,]+")
_BUTTONS = re.compile(r"[A-C](?:(?:\s*(?:→|->|,)\s*|\s+)[A-C])*", re.IGNORECASE)
_DISKS = re.compile(r"\s*Move disk [0-9]+ from Peg [0-9]+ to Peg [0-9]+\.?\s*", re.ASCII)
_TURN = r"(?:[1-3]?[LRDUBF]w?|[XYZMES])'?[0-9]?"
_TURNS = re.compile(rf"\s*{_TURN}(?:\s+{_TURN})*\s*")


def pours(answer: str, entry: Entry) -> bool:
    """A JSON list of moves of jugs."""
    moves = json_value(answer)
    if not isinstance(moves, list):
        return False

    for move in cast("list[Any]", moves):
        if not isinstance(move, str) or not _POURS.fullmatch(" ".join(move.split())):
            return False
    return True


def keys(answer: str, entry: Entry) -> bool:
    """The letters of the four directions, perhaps with space and commas between."""
    return _KEYS.fullmatch(answer) is not None


def buttons(answer: str, entry: Entry) -> bool:
    """The letters of buttons, with arrows, commas or space between."""
    return _BUTTONS.fullmatch(answer.strip()) is not None


def disks(answer: str, entry: Entry) -> bool:
    """``Move disk X from Peg Y to Peg Z``, a line each."""
    return all(_DISKS.fullmatch(line) for line in lines(answer) if line.strip())


def turns(answer: str, entry: Entry) -> bool:
    """Turns of a cube in Singmaster's notation, with space between."""
    return _TURNS.fullmatch(answer) is not None


# ---- rush hour ----------------------------------------------------------------------------------

_SIZE = 6
_MOVE = re.compile(r"([A-Z])([+-][0-9])")


def cars_out(answer: str, entry: Entry) -> bool:
    """Every move is free all the way, and the red car stands at the exit in the end."""
    board = _Board(entry["metadata"]["board_config"])
    for move in answer.replace(",", " ").split():
        match = _MOVE.fullmatch(move)
        if match is None or not board.move(match[1], int(match[2])):
            return False

    exit_row = 2 * _SIZE
    return board.cars["A"] == [exit_row + _SIZE - 2, exit_row + _SIZE - 1]


class _Board:
    """Cells of the cars, which are named in the order of their letters, as the question does."""

    def __init__(self, config: str) -> None:
        letters = sorted(set(config) - {"o", "x"})
        self.walls = {i for i, c in enumerate(config) if c == "x"}
        self.cars = {
            chr(ord("A") + n): [i for i, c in enumerate(config) if c == letter]
            for n, letter in enumerate(letters)
        }

    def move(self, name: str, steps: int) -> bool:
        """Move a car; False when there is no such car or something is in the way."""
        cells = self.cars.get(name)
        if cells is None or steps == 0:
            return False

        taken = self.walls.union(*(c for other, c in self.cars.items() if other != name))
        horizontal = cells[1] - cells[0] == 1
        stride = 1 if horizontal else _SIZE
        if steps < 0:
            stride = -stride

        for _ in range(abs(steps)):
            moved = [cell + stride for cell in cells]
            same_row = {cell // _SIZE for cell in moved} == {cells[0] // _SIZE}
            if horizontal and not same_row:
                return False
            if any(cell in taken or not 0 <= cell < _SIZE * _SIZE for cell in moved):
                return False
            cells = moved

        self.cars[name] = cells
        return True


# ---- boxnet -------------------------------------------------------------------------------------

_SQUARE = r"\[\s*([0-9]{1,3}\.5)\s*,\s*([0-9]{1,3}\.5)\s*\]"
_AGENT = re.compile(rf"Agent{_SQUARE}")
_TO_SQUARE = re.compile(rf"move\((box_\w+),\s*square{_SQUARE}\)")
_TO_TARGET = re.compile(r"move\((box_(\w+)),\s*(target_\2)\)")


def boxes_home(answer: str, entry: Entry) -> bool:
    """Every agent moves a box that is in its square, and in the end every box is on its target."""
    squares: dict[str, Counter[str]] = {
        place: Counter(things) for place, things in entry["metadata"]["initial_state"].items()
    }
    plans = json_value(answer)
    if not isinstance(plans, list):
        return False

    for plan in cast("list[Any]", plans):
        if not isinstance(plan, dict) or not _act(squares, cast("dict[str, Any]", plan)):
            return False
    return not any(thing.startswith("box_") for things in squares.values() for thing in things)


def _act(squares: dict[str, Counter[str]], plan: dict[str, Any]) -> bool:
    """One step: all agents act at once, so that a box moves once."""
    arrived: list[tuple[str, str]] = []
    acted: set[str] = set()

    for agent, action in plan.items():
        match = _AGENT.fullmatch(agent)
        place = "_".join(match.groups()) if match else ""
        if place not in squares or place in acted or not isinstance(action, str):
            return False

        acted.add(place)
        things = squares[place]
        if match := _TO_TARGET.fullmatch(action):
            if not things[match[1]] or not things[match[3]]:
                return False
            things.subtract([match[1], match[3]])
        elif match := _TO_SQUARE.fullmatch(action):
            goal = f"{match[2]}_{match[3]}"
            if not things[match[1]] or goal not in squares or not _adjacent(place, goal):
                return False
            things.subtract([match[1]])
            arrived.append((goal, match[1]))
        else:
            return False

    for goal, box in arrived:
        squares[goal][box] += 1
    for place, things in squares.items():
        squares[place] = +things  # what is there at least once
    return True


def _adjacent(a: str, b: str) -> bool:
    (row, column), (other_row, other_column) = (map(float, place.split("_")) for place in (a, b))
    return abs(row - other_row) + abs(column - other_column) == 1.0
