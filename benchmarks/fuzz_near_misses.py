r"""Near misses against every scorer: wrong answers that look right, and an oracle that says so.

python benchmarks/fuzz_near_misses.py                  # 2,000 for each dataset and 20,000 for MATH
python benchmarks/fuzz_near_misses.py --each 100 dice  # a hundred for one dataset, record left alone

A near miss is a right answer that was changed (`fuzz_near_mutations.py`) and that an independent
oracle takes for wrong (`fuzz_near_oracles.py`; for MATH, `fuzz_near_math.py`). What counts as found
is a near miss that earns full marks. Each near miss is counted once, however often it is made.
`own_scorer_took` counts those that the dataset's own scorer would have given full marks, had our
vet not refused them; those that it does not get to see are not counted.

Datasets that are done are kept in runs/near/ and not run again; the tally goes to
fuzz_near_misses.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import fuzz_near_games as games
import fuzz_near_math as near_math
import fuzz_near_mutations as mutations
import fuzz_near_oracles as oracles

import mtgrpo.tasks
from mtgrpo.core.types import at_least
from mtgrpo.tasks.answers.reference import reference_answer
from mtgrpo.tasks.answers.vets import table
from mtgrpo.tasks.sources import reasoning_gym
from mtgrpo.tasks.sources.reasoning_gym import Source, dataset_names

RECORD = Path(__file__).with_suffix(".json")
DONE = Path("runs/near")
EACH = 2_000
EACH_OF_MATH = 20_000
ROWS = 20
PATIENCE = 40  # mutations tried for each near miss that is wanted
MOST = 20  # examples kept of each kind of finding
PARAMETERS: dict[str, dict[str, Any]] = {
    "composite": {
        "datasets": [{"name": n, "weight": 1.0, "config": {}} for n in ("countdown", "chain_sum")]
    },
    "rush_hour": {"max_moves": 9},  # longer puzzles take our search too long
}
SOLVERS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "boxnet": games.solve_boxnet,
    "rush_hour": games.solve_rush_hour,
}
"""Where datasets bring no right answer to start from."""


class Rows:
    """Rows of a dataset, each with a right answer, and the scorer that a task of it has."""

    def __init__(self, dataset: str, count: int) -> None:
        def row_of(entry: Mapping[str, Any], index: int) -> dict[str, Any]:
            return {"prompt": str(entry["question"]), "index": index}

        self.dataset = dataset
        self.own_scorer_took = False
        self.source = Source(dataset, 0, 0, 3 * count, row_of, PARAMETERS.get(dataset, {}))
        self.right: dict[int, str] = {}
        for index in range(3 * count):
            try:
                answer = self._right_answer(index)
            except RuntimeError:  # mazes without a way
                continue
            if answer:
                self.right[index] = answer
            if len(self.right) == count:
                break

    def _right_answer(self, index: int) -> str | None:
        entry = self.source.entry(index)
        if self.dataset in SOLVERS:
            return SOLVERS[self.dataset](entry)
        return reference_answer(str(entry["metadata"].get("source_dataset", self.dataset)), entry)

    def is_right(self, index: int, answer: str) -> bool:
        return oracles.is_right(self.dataset, answer, self.source.entry(index))

    def is_full(self, index: int, completion: str) -> bool:
        """Whether a completion earns full marks; `own_scorer_took`: whether it did without our vet."""
        self.own_scorer_took = False

        def is_right(dataset: str, answer: str, entry: Mapping[str, Any]) -> bool:
            self.own_scorer_took = True  # only then is the vet asked
            return table.is_right(dataset, answer, entry)

        reasoning_gym.is_right = is_right
        try:
            return at_least(self.source.score(completion, index), 1.0)
        finally:
            reasoning_gym.is_right = table.is_right


def completion_of(rng: random.Random, answer: str) -> str:
    """An answer between tags, or in a box where a box can hold it."""
    if rng.random() < 0.2 and not set(answer) & set("{}\\"):
        return f"So it is \\boxed{{{answer}}}."
    return f"So it is <answer>{answer}</answer>"


def run(dataset: str, each: int, rows: int = ROWS) -> dict[str, Any]:
    """The tally of one dataset."""
    rng = random.Random(f"near misses of {dataset}")
    material = Rows(dataset, rows)
    indices = list(material.right)
    others = list(material.right.values())
    tally: dict[str, Any] = {
        "oracle": oracles.name_of(dataset),
        "near_misses": 0,
        "wrong_taken_for_right": 0,
        "own_scorer_took": 0,
        "still_right": 0,
        "right_but_refused": 0,
    }
    by_mutation: Counter[str] = Counter()
    found: list[Any] = []
    refused: list[Any] = []
    seen: set[tuple[int, str]] = set()
    slowest = 0.0

    for _ in range(PATIENCE * each):
        if tally["near_misses"] >= each:
            break

        index = rng.choice(indices)
        mutation, answer = mutations.mutate(rng, material.right[index], others)
        if "answer>" in answer or (index, answer.strip()) in seen:
            continue

        seen.add((index, answer.strip()))
        right = material.is_right(index, answer.strip())
        begin = time.thread_time()
        full = material.is_full(index, completion_of(rng, answer))
        slowest = max(slowest, time.thread_time() - begin)

        example = [mutation, answer[:300], material.right[index][:300]]
        if right:
            tally["still_right"] += 1
            tally["right_but_refused"] += not full
            refused += [] if full else [example]
            continue
        tally["near_misses"] += 1
        tally["own_scorer_took"] += material.own_scorer_took
        by_mutation[mutation.partition("+")[0]] += 1
        if full:
            tally["wrong_taken_for_right"] += 1
            found.append(example)

    return tally | {
        "max_cpu_s": round(slowest, 3),
        "by_mutation": by_mutation,
        "examples": {"wrong_taken_for_right": found[:MOST], "right_but_refused": refused[:MOST]},
    }


def collect(tallies: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """All datasets as one record."""

    def total(key: str) -> int:
        return sum(tally[key] for tally in tallies.values())

    by_mutation = sum((Counter(t["by_mutation"]) for t in tallies.values()), Counter[str]())
    return {
        "near_misses": total("near_misses"),
        "wrong_taken_for_right": total("wrong_taken_for_right"),
        "datasets": len(tallies),
        "own_scorers_took": total("own_scorer_took"),
        "still_right": total("still_right"),
        "right_but_refused": total("right_but_refused"),
        "max_cpu_s": max(tally["max_cpu_s"] for tally in tallies.values()),
        "by_mutation": by_mutation,
        "by_dataset": {
            name: {k: v for k, v in tally.items() if k not in ("by_mutation", "examples")}
            for name, tally in tallies.items()
        },
        "wrong_answers": {
            name: tally["examples"]["wrong_taken_for_right"]
            for name, tally in tallies.items()
            if tally["wrong_taken_for_right"]
        },
    }


def fingerprint() -> str:
    """A hash of the scorers and of this campaign: tallies of other code do not count."""
    code = Path(mtgrpo.tasks.__file__).parent
    files = [
        *code.glob("answers/**/*.py"),
        *(code / "sources" / name for name in ("reasoning_gym.py", "science.py")),
        *Path(__file__).parent.glob("fuzz_near_*.py"),
    ]
    return f"{zlib.crc32(b''.join(path.read_bytes() for path in sorted(files))):08x}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", nargs="*", help="only these; the record is left alone")
    parser.add_argument("--each", type=int, default=EACH)
    parser.add_argument("--math", type=int, default=EACH_OF_MATH)
    arguments = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # rows of three datasets depend on it
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, *sys.argv])

    warnings.simplefilter("ignore")
    DONE.mkdir(parents=True, exist_ok=True)
    tallies: dict[str, dict[str, Any]] = {}
    version = fingerprint()
    for name in arguments.datasets or [*dataset_names(), "math"]:
        each = arguments.math if name == "math" else arguments.each
        path = DONE / f"{name}-{each}-{version}.json"
        if not path.is_file():
            tally = near_math.run(each) if name == "math" else run(name, each)
            path.with_suffix(".tmp").write_text(json.dumps(tally))
            path.with_suffix(".tmp").replace(path)

        tallies[name] = json.loads(path.read_text())
        short = {k: v for k, v in tallies[name].items() if k not in ("by_mutation", "examples")}
        print(name, short, flush=True)
        for kind, examples in tallies[name]["examples"].items():
            if arguments.datasets or kind == "wrong_taken_for_right":
                for example in examples:
                    print("   ", kind, example, flush=True)

    if not arguments.datasets:
        RECORD.write_text(json.dumps(collect(tallies), indent=1) + "\n")


if __name__ == "__main__":
    main()
