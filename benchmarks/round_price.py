"""One round a step or refilling, at equal rollouts and at equal time: the simulator with a clock.

    python benchmarks/round_price.py        # some minutes; writes round_price.json beside this

The toy policy trains with `grpo`, with `balanced` as it is (refilled) and with `balanced` in one round, of B
groups and of 3 B, which is about as free of noise as a refilled batch (the toy's learning rates are then
three times as high, so that a rollout moves it as far). Each is looked at when it has used the
rollouts, and when it has used the time, of GRPO's run. Time is counted afterwards, as what a method does depends on no clock: a round lasts as long as its longest
completion or its throughput, whichever is longer; lengths are lognormal and cut at four times their
mean. Prices are stated, not measured here: those of the embedded model follow step_time.json, the
others are round numbers of a single GPU (20 ms a token of one completion, 10,000 tokens a second in
all, 6,000 tokens a second through the loss). `model` is what `mtgrpo.core.step_price` says of the mean
acceptance rates, for the noise of 32 informative groups.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mtgrpo.core.step_price import Mixture, StepPrice
from mtgrpo.core.types import Floats
from mtgrpo.simulation import SimulationResult, World, simulate

RECORD = Path(__file__).with_suffix(".json")
SEEDS, STEPS, BATCH, GROUP = range(3), 360, 32, 8
SPREAD = 0.8  # of the logarithm of lengths
METHODS: dict[str, tuple[str, dict[str, Any], int, float]] = {
    # preset, sampler, times the batch, times GRPO's steps
    "grpo": ("grpo", {}, 1, 1.0),
    "refilled": ("balanced", {}, 1, 1.5),
    "one round": ("balanced", {"rounds": "one"}, 1, 1.2),
    "one round of 3 B": ("balanced", {"rounds": "one"}, 3, 1.2),
}


@dataclass(frozen=True)
class Clock:
    """Seconds of generation and training.

    Attributes:
        length: Mean tokens of a completion.
        per_token: Seconds of a token of one completion: a round waits for its longest.
        throughput: Completion tokens per second, all completions together.
        per_row: Seconds of a completion through the loss.
    """

    length: float
    per_token: float
    throughput: float
    per_row: float

    def round_s(self, num_completions: int, rng: np.random.Generator) -> float:
        """How long a round takes."""
        drawn = rng.lognormal(-(SPREAD**2) / 2, SPREAD, num_completions)
        lengths = self.length * np.minimum(drawn, 4.0)
        return max(float(lengths.max()) * self.per_token, float(lengths.sum()) / self.throughput)

    def price(self, rng: np.random.Generator) -> StepPrice:
        """As the model has it: what a tenth of a batch takes in a round, and what more adds."""
        few, many = BATCH * GROUP // 10, 4 * BATCH * GROUP
        seconds = [np.mean([self.round_s(n, rng) for _ in range(50)]) for n in (few, many)]
        per_rollout = float(seconds[1] - seconds[0]) / (many - few)
        return StepPrice(
            per_round=max(0.0, float(seconds[0]) - per_rollout * few),
            per_rollout=per_rollout,
            per_row=self.per_row,
        )


CLOCKS = {
    "embedded model, one core": Clock(10, 1e-4, 22_000, 0.001),
    "GPU, answers of 300 tokens": Clock(300, 0.02, 10_000, 300 / 6000),
    "GPU, answers of 4,000 tokens": Clock(4000, 0.02, 10_000, 4000 / 6000),
    "GPU, 4,000 tokens, four GPUs' throughput": Clock(4000, 0.02, 40_000, 4000 / 24_000),
}
WORLDS = {"three tasks": World.three_tasks, "nine tasks": World.nine_tasks}


def elapsed(run: SimulationResult, clock: Clock) -> Floats:
    """Seconds until the end of each step, from 0; shape (T + 1,)."""
    rng = np.random.default_rng([run.seed, 7])
    seconds = [0.0]
    for t in range(run.steps):
        total, rounds = int(run.groups_generated[t]) * GROUP, max(1, int(run.rounds[t]))
        sizes = [total]
        if rounds > 1:  # half in the first; later rounds share the rest
            sizes = [total // 2, *[max(1, total // 2 // (rounds - 1))] * (rounds - 1)]
        generation = sum(clock.round_s(size, rng) for size in sizes)

        rows = min(run.batch_size, int(run.informative[t].sum())) * GROUP
        seconds.append(generation + clock.per_row * rows)
    return np.cumsum(seconds)


def at(runs: Sequence[SimulationResult], costs: Sequence[Floats], limits: Sequence[float]) -> Any:
    """Worst and mean accuracy, in percent, when each run had used up its limit."""
    figures: list[list[float]] = []
    for run, cost, limit in zip(runs, costs, limits, strict=True):
        step = int(np.searchsorted(cost, limit, side="right")) - 1
        if step == run.steps and cost[-1] < 0.99 * limit:
            raise SystemExit(f"{run.method}: {cost[-1]:g} of {limit:g} used; give it more steps")
        figures.append([run.worst_accuracy[step], run.mean_accuracy[step]])
    worst, mean = 100 * np.mean(figures, axis=0)
    return {"worst": round(float(worst), 1), "mean": round(float(mean), 1)}


def model(runs: Sequence[SimulationResult], clock: Clock) -> dict[str, float]:
    """Seconds a step of both kinds at equal noise, by the mean rates and rounds of refilled runs."""
    generated = sum(run.generated.sum(axis=0) for run in runs)
    informative = sum(run.informative.sum(axis=0) for run in runs)
    weights = np.mean([run.weights.mean(axis=0) for run in runs], axis=0)
    size = len(weights)
    tokens = np.full(size, clock.length * GROUP)
    mixture = Mixture(weights, informative / generated, tokens, GROUP, BATCH)

    price = clock.price(np.random.default_rng(0))
    rounds = float(np.mean([run.rounds.mean() for run in runs]))
    return {
        "one_round_s": round(price.seconds(mixture.one_round()), 2),
        "refilled_s": round(price.seconds(mixture.refilled(rounds)), 2),
    }


def faster(world: World, times: float) -> World:
    """The world with its learning rates multiplied."""
    tasks = tuple(replace(task, learning_rate=times * task.learning_rate) for task in world.tasks)
    rate = times * world.format_learning_rate
    return replace(world, tasks=tasks, format_learning_rate=rate)


def main() -> None:
    record: dict[str, Any] = {
        "what": "worst / mean accuracy at GRPO's rollouts and time; seconds a step at equal noise",
        "seeds": len(SEEDS),
        "grpo_steps": STEPS,
        "batch_size": BATCH,
        "group_size": GROUP,
        "worlds": {},
    }
    for world_name, make in WORLDS.items():
        runs: dict[str, list[SimulationResult]] = {}
        for name, (preset, sampler, times, longer) in METHODS.items():
            settings: dict[str, Any] = {"sampler": sampler, "group_size": GROUP}
            settings |= {"batch_size": times * BATCH, "steps": round(STEPS * longer)}
            world = faster(make(), times)
            runs[name] = [simulate(world, preset, seed=seed, **settings) for seed in SEEDS]
        rollouts = {name: [run.rollouts.astype(float) for run in runs[name]] for name in runs}
        limits = [float(used[-1]) for used in rollouts["grpo"]]

        rows: dict[str, Any] = {
            "rounds_per_step": {
                n: round(float(np.mean([r.rounds.mean() for r in runs[n]])), 2) for n in runs
            },
            "at_equal_rollouts": {n: at(runs[n], rollouts[n], limits) for n in runs},
            "clocks": {},
        }
        for clock_name, clock in CLOCKS.items():
            seconds = {name: [elapsed(run, clock) for run in runs[name]] for name in runs}
            ends = [float(used[-1]) for used in seconds["grpo"]]
            rows["clocks"][clock_name] = {
                "hours_of_grpo": round(float(np.mean(ends)) / 3600, 3),
                "at_equal_time": {n: at(runs[n], seconds[n], ends) for n in runs},
                "model": model(runs["refilled"], clock),
            }
        record["worlds"][world_name] = rows
        print(world_name, json.dumps(rows, indent=1))

    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
