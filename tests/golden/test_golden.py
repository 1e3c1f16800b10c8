"""The core decides as it did when record.py was run last, and as well after a resume."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from mtgrpo.core.mixer import TaskMixer
from tests.golden.engine import ToyEngine
from tests.golden.record import CASES, DIGITS, NUM_STEPS, Case, digest, load, make, run

RESUMED_AT = 100


class Run(NamedTuple):
    """A run of this version of the library.

    Attributes:
        case: What was run.
        steps: Its decisions, step by step.
        saved: States of mixer and engine after `RESUMED_AT` steps, as JSON.
        ended: The same after the last step.
    """

    case: Case
    steps: list[dict[str, Any]]
    saved: str
    ended: str


@pytest.fixture(scope="module", params=CASES, ids=str)
def uninterrupted(request: pytest.FixtureRequest) -> Run:
    case: Case = request.param
    mixer, engine = make(case)

    steps = list(run(case, mixer, engine, RESUMED_AT))
    saved = states(mixer, engine)
    steps += run(case, mixer, engine, NUM_STEPS - RESUMED_AT)

    return Run(case, steps, saved, states(mixer, engine))


def states(mixer: TaskMixer, engine: ToyEngine) -> str:
    """What a checkpoint would hold."""
    return json.dumps([mixer.state_dict(), engine.state_dict()], allow_nan=False)


def test_decides_as_recorded(uninterrupted: Run) -> None:
    case, steps, *_ = uninterrupted
    recording = load(case)

    assert len(recording["digests"]) == len(steps)

    for number, step in enumerate(steps):
        kept = recording["steps"].get(str(number))
        expected = {"digest": recording["digests"][number], **(kept or {})}
        found = {"digest": digest(step), **(step if kept else {})}

        if lines := differences(case, number, expected, found):
            lines += following(case, number, recording["steps"], steps)
            pytest.fail("\n".join(lines), pytrace=False)


def test_decides_the_same_after_a_resume(uninterrupted: Run) -> None:
    case, steps, saved, ended = uninterrupted
    mixer_state, engine_state = json.loads(saved)

    # Another seed: all that matters is in the state.
    mixer, engine = make(case, seed=999)
    mixer.load_state_dict(mixer_state)
    engine.load_state_dict(engine_state)

    resumed = run(case, mixer, engine, NUM_STEPS - RESUMED_AT)

    for number, step in enumerate(resumed, RESUMED_AT):
        if lines := differences(case, number, steps[number], step, "uninterrupted", "resumed"):
            pytest.fail("\n".join(lines), pytrace=False)

    # To the last bit, which the records of the steps do not show.
    assert states(mixer, engine) == ended


def following(
    case: Case,
    number: int,
    kept: dict[str, Any],
    steps: list[dict[str, Any]],
) -> list[str]:
    """More on the first step that differs: how to see it all, and the next step kept in full."""
    command = f"python -m tests.golden.record {case} {number}"
    lines = [f"To see the step in full, before the change and after it: {command}"]

    if str(number) not in kept:
        later = min(int(key) for key in kept if int(key) > number)
        lines += differences(case, later, kept[str(later)], steps[later])

    return lines


def differences(
    case: Case,
    number: int,
    expected: dict[str, Any],
    found: dict[str, Any],
    expected_name: str = "recorded",
    found_name: str = "found",
) -> list[str]:
    """A line for everything in which two records of a step differ."""
    return [
        f"{case}, step {number}, {key}: {expected_name} {left!r}, {found_name} {right!r}"
        for key, left, right in walk(expected, found)
    ]


def walk(left: Any, right: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every place where two trees differ, with both values; None for one that is not there."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            yield from walk(left.get(key), right.get(key), f"{path}.{key}" if path else key)

    elif not is_same(left, right):
        yield path, left, right


def is_same(left: Any, right: Any) -> bool:
    """Whether two values are equal; numbers may differ by one in the last digit that is kept."""
    if isinstance(left, int | float) and isinstance(right, int | float):
        return math.isclose(left, right, rel_tol=10.0 ** (1 - DIGITS))

    return left == right
