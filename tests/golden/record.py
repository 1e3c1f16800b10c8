"""Records what the core decides, for test_golden.py to compare with.

    python -m tests.golden.record                                 # writes all the data anew
    python -m tests.golden.record mt_grpo paper three_tasks 57    # prints one step in full

Every preset trains the toy engine for 200 steps. Of each step the digest is kept, and of some steps
everything, so that a difference can be read. Write the data anew only for a change that is meant to
change decisions, and say in its message which ones and why.

The last digits of a weight depend on the processor: on how it adds up and takes exponentials. So
numbers are kept to 12 digits, and digests see 9 of them. Once in a long while the last digits
decide all the same, when two tasks have the same weight, for instance. No step of these runs is
so close.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from mtgrpo import presets
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.weightings import Sequential
from tests.golden.engine import TASKS, ToyEngine

FOLDER = Path(__file__).parent

DIGITS, DIGEST_DIGITS = 12, 9

NUM_STEPS = 200
BATCH_SIZE = 12
SEED = 7


class Case(NamedTuple):
    """A preset as it was looked up when the data was recorded."""

    name: str
    variant: str
    setting: str

    def __str__(self) -> str:
        return " ".join(self)


NAMES = (
    "grpo",
    "sec_grpo",
    "dapo",
    "sec_dapo",
    "grpo_iwu",
    "grpo_rps",
    "mt_grpo",
    "mt_grpo_reg",
    "worst_task",
    "seq_grpo",
    "seq_dapo",
    "grpo_fair",
    "balanced",
    "sfl",
    "thompson",
    "dump",
    "drats",
)
VARIANTS = ("default", "paper", "released")

# A preset whose steps are of one round, a file of its own beside that of the preset.
ONE_ROUND = {"balanced_one_round": "balanced", "mt_grpo_one_round": "mt_grpo"}

CASES = [Case(*parts) for parts in product(NAMES, VARIANTS, TASKS)]
CASES += [Case(*parts) for parts in product(ONE_ROUND, ("default",), TASKS)]


def make(case: Case, seed: int = SEED) -> tuple[TaskMixer, ToyEngine]:
    """The mixer of a case at its first step, and its engine.

    All that is known here of how the library makes a method from its name is in this function.
    """
    name = ONE_ROUND.get(case.name, case.name)
    changes = {"rounds": "one"} if case.name in ONE_ROUND else {}
    method = presets.get(name, variant=case.variant, setting=case.setting, sampler=changes)
    tasks = TASKS[case.setting]
    families = {task.name: task.family for task in tasks}

    if isinstance(method.weighting, Sequential):
        # One family after the other, as a job has it when nothing else is said.
        phases: dict[str, list[str]] = {}

        for task in tasks:
            phases.setdefault(task.family, []).append(task.name)

        weighting = Sequential(list(phases.values()), math.ceil(NUM_STEPS / len(phases)))
        method = replace(method, weighting=weighting)

    mixer = method.make_mixer(list(families), batch_size=BATCH_SIZE, families=families, seed=seed)

    # The presets that remember prompts also filter groups; the filter says which ones inform.
    return mixer, ToyEngine(tasks, method.prompt_memory, mixer.sampler.group_filter)


def run(
    case: Case,
    mixer: TaskMixer,
    engine: ToyEngine,
    num_steps: int,
) -> Iterator[dict[str, Any]]:
    """Train for some steps; yields everything that was decided in each."""
    num_minibatches = 4 if case.variant == "released" else 1
    uses_improvements = mixer.weighting.uses_improvements

    for _ in range(num_steps):
        batch = mixer.new_batch()
        requests: list[dict[str, int]] = []
        rows: dict[str, list[int]] = {}

        while request := batch.ask():
            requests.append(request)
            groups = engine.roll_out(request)

            for group in groups:
                rows.setdefault(group.task, []).append(group.draw.row)

            batch.tell(groups)

        step = {
            "requests": requests,
            "quotas": batch.quotas,
            "chosen": [group.uid for group in batch.groups],
            "banked": [group.uid for group in batch.banked],
            "surplus": len(batch.surplus),
        }

        if engine.remember:
            step["rows"] = rows

        improvements = engine.train(batch.groups, mixer.step, num_minibatches, uses_improvements)

        if uses_improvements:
            step["improvements"] = improvements

        mixer.update(improvements)

        yield plain(step | {"weights": mixer.weights(), "metrics": dict(mixer.metrics())})


def plain(value: Any, digits: int = DIGITS) -> Any:
    """The value as it comes back from JSON, with numbers to so many significant digits."""
    if isinstance(value, Mapping):
        return {str(key): plain(value[key], digits) for key in sorted(value)}

    if isinstance(value, list | tuple):
        return [plain(inner, digits) for inner in value]

    if value is None or isinstance(value, str):
        return value

    number = float(f"{value:.{digits}g}")
    return int(number) if number.is_integer() else number


def digest(step: Mapping[str, Any]) -> str:
    """What stands for a step that is not kept in full."""
    text = canonical(plain(step, DIGEST_DIGITS))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def canonical(value: Any) -> str:
    """JSON that is the same text for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def is_kept(step: int) -> bool:
    """Whether a step is kept in full: the first five, and each twentieth."""
    return step < 5 or (step + 1) % 20 == 0


def load(case: Case) -> dict[str, Any]:
    """What was recorded of a case: the ``digests`` of all steps, and the ``steps`` kept in full."""
    text = gzip.decompress((FOLDER / f"{case.name}.json.gz").read_bytes())
    return json.loads(text)[f"{case.variant} {case.setting}"]


def write_all() -> None:
    """Record every case, in one file for each preset."""
    for name in (*NAMES, *ONE_ROUND):
        recordings: dict[str, Any] = {}

        for case in CASES:
            if case.name != name:
                continue

            steps = list(run(case, *make(case), NUM_STEPS))

            recordings[f"{case.variant} {case.setting}"] = {
                "digests": [digest(step) for step in steps],
                "steps": {str(i): step for i, step in enumerate(steps) if is_kept(i)},
            }

        # No time of writing: the same decisions give the same bytes.
        data = gzip.compress(canonical(recordings).encode(), compresslevel=9, mtime=0)
        (FOLDER / f"{name}.json.gz").write_bytes(data)


def main(arguments: list[str]) -> None:
    """Write all data, or print the step that is named."""
    if not arguments:
        write_all()
        return

    case, number = Case(*arguments[:3]), int(arguments[3])
    *_, step = run(case, *make(case), number + 1)

    print(json.dumps(step, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
