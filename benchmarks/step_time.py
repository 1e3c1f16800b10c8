"""Where a training step of the embedded model spends its time, and what each kept speed-up saves.

The demo configuration with DAPO (paper variant: 48 prompts a step). Short runs of the ways alternate
in one process, each adding one speed-up to the one before. Writes step_time.json beside this file.

python benchmarks/step_time.py            # about two minutes on one CPU thread
python benchmarks/step_time.py --quick    # one run of each, nothing written
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from machine import machine
from transformers import TrainerCallback

from mtgrpo.config import load_config
from mtgrpo.integrations.trl import prompt_sharing as trl_sharing
from mtgrpo.integrations.trl.job import make_trainer
from mtgrpo.jobs.setup import prepare

NUM_STEPS = 8
NUM_WARM_UP = 2
NUM_RUNS = 5
WAYS = ("trl", "generation", "whole_round", "loss")
"""Each adds one speed-up to those before."""
TIMED = {
    "_generate": "tokenising and decoding text",
    "_generate_single_turn": "generation",
    "_calculate_rewards": "scoring",
    "_get_per_token_logps_and_entropies": "log-probabilities (forward)",
    "compute_loss": "rest of the loss",
    "_generate_and_score_completions": "batch, advantages, metrics",
    "log": "logging",
}


class Timer:
    """Wall time by section, without the sections called inside."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside: list[float] = []

    def wrap(self, owner: Any, method: str, section: str) -> None:
        plain = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            self._inside.append(0.0)
            start = time.perf_counter()

            try:
                return plain(*args, **kwargs)
            finally:
                took = time.perf_counter() - start
                self.seconds[section] += took - self._inside.pop()
                if self._inside:
                    self._inside[-1] += took

        setattr(owner, method, timed)


class Steps(TrainerCallback):
    """Wall time of each step; sections count from the first step after the warm-up."""

    def __init__(self, timer: Timer) -> None:
        self.timer, self.starts = timer, list[float]()

    def on_step_begin(
        self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any
    ) -> None:
        if len(self.starts) == 0:
            self.timer.wrap(optimizer, "step", "optimizer")
        if len(self.starts) == NUM_WARM_UP:
            self.timer.seconds.clear()

        self.starts.append(time.perf_counter())

        if len(self.starts) == NUM_STEPS + NUM_WARM_UP + 1:
            self.sections = {k: v / NUM_STEPS for k, v in self.timer.seconds.items()}
            self.steps = [b - a for a, b in pairwise(self.starts)][NUM_WARM_UP:]


@dataclass
class Measured:
    """One run of a way.

    Attributes:
        steps: Seconds of each step.
        sections: Seconds per step by section.
        evaluation: Seconds of an evaluation.
        rollouts: Completions generated.
    """

    steps: list[float]
    sections: dict[str, float]
    evaluation: float
    rollouts: int


def run(way: str) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        changes = [
            "preset=dapo",
            "variant=paper",
            f"steps={NUM_STEPS + NUM_WARM_UP + 1}",
            f"output={folder}/run",
            "evaluation.every=0",
            f"share_prompts={str(way != 'trl').lower()}",
        ]
        job = prepare(load_config("demo", changes))
        trainer = make_trainer(job.run, job.model, job.tasks, job.trl)
        if way == "generation":
            split_rounds(trainer)

        timer = Timer()
        for method, section in TIMED.items():
            timer.wrap(trainer, method, section)
        timer.wrap(trainer.step, "choose_groups", "choosing groups (prompt rows, mixer, records)")
        timer.wrap(trainer.accelerator, "backward", "backward")

        steps = Steps(timer)
        trainer.add_callback(steps)
        with whole_prompts_in_the_loss(way):
            trainer.train()

        start = time.perf_counter()
        trainer.evaluate()
        evaluation = time.perf_counter() - start

    rest = statistics.mean(steps.steps) - sum(steps.sections.values())
    sections = {**steps.sections, "rest": rest}

    return Measured(steps.steps, sections, evaluation, trainer.num_rollouts)


def split_rounds(trainer: Any) -> None:
    """Generate at most a batch of prompts at once."""
    at_once, whole = trainer.mixer.batch_size, trainer.step._roll_out

    def in_parts(plan: Any) -> list[Any]:
        groups: list[Any] = []
        for i in range(0, len(plan), at_once):
            groups += whole(plan[i : i + at_once])

        return groups

    trainer.step._roll_out = in_parts


def whole_prompts_in_the_loss(way: str) -> AbstractContextManager[Any]:
    """Without shared prompts in the loss, for the ways before they came."""
    if way not in ("generation", "whole_round"):
        return nullcontext()

    return mock.patch.object(trl_sharing, "shared_prefix", return_value=nullcontext())


def median_sections(runs: Sequence[Measured]) -> dict[str, float]:
    """Median over runs of the seconds of each section, the longest first."""
    names = dict.fromkeys(name for measured in runs for name in measured.sections)
    medians: dict[str, float] = {}
    for name in names:
        seconds = statistics.median(measured.sections.get(name, 0.0) for measured in runs)
        medians[name] = round(seconds, 4)

    return dict(sorted(medians.items(), key=lambda item: -item[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one run of each, write nothing")
    quick = parser.parse_args().quick

    runs: dict[str, list[Measured]] = defaultdict(list)
    for _ in range(1 if quick else NUM_RUNS):
        for way in WAYS:
            runs[way].append(run(way))

    times: dict[str, list[float]] = defaultdict(list)
    evaluations: dict[str, float] = {}
    for way, of_way in runs.items():
        evaluations[way] = round(statistics.median(m.evaluation for m in of_way), 3)
        for measured in of_way:
            times[way] += measured.steps

    table: dict[str, dict[str, float]] = {}
    for way, key in (("trl", "before_s"), ("loss", "after_s")):
        for name, seconds in median_sections(runs[way]).items():
            table.setdefault(name, {})[key] = seconds

    medians = {way: statistics.median(times[way]) for way in WAYS}
    speed_ups = {b: round(medians[a] / medians[b], 3) for a, b in pairwise(WAYS)}
    speed_ups["all"] = round(medians["trl"] / medians["loss"], 3)

    result = {
        "seconds_per_step": {way: round(seconds, 4) for way, seconds in medians.items()},
        "speed_up_of_a_step": speed_ups,
        "evaluation": {"before_s": evaluations["trl"], "after_s": evaluations["loss"]},
        "sections": table,
        "rollouts_per_run": {way: of_way[-1].rollouts for way, of_way in runs.items()},
    }

    print(f"{'section of a step':48s} {'before':>8s} {'after':>8s}  seconds")
    for name, row in table.items():
        print(f"{name:48s} {row.get('before_s', 0.0):8.4f} {row.get('after_s', 0.0):8.4f}")
    print(json.dumps({k: v for k, v in result.items() if k != "sections"}, indent=2))

    if quick:
        return

    about = {
        "what": "medians over steps (sections: over runs) of the demo configuration with preset "
        "dapo, variant paper; one thread. trl: TRL's generation and loss. generation: shared "
        "prompts, finished rows dropped. whole_round: 48 prompts at once instead of 16. loss: "
        "shared prompts in the loss too, all of share_prompts",
        "num_steps": len(times["trl"]),
        "load_average": round(os.getloadavg()[0], 2),
        **machine(),
    }

    text = json.dumps({"about": about, **result}, indent=2) + "\n"
    Path(__file__).with_suffix(".json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
