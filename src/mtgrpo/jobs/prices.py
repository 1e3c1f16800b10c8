"""What the parts of a step took in a recorded run, and what the other kind of step would take."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mtgrpo.core.step_price import Mixture, StepPrice
from mtgrpo.core.types import Floats
from mtgrpo.runlog import Run
from mtgrpo.runlog.steps import StepLine, counts_of, step_lines, values_of

REFILL_ROUNDS = 2.5
"""Rounds of a refilled step where no run tells: of `balanced` in benchmarks/sampler_cost.json."""
MIN_LINES = 5


class MeasuredSteps(NamedTuple):
    """Steps of a recorded run.

    Attributes:
        price: Seconds of their parts.
        mixture: What they were made of.
        rounds: Rounds per step.
    """

    price: StepPrice
    mixture: Mixture
    rounds: float


def measure_steps(run: Run) -> MeasuredSteps | None:
    """The price and the make-up of a run's steps; None where its log does not say enough.

    Seconds of generation are explained by rounds and tokens, each at least 0, by least squares:
    where all steps have one round, what a round takes counts as its tokens'. The other seconds are
    those of the rows that pass through the loss.
    """
    lines = step_lines(run)
    group_size, batch_size = run.config.get("group_size"), run.config.get("batch_size")
    generation = np.array(values_of(lines, "sampler/generation_time_s"))
    if len(lines) < MIN_LINES or np.isnan(generation).any():
        return None
    if not isinstance(group_size, int) or not isinstance(batch_size, int):
        return None

    rounds = np.array(values_of(lines, "sampler/rounds"))
    tokens = np.array(values_of(lines, "sampler/tokens_generated"))
    per_round, per_token = _two_prices(rounds, tokens, generation)

    left_out = np.nan_to_num(np.array(counts_of(lines, "sampler/rows_left_out")))
    rows = np.maximum(1.0, batch_size * group_size - left_out)
    elapsed = _seconds_per_step(lines)
    per_row = statistics.median(np.maximum(0.0, elapsed - generation[1:]) / rows[1:])

    mixture = _mixture(run, lines, group_size, batch_size)
    if mixture is None:
        return None
    if _is_one_round(run):  # of which B is what it generates
        equal = batch_size / mixture.groups_per_informative
        mixture = replace(mixture, batch_size=equal)

    price = StepPrice(per_round=per_round, per_token=per_token, per_row=per_row)
    return MeasuredSteps(price, mixture, float(rounds.mean()))


def compare_rounds(steps: MeasuredSteps) -> str:
    """What steps of one round and refilled ones would take at the same noise, in words."""
    price, mixture = steps.price, steps.mixture
    one = mixture.one_round()
    refilled = mixture.refilled(steps.rounds if steps.rounds > 1 else REFILL_ROUNDS)

    seconds = {"one": price.seconds(one), "refill": price.seconds(refilled)}
    better = min(seconds, key=lambda kind: seconds[kind])
    size = mixture.batch_size
    if better == "one":
        size = one.rollouts / mixture.group_size
    return (
        f"for the noise of {mixture.batch_size:.0f} informative groups: one round "
        f"{seconds['one']:.2g} s a step, refilled {seconds['refill']:.2g} s "
        f"({price.per_round:.2g} s a round, {1e3 * price.per_token:.2g} ms a token, "
        f"{1e3 * price.per_row:.2g} ms a row); cheaper: sampler: {{rounds: {better}}}, "
        f"batch_size: {size:.0f}"
    )


def _two_prices(first: Floats, second: Floats, seconds: Floats) -> tuple[float, float]:
    """Least squares of ``seconds ~ a first + b second`` with a, b of at least 0."""
    columns = np.stack([first, second], axis=1)  # (lines, 2)
    if np.linalg.matrix_rank(columns) == 2 and np.ptp(first) > 0:
        both = np.linalg.lstsq(columns, seconds, rcond=None)[0]
        if (both >= 0).all():
            return float(both[0]), float(both[1])

    by_first, by_second = _one_price(first, seconds), _one_price(second, seconds)
    error_of_first = float(((seconds - by_first * first) ** 2).sum())
    error_of_second = float(((seconds - by_second * second) ** 2).sum())

    if np.ptp(first) > 0 and error_of_first < error_of_second:
        return by_first, 0.0
    return 0.0, by_second


def _one_price(amounts: Floats, seconds: Floats) -> float:
    """Least squares of ``seconds ~ a amounts``."""
    squares = float(amounts @ amounts)
    return float(amounts @ seconds) / squares if squares else 0.0


def _seconds_per_step(lines: Sequence[StepLine]) -> Floats:
    """Between each line and the one before, shape (lines - 1,)."""
    return np.array(
        [(b.metrics.elapsed_s - a.metrics.elapsed_s) / b.num_steps for a, b in pairwise(lines)]
    )


def _mixture(
    run: Run, lines: Sequence[StepLine], group_size: int, batch_size: int
) -> Mixture | None:
    def total(name: str) -> Floats:
        columns = [np.nansum(counts_of(lines, f"task/{task}/{name}")) for task in run.tasks]
        return np.array(columns)  # (K,)

    generated, weights = total("num_generated"), total("weight")
    if not run.tasks or not generated.all() or not weights.any():
        return None

    tokens = float(np.sum(values_of(lines, "sampler/tokens_generated")) / generated.sum())
    return Mixture(
        weights=weights / weights.sum(),
        acceptance_rates=total("num_informative") / generated,
        tokens=np.full(len(run.tasks), tokens),
        group_size=group_size,
        batch_size=batch_size,
        skips_rows=any("sampler/rows_left_out" in line.metrics.values for line in lines),
    )


def _is_one_round(run: Run) -> bool:
    sampler = run.config.get("sampler")
    return isinstance(sampler, Mapping) and sampler.get("rounds") == "one"
