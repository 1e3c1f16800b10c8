"""Which probe saves most, against drawn groups."""

import itertools

import numpy as np
import pytest

from mtgrpo.core.beta_prompts import BetaPrompts
from mtgrpo.core.probe_choice import (
    LEAST_CHANCE,
    LEAST_GAIN,
    LEAST_SAVING,
    ProbeChoice,
    best_probes,
)
from mtgrpo.core.probe_stages import Probe, Stage

SETTINGS = [(0.06, 0.12), (0.2, 0.35), (0.5, 0.67), (0.13, 0.14)]


def test_cost_and_variance_are_those_of_drawn_groups():
    """A known truth: pass rates of the fitted Beta distribution, drawn a million times."""
    size, rng = 32, np.random.default_rng(0)
    probe = Probe((Stage(8, 0.3, 0.6), Stage(16, 0.5, 0.4)))
    mean, concentration = 0.2, 0.5
    rates = rng.beta(mean * concentration, (1 - mean) * concentration, 1_000_000)
    parts = [rng.binomial(number, rates) for number in (8, 8, 16)]

    whole = sum(parts) / size
    signal = whole * (1 - whole)
    choice = ProbeChoice(BetaPrompts(mean, float((signal > 0).mean()), size))

    # The chance with which each group reaches a stage, and passes it.
    reached, cost = np.ones(len(rates)), 8.0
    for stage, right, more in zip(probe.stages, np.cumsum(parts, axis=0), (8, 16), strict=False):
        reached = np.where(right == 0, reached * stage.if_wrong, reached)
        reached = np.where(right == stage.size, reached * stage.if_right, reached)
        cost += more * reached.mean()

    value = choice.value(probe)
    assert value.cost == pytest.approx(cost / size, abs=0.005)
    assert value.variance == pytest.approx((signal / reached).mean() / signal.mean(), abs=0.01)
    assert value.saving == pytest.approx(1 / (value.cost * value.variance))


@pytest.mark.parametrize("group_size", [16, 72])
@pytest.mark.parametrize(("mean", "acceptance"), SETTINGS)
def test_no_other_chances_save_more(group_size, mean, acceptance):
    choice = ProbeChoice(BetaPrompts(mean, acceptance, group_size))
    chances = (1 / 16, 0.2, 0.45, 1.0)
    for sizes in [(8,), (4, 12)]:
        most = choice.value(choice.with_sizes(sizes)).saving
        for each in itertools.product(chances, repeat=2 * len(sizes)):
            probe = Probe(tuple(map(Stage, sizes, each[::2], each[1::2])))
            if min(probe.chance_wrong, probe.chance_right) >= LEAST_CHANCE:
                assert choice.value(probe).saving <= most + 1e-6


def alone(mean: float, acceptance: float, group_size: int) -> Probe:
    """The probe of a step with one task."""
    (probe,) = best_probes([BetaPrompts(mean, acceptance, group_size)], [32], group_size)
    return probe


@pytest.mark.parametrize("group_size", [16, 32, 72])
@pytest.mark.parametrize(("mean", "acceptance"), SETTINGS)
def test_a_second_stage_only_where_it_is_worth_a_call(group_size, mean, acceptance):
    choice = ProbeChoice(BetaPrompts(mean, acceptance, group_size))
    best = alone(mean, acceptance, group_size)

    sizes = [size for size in (4, 6, 8, 12, 16, 24, 32, 48) if size < group_size]
    one = max(choice.value(choice.with_sizes([size])).saving for size in sizes)
    pairs = itertools.combinations(sizes, 2)
    two = max(choice.value(choice.with_sizes(pair)).saving for pair in pairs)

    if len(best.stages) == 2:
        assert choice.value(best).saving == pytest.approx(two)
        assert two >= (LEAST_GAIN * one if one >= LEAST_SAVING else LEAST_SAVING)
    elif best.size < group_size:
        assert choice.value(best).saving == pytest.approx(one)
        assert two < LEAST_GAIN * one
    else:
        assert max(one, two) < LEAST_SAVING


def test_tasks_of_a_step_have_stages_of_the_same_sizes_and_chances_of_their_own():
    tasks = [BetaPrompts(0.13, 0.14, 72), None, BetaPrompts(0.2, 0.35, 72), BetaPrompts(0.3, 1, 72)]
    hard, unknown, middle, mixed = best_probes(tasks, [16, 8, 8, 8], 72)
    assert [stage.size for stage in hard.stages] == [stage.size for stage in middle.stages]
    assert hard.chance_wrong < middle.chance_wrong < 1
    assert unknown == Probe.whole(72)
    assert mixed == Probe(tuple(Stage(stage.size) for stage in hard.stages))  # all are completed


def test_tasks_that_are_asked_much_decide_for_the_step():
    tasks = [BetaPrompts(0.13, 0.14, 32), BetaPrompts(0.3, 1.0, 32)]
    assert best_probes(tasks, [4, 28], 32) == [Probe.whole(32)] * 2
    probes = best_probes(tasks, [28, 4], 32)
    assert [probe.completes_all for probe in probes] == [False, True]
    assert best_probes(tasks, [0, 0], 32) == [Probe.whole(32)] * 2


def test_chances_are_in_range_and_a_group_counts_sixteen_at_most():
    choice = ProbeChoice(BetaPrompts(0.02, 0.021, 72))
    for sizes in itertools.combinations((4, 8, 24, 48), 2):
        probe = choice.with_sizes(sizes)
        for stage in probe.stages:
            assert 0 < stage.if_wrong <= 1
            assert 0 < stage.if_right <= 1
        assert min(probe.chance_wrong, probe.chance_right) >= LEAST_CHANCE - 1e-12


def test_what_it_comes_to_at_the_papers_group_size():
    """Polarised prompts, nearly all of them wrong: right ones alone tell more, and go on more."""
    probe = alone(0.13, 0.14, 72)
    assert [stage.size for stage in probe.stages] == [6, 24]
    assert probe.chance_wrong < probe.chance_right
    assert ProbeChoice(BetaPrompts(0.13, 0.14, 72)).value(probe).saving > 1.9


@pytest.mark.parametrize(
    ("mean", "acceptance", "group_size"),
    [(0.06, 0.12, 8), (0.5, 0.95, 32), (0.05, 1.0, 72), (0.5, 0.67, 16)],
)
def test_off_where_groups_are_small_or_nearly_all_mixed(mean, acceptance, group_size):
    assert alone(mean, acceptance, group_size) == Probe.whole(group_size)
