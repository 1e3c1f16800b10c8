"""Oracles of games and puzzles: the rules, written again and independently of the scorers.

Each says whether an answer solves an entry. Nothing is imported from mtgrpo or reasoning-gym.
"""

from __future__ import annotations

import json
import re
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

Entry = Mapping[str, Any]


def strict_json(text: str) -> Any:
    """A JSON value; ValueError for anything else, a key that stands twice, NaN and infinity."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in items]
        if len(names) != len(set(names)):
            raise ValueError
        return dict(items)

    def constant(name: str) -> None:
        raise ValueError

    return json.loads(text, object_pairs_hook=pairs, parse_constant=constant)


# ---- numbers in grids ---------------------------------------------------------------------------
def digit_rows(text: str) -> list[list[int]]:
    """The digits of each line; a line with any other letter than < > ^ v is an error."""
    rows: list[list[int]] = []
    for line in text.split("\n"):
        cells = [c for c in line if c not in " <>∧∨\t"]
        if any(c not in "0123456789" for c in cells):
            raise ValueError
        if cells:
            rows.append([int(c) for c in cells])
    return rows


def latin(rows: list[list[int]], given: list[list[int]]) -> bool:
    """Whether every row and column holds 1 to n, and the given numbers are kept."""
    n = len(given)
    everything = list(range(1, n + 1))
    if len(rows) != n or any(sorted(row) != everything for row in rows):
        return False
    if any(sorted(column) != everything for column in zip(*rows, strict=True)):
        return False
    return all(given[r][c] in (0, rows[r][c]) for r in range(n) for c in range(n))


def sudoku(text: str, entry: Entry) -> bool:
    rows = digit_rows(text)
    given = entry["metadata"]["puzzle"]
    if not latin(rows, given):
        return False

    n = len(given)
    size = {4: 2, 9: 3}[n]
    for top in range(0, n, size):
        for left in range(0, n, size):
            box = [rows[top + i][left + j] for i in range(size) for j in range(size)]
            if len(set(box)) < n:
                return False
    return True


def futoshiki(text: str, entry: Entry) -> bool:
    metadata = entry["metadata"]
    rows = digit_rows(text)
    if not latin(rows, metadata["puzzle"]):
        return False
    for r, c, s, d, sign in metadata["constraints"]:
        less = rows[r][c] < rows[s][d]
        if less != (sign == "<"):
            return False
    signs = [c for c in text if c in "<>∧∨"]  # a changed sign would say something false
    return sorted(signs) == sorted(c for c in entry["answer"] if c in "<>∧∨")


def survo(text: str, entry: Entry) -> bool:
    metadata = entry["metadata"]
    rows = [[int(word) for word in line.split()] for line in text.strip().split("\n")]
    puzzle = metadata["puzzle"]
    n = len(puzzle)
    if [len(row) for row in rows] != [n] * n:
        return False

    filled: list[int] = []
    for r in range(n):
        for c in range(n):
            if puzzle[r][c] == 0:
                filled.append(rows[r][c])
            elif puzzle[r][c] != rows[r][c]:
                return False
    sums = all(sum(line[:-1]) == line[-1] for line in (*rows, *map(list, zip(*rows, strict=True))))
    return sums and sorted(filled) == sorted(metadata["candidate_numbers"])


def kakurasu(text: str, entry: Entry) -> bool:
    metadata = entry["metadata"]
    rows = [line.replace(",", " ").split() for line in text.strip().split("\n")]
    rows = [[cell.strip("[]") for cell in row] for row in rows]
    rows = [list(row[0]) if len(row) == 1 else [c for c in row if c] for row in rows]
    if any(cell not in ("0", "1") for row in rows for cell in row):
        return False
    if [len(row) for row in rows] != [metadata["n_cols"]] * metadata["n_rows"]:
        return False

    across = [sum(j + 1 for j, cell in enumerate(row) if cell == "1") for row in rows]
    down = [
        sum(i + 1 for i, cell in enumerate(column) if cell == "1")
        for column in zip(*rows, strict=True)
    ]
    return across == metadata["row_sums"] and down == metadata["col_sums"]


def game_of_life(text: str, entry: Entry) -> bool:
    """The board of the question, played on."""
    question = entry["question"]
    steps = int(re.search(r"after (\d+) steps?", question)[1])  # type: ignore[index]
    board = json.loads(question[question.rindex("[[") :].rstrip().rstrip("."))
    height, width = len(board), len(board[0])
    for _ in range(steps):
        around = [
            [
                sum(
                    board[(r + i) % height][(c + j) % width]
                    for i in (-1, 0, 1)
                    for j in (-1, 0, 1)
                    if i or j
                )
                for c in range(width)
            ]
            for r in range(height)
        ]
        board = [
            [int(around[r][c] == 3 or (board[r][c] and around[r][c] == 2)) for c in range(width)]
            for r in range(height)
        ]
    given = strict_json(text)
    if any(isinstance(cell, bool) for row in given for cell in row):
        return False
    return given == board


# ---- constraints --------------------------------------------------------------------------------
def graph_color(text: str, entry: Entry) -> bool:
    puzzle = entry["metadata"]["puzzle"]
    colors = strict_json(text)
    if set(colors) != {str(v) for v in puzzle["vertices"]}:
        return False
    if any(type(c) is not int or c not in puzzle["color_options"] for c in colors.values()):
        return False
    return not any(colors[str(a)] == colors[str(b)] for a, b in puzzle["edges"])


def cryptarithm(text: str, entry: Entry) -> bool:
    metadata = entry["metadata"]
    pairs = [part.strip().split("=") for part in text.split(",")]
    letters = [letter.strip() for letter, _ in pairs]
    digits = [digit.strip() for _, digit in pairs]
    if len(set(letters)) < len(letters) or len(set(digits)) < len(digits):
        return False
    if any(len(digit) != 1 or digit not in "0123456789" for digit in digits):
        return False

    of = dict(zip(letters, digits, strict=True))
    terms, total = metadata["words_letters"], metadata["result_letters"]
    if set(of) != set("".join(terms)) | set(total):
        return False
    numbers = ["".join(of[letter] for letter in word) for word in (*terms, total)]
    if not metadata["allow_leading_zero"] and any(number[0] == "0" for number in numbers):
        return False
    return sum(map(int, numbers[:-1])) == int(numbers[-1])


def anagrams(text: str, entry: Entry) -> bool:
    groups: dict[str, list[str]] = {}
    for word in entry["metadata"]["words"]:
        groups.setdefault("".join(sorted(word)), []).append(word)

    given = strict_json(text)
    if not isinstance(given, list) or not all(isinstance(group, list) for group in given):
        return False
    if not all(isinstance(word, str) for group in given for word in group):
        return False
    return sorted(map(sorted, given)) == sorted(map(sorted, groups.values()))


def palindromes(text: str, entry: Entry) -> bool:
    """All ways to cut the string into palindromes."""
    string = entry["metadata"]["string"]
    ways: list[list[list[str]]] = [[[]]]
    for end in range(1, len(string) + 1):
        ways.append([])
        for start in range(end):
            part = string[start:end]
            if part == part[::-1]:
                ways[end] += [[*way, part] for way in ways[start]]

    given = strict_json(text)
    if not isinstance(given, list) or not all(isinstance(way, list) for way in given):
        return False
    return sorted(map(json.dumps, given)) == sorted(map(json.dumps, ways[-1]))


def palindrome(text: str, entry: Entry) -> bool:
    letters = list(text.strip().lower())
    right = Counter(letters) == Counter(entry["metadata"]["letters"])
    return right and all(letters[i] == letters[-1 - i] for i in range(len(letters)))


# ---- moves --------------------------------------------------------------------------------------
def jugs(text: str, entry: Entry) -> bool:
    puzzle = entry["metadata"]["puzzle"]
    size = puzzle["jug_capacities"]
    water = [0] * len(size)
    names = "ABCDEFGHIJ"[: len(size)]
    for move in strict_json(text):
        verb, _, what = move.strip().partition(" ")
        jugs_named = what.strip().split("->")
        if any(name not in names or len(name) != 1 for name in jugs_named):
            return False
        i = names.index(jugs_named[0])
        if verb == "fill" and len(jugs_named) == 1:
            water[i] = size[i]
        elif verb == "empty" and len(jugs_named) == 1:
            water[i] = 0
        elif verb == "pour" and len(jugs_named) == 2:
            j = names.index(jugs_named[1])
            if i != j:
                poured = min(water[i], size[j] - water[j])
                water[i] -= poured
                water[j] += poured
        else:
            return False
    return puzzle["target"] in water


def hanoi(text: str, entry: Entry) -> bool:
    """Whether the disks arrive, in no more moves than the entry's own solution."""
    metadata = entry["metadata"]
    pegs: dict[str, list[int]] = {str(p): [] for p in range(1, metadata["num_pegs"] + 1)}
    pegs[str(metadata["start_peg"])] = list(range(metadata["num_disks"], 0, -1))
    moves = [line.rstrip(".").split() for line in text.strip().split("\n") if line.strip()]
    for words in moves:
        if len(words) != 9 or words[:2] + words[3:5] + words[6:8] != [
            "Move", "disk", "from", "Peg", "to", "Peg",
        ]:  # fmt: skip
            return False
        disk, source, goal = words[2], words[5], words[8]
        if source not in pegs or goal not in pegs or not pegs[source]:
            return False
        if str(pegs[source][-1]) != disk or (pegs[goal] and pegs[goal][-1] < pegs[source][-1]):
            return False
        pegs[goal].append(pegs[source].pop())
    done = len(pegs[str(metadata["target_peg"])]) == metadata["num_disks"]
    return done and len(moves) <= metadata["solution_length"]


def knights(text: str, entry: Entry) -> bool:
    """Knights that move as knights do, on the board's squares, colours in turn."""
    metadata = entry["metadata"]
    if not metadata["is_possible"]:
        return text.strip().lower() == "no"

    pieces = {square: piece for square, piece in metadata["pieces"].items() if piece}
    start = dict(pieces)
    turn = metadata["start_turn"]
    moves = strict_json(text)
    for move in moves:
        color, source, goal = move.split(",")
        dx, dy = abs(ord(source[0]) - ord(goal[0])), abs(int(source[1:]) - int(goal[1:]))
        if color != turn or pieces.get(source) != color or goal in pieces:
            return False
        if goal not in metadata["pieces"] or (dx, dy) not in ((1, 2), (2, 1)):
            return False
        pieces[goal] = pieces.pop(source)
        turn = {"w": "B", "B": "w"}[turn]
    swapped = {square: {"w": "B", "B": "w"}[piece] for square, piece in start.items()}
    return pieces == swapped and len(moves) <= len(metadata["solution"])


def quantum_lock(text: str, entry: Entry) -> bool:
    """Buttons that reach the target, as few as the entry's own."""
    metadata = entry["metadata"]
    presses = [p for p in re.split(r"[\s,→>-]+", text.strip().upper()) if p]
    if any(press not in ("A", "B", "C") for press in presses):
        return False

    value, light = metadata["initial_value"], metadata["initial_state"]
    buttons = {button["name"]: button for button in metadata["buttons"]}
    for press in presses:
        button = buttons[press]
        if button["active_state"] not in ("any", light):
            continue
        by = button["value"]
        value = {"add": value + by, "subtract": value - by, "multiply": value * by}[button["type"]]
        light = "red" if light == "green" else "green"
    return value == metadata["target_value"] and len(presses) == len(metadata["solution_path"])


def shortest_path(text: str, entry: Entry) -> bool:
    """A way from * to # that is as short as a breadth-first search finds."""
    matrix = entry["metadata"]["matrix"]
    steps = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
    free = {(r, c) for r, row in enumerate(matrix) for c, cell in enumerate(row) if cell != "X"}
    place = {cell: (r, c) for r, row in enumerate(matrix) for c, cell in enumerate(row)}
    distance = {place["*"]: 0}
    queue = deque([place["*"]])
    while queue:
        here = queue.popleft()
        for dr, dc in steps.values():
            there = (here[0] + dr, here[1] + dc)
            if there in free and there not in distance:
                distance[there] = distance[here] + 1
                queue.append(there)

    words = text.split()
    if place["#"] not in distance:
        return words == ["infeasible"]
    at = place["*"]
    for word in words:
        if word not in steps:
            return False
        at = (at[0] + steps[word][0], at[1] + steps[word][1])
        if at not in free:
            return False
    return at == place["#"] and len(words) == distance[at]


def sokoban(text: str, entry: Entry) -> bool:
    """Every box on a goal; a step into a wall or a stuck box does nothing."""
    grid = [line.split() for line in entry["metadata"]["gamestr"].strip().split("\n")]
    cells = {(r, c): cell for r, row in enumerate(grid) for c, cell in enumerate(row)}
    walls = {at for at, cell in cells.items() if cell == "+"}
    boxes = {at for at, cell in cells.items() if cell in "@$"}
    goals = {at for at, cell in cells.items() if cell in "X$%"}
    player = next(at for at, cell in cells.items() if cell in "*%")
    for key in text.replace(",", "").replace(" ", "").replace("\n", ""):
        if key not in "LRUD":
            return False
        dr, dc = {"L": (0, -1), "R": (0, 1), "U": (-1, 0), "D": (1, 0)}[key]
        there, beyond = (player[0] + dr, player[1] + dc), (player[0] + 2 * dr, player[1] + 2 * dc)
        if there in walls:
            continue
        if there in boxes:
            if beyond in walls or beyond in boxes:
                continue
            boxes = (boxes - {there}) | {beyond}
        player = there
    return boxes <= goals


def shown_board(entry: Entry) -> list[str]:
    """The rows of a Rush Hour board, as the question shows it."""
    lines = entry["question"].split("Board:\n")[1].strip().split("\n")
    return [line.strip() for line in lines]


def slide(board: tuple[str, ...], car: str, step: int) -> tuple[str, ...] | None:
    """The board with a car one step on, or None when that is no move."""
    cells = [(r, c) for r in range(6) for c in range(6) if board[r][c] == car]
    if len(cells) < 2:
        return None
    across = cells[0][0] == cells[1][0]
    goal = [(r, c + step) if across else (r + step, c) for r, c in cells]
    if any(not (0 <= r < 6 and 0 <= c < 6) or board[r][c] not in (".", car) for r, c in goal):
        return None
    rows = [[("." if cell == car else cell) for cell in row] for row in board]
    for r, c in goal:
        rows[r][c] = car
    return tuple("".join(row) for row in rows)


def rush_hour(text: str, entry: Entry) -> bool:
    """Moves that are free all the way and bring AA to the right edge."""
    board: tuple[str, ...] | None = tuple(shown_board(entry))
    for move in text.replace(",", " ").split():
        car, sign, steps = move[0], move[1:2], move[2:]
        if car not in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" or sign not in ("+", "-"):
            return False
        if len(steps) != 1 or steps not in "123456789":
            return False
        for _ in range(int(steps)):
            board = slide(board, car, 1 if sign == "+" else -1)
            if board is None:
                return False
    return board is not None and board[2].endswith("AA")


def solve_rush_hour(entry: Entry) -> str:
    """The shortest solution, by breadth-first search over single steps."""
    start = tuple(shown_board(entry))
    came: dict[tuple[str, ...], tuple[tuple[str, ...], str] | None] = {start: None}
    queue = deque([start])
    while queue:
        board = queue.popleft()
        if board[2].endswith("AA"):
            moves: list[str] = []
            while (before := came[board]) is not None:
                board = before[0]
                moves.append(before[1])
            return " ".join(reversed(moves))
        for car in sorted(set("".join(board)) - {".", "x"}):
            for step in (-1, 1):
                there = slide(board, car, step)
                if there is not None and there not in came:
                    came[there] = (board, f"{car}{step:+d}")
                    queue.append(there)
    raise ValueError("no solution")


def boxnet(text: str, entry: Entry) -> bool:
    """One action for an agent and step, each with a box that was there when the step began."""
    state = {k: list(v) for k, v in entry["metadata"]["initial_state"].items()}
    for step in strict_json(text):
        before = {k: list(v) for k, v in state.items()}
        used: set[str] = set()
        for agent, action in step.items():
            here = re.fullmatch(r"Agent\[ *(\d+\.5) *, *(\d+\.5) *\]", agent)
            what = re.fullmatch(
                r"move\((box_\w+), *(target_\w+|square\[ *(\d+\.5) *, *(\d+\.5) *\])\)", action
            )
            if here is None or what is None:
                return False
            place = f"{here[1]}_{here[2]}"
            box, goal = what[1], what[2]
            if place in used or box not in before.get(place, ()):
                return False
            used.add(place)
            if goal.startswith("target_"):
                if goal[7:] != box[4:] or goal not in before[place]:
                    return False
                state[place].remove(box)
                state[place].remove(goal)
                continue
            there = f"{what[3]}_{what[4]}"
            far = abs(float(what[3]) - float(here[1])) + abs(float(what[4]) - float(here[2]))
            if there not in state or far != 1.0:
                return False
            state[place].remove(box)
            state[there].append(box)
    return not any(thing.startswith("box_") for things in state.values() for thing in things)


def solve_boxnet(entry: Entry) -> str:
    """A plan: box after box, a square a step."""
    state = entry["metadata"]["initial_state"]
    plan: list[dict[str, str]] = []
    for place, things in state.items():
        for box in (thing for thing in things if thing.startswith("box_")):
            target = f"target_{box[4:]}"
            goal = next(there for there, found in state.items() if target in found)
            row, column = map(float, place.split("_"))
            to_row, to_column = map(float, goal.split("_"))
            while (row, column) != (to_row, to_column):
                agent = f"Agent[{row}, {column}]"
                if row != to_row:
                    row += 1 if to_row > row else -1
                else:
                    column += 1 if to_column > column else -1
                plan.append({agent: f"move({box}, square[{row}, {column}])"})
            plan.append({f"Agent[{row}, {column}]": f"move({box}, {target})"})
    return json.dumps(plan)


# ---- the cube -----------------------------------------------------------------------------------
FACES = {
    "U": (0, 1, 0),
    "D": (0, -1, 0),
    "L": (-1, 0, 0),
    "R": (1, 0, 0),
    "F": (0, 0, 1),
    "B": (0, 0, -1),
}
Place = tuple[
    tuple[int, int, int], tuple[int, int, int]
]  # of a sticker: where, and which way it looks


def quarter(v: tuple[int, int, int], axis: tuple[int, int, int]) -> tuple[int, int, int]:
    """A quarter turn, clockwise for who looks against the axis."""
    x, y, z = v
    a, b, c = axis
    along = x * a + y * b + z * c
    cross = (b * z - c * y, c * x - a * z, a * y - b * x)
    return tuple(along * n - w for n, w in zip(axis, cross, strict=True))  # type: ignore[return-value]


def turn(cube: dict[Place, str], move: str) -> dict[Place, str]:
    """A cube of three with a face, a slice or the whole of it turned."""
    times = 1
    if move[-1].isdigit():
        move, times = move[:-1], int(move[-1])
    if move.endswith("'"):
        move, times = move[:-1], times * 3
    wide = move.endswith("w")
    name = move.rstrip("w")
    axis = FACES[{"M": "L", "E": "D", "S": "F", "X": "R", "Y": "U", "Z": "F"}.get(name, name)]
    layers = {
        "M": (0,),
        "E": (0,),
        "S": (0,),
        "X": (-1, 0, 1),
        "Y": (-1, 0, 1),
        "Z": (-1, 0, 1),
    }.get(name, (0, 1) if wide else (1,))
    for _ in range(times % 4):
        turned: dict[Place, str] = {}
        for (at, looks), color in cube.items():
            if sum(p * a for p, a in zip(at, axis, strict=True)) in layers:
                turned[quarter(at, axis), quarter(looks, axis)] = color
            else:
                turned[at, looks] = color
        cube = turned
    return cube


def solved_cube() -> dict[Place, str]:
    places = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)]
    return {
        (at, looks): name
        for at in places
        for name, looks in FACES.items()
        if sum(p * n for p, n in zip(at, looks, strict=True)) == 1
    }


def rubiks(text: str, entry: Entry) -> bool:
    """The scramble and the answer, turned on a cube of our own."""
    cube = solved_cube()
    try:
        for move in (*entry["metadata"]["scramble_moves"].split(), *text.split()):
            cube = turn(cube, move)
    except (KeyError, IndexError):
        return False
    faces: dict[tuple[int, int, int], set[str]] = {}
    for (_, looks), color in cube.items():
        faces.setdefault(looks, set()).add(color)
    return all(len(colors) == 1 for colors in faces.values())
