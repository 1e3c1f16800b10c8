"""The fewest rollouts that could lift every task of a world to an accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

import numpy as np

from mtgrpo.core.types import Floats
from mtgrpo.errors import ConfigError
from mtgrpo.simulation.linear_program import cover
from mtgrpo.simulation.policy import group_signals, log_choose, outcome_table
from mtgrpo.simulation.result import SimulationResult
from mtgrpo.simulation.world import World

NUM_STEPS = 32
NUM_HALVINGS = 60
FARTHEST = 1000.0
"""Logits of skill beyond which no accuracy is looked for."""


def least_rollouts(world: World, accuracy: float, *, batch_size: int, group_size: int) -> float:
    """N*: the fewest completions that lift every task to `accuracy`, by expected gradients.

    Without transfer it is the sum over tasks of the integral, along the way from its skill to the
    needed one, of the completions that a unit of skill costs there: ``G / a_k`` for an informative
    group, over what that group gains in a batch of B. The order does not matter. With transfer it
    is the linear program ``min c.n`` subject to ``T n >= gaps``, in which a unit of training on a
    task costs its mean on that way.

    It is what training on whole batches comes to, where a group counts as one of B: groups that
    count for more, as factors on the loss make them, can do with less. Forgetting is left out.

    Args:
        world: What there is to learn.
        accuracy: What every task should reach.
        batch_size: Groups per step.
        group_size: Completions per group.

    Returns:
        0 where all have it, infinity where a task cannot reach it.

    Raises:
        ConfigError: An accuracy that is not in [0, 1].
    """
    if not 0 <= accuracy <= 1:
        raise ConfigError(f"least_rollouts: accuracy={accuracy}; it must be in [0, 1]")

    start, rates = world.array("skill"), world.array("learning_rate")
    gaps = np.maximum(_skill_for(world, accuracy) - start, 0.0)  # (K,)
    is_missing = gaps > 0
    if not is_missing.any():
        return 0.0
    if not np.isfinite(gaps).all() or (rates[is_missing] == 0).any():
        return math.inf

    # In units of training: the mean signal of a batch, summed over steps.
    needed = np.where(is_missing, gaps / np.where(rates > 0, rates, 1.0), 0.0)
    per_unit = batch_size * group_size * _mean_cost(world, gaps, group_size)

    matrix = world.transfer_matrix().T  # (K, K): what training on each task gives to each
    amounts = cover(matrix[is_missing], needed[is_missing], per_unit)
    return math.inf if amounts is None else float(per_unit @ amounts)


def efficiency(world: World, runs: Sequence[SimulationResult], accuracy: float) -> float:
    """eta: N* over what runs took on average until their worst task had the accuracy.

    0 if one of them never had; NaN where nothing was needed.

    Args:
        world: What they trained on.
        runs: Runs of one method, at least one, of the same batch and group size.
        accuracy: What every task should reach.
    """
    least = least_rollouts(
        world, accuracy, batch_size=runs[0].batch_size, group_size=runs[0].group_size
    )
    used = [run.rollouts_to(accuracy) for run in runs]
    known = [count for count in used if count is not None]
    if len(known) < len(used):
        return 0.0

    return least / fmean(known) if least else math.nan


def _skill_for(world: World, accuracy: float) -> Floats:
    """The skill at which each task has an accuracy, shape (K,); infinite where there is none."""
    start = world.array("skill")
    low, high = start.copy(), start + FARTHEST
    is_reached = _accuracies(world, high) >= accuracy

    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        is_enough = _accuracies(world, middle) >= accuracy
        low, high = np.where(is_enough, low, middle), np.where(is_enough, middle, high)

    has_it = _accuracies(world, start) >= accuracy
    return np.where(has_it, start, np.where(is_reached, high, np.inf))


def _accuracies(world: World, skill: Floats) -> Floats:
    return world.pass_rates(skill)[0].mean(axis=1)


def _mean_cost(world: World, gaps: Floats, group_size: int) -> Floats:
    """Groups per unit of a task's signal, the mean on the way over its gap, shape (K,).

    Tasks with a gap of 0 have what it is at the start. The format is learned on the way.
    """
    rates = world.array("learning_rate")
    # How far the logit of the format moves with a unit of skill, per unit of the signals' ratio.
    pull = np.where(rates > 0, world.format_learning_rate / np.where(rates > 0, rates, 1.0), 0.0)

    def slopes(way: float, form: Floats) -> tuple[Floats, Floats]:
        signal, format_signal = mean_signals(world, start + way * gaps, form, group_size)
        return gaps * pull * format_signal / signal, 1 / signal

    start, formatted = world.array("skill"), world.array("format_skill")
    form, cost, step = np.log(formatted / (1 - formatted)), np.zeros(len(start)), 1 / NUM_STEPS
    for i in range(NUM_STEPS):  # Runge-Kutta of fourth order
        way = i * step
        form_a, cost_a = slopes(way, form)
        form_b, cost_b = slopes(way + step / 2, form + step / 2 * form_a)
        form_c, cost_c = slopes(way + step / 2, form + step / 2 * form_b)
        form_d, cost_d = slopes(way + step, form + step * form_c)

        form = form + step / 6 * (form_a + 2 * form_b + 2 * form_c + form_d)
        cost = cost + step / 6 * (cost_a + 2 * cost_b + 2 * cost_c + cost_d)
    return cost


def mean_signals(
    world: World, skill: Floats, format_logit: Floats, group_size: int
) -> tuple[Floats, Floats]:
    """What a generated group of each task gains in skill and in format on average, shape (K,) each.

    Per unit of learning rate, in a batch of this group alone.

    Args:
        world: The tasks.
        skill: Shape (K,).
        format_logit: Shape (K,).
        group_size: Completions per group.
    """
    rates, slopes = world.pass_rates(skill)
    outcomes, sensitivity = outcome_table(rates, slopes, group_size)  # (K, G + 1)
    right, format_own, format_wrong = group_signals(group_size)
    formatted = 1.0 / (1.0 + np.exp(-format_logit))

    chances = _format_chances(formatted, group_size)  # (K, G + 1, G + 1)
    shape = (group_size + 1, group_size + 1)
    signal = np.einsum("kcf,cf->kc", chances, right.reshape(shape))
    own = np.einsum("kcf,cf->kc", chances, format_own.reshape(shape))
    wrong = np.einsum("kcf,cf->kc", chances, format_wrong.reshape(shape))

    forms = outcomes * (own - formatted[:, None] * wrong)
    return (outcomes * sensitivity * signal).sum(axis=1), forms[:, 1:-1].sum(axis=1)


def _format_chances(formatted: Floats, group_size: int) -> Floats:
    """Probability of f well-formed ones among the wrong, by the number correct; (K, c, f)."""
    chances = np.zeros((len(formatted), group_size + 1, group_size + 1))
    p = np.clip(formatted, 1e-12, 1 - 1e-12)[:, None]

    for correct in range(group_size + 1):
        wrong = group_size - correct
        counts = np.arange(wrong + 1)
        logs = log_choose(wrong) + counts * np.log(p) + (wrong - counts) * np.log1p(-p)
        chances[:, correct, : wrong + 1] = np.exp(logs)

    return chances
