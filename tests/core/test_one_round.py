"""One round a step: what it asks, what it trains on, and whose the loss is."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from mtgrpo.core.allocation import least_variance
from mtgrpo.core.loss_shares import balance_loss
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.core.types import Cost, Group
from mtgrpo.core.weightings import Fixed
from mtgrpo.errors import ConfigError, StateError
from tests.core.driver import MIXED, RATES, TASKS, WRONG, Dice, fill

WEIGHTS = dict(zip(TASKS, (0.5, 0.3, 0.2), strict=True))


def make(batch_size=16, seed=0, weights=WEIGHTS, **arguments) -> TaskMixer:
    sampler = OneRoundSampler(**arguments)
    weighting = Fixed(weights)
    return TaskMixer(
        list(weights), batch_size=batch_size, weighting=weighting, sampler=sampler, seed=seed
    )


def step(mixer: TaskMixer, informative: dict[str, bool]) -> None:
    """A step in which all groups of a task are alike."""
    batch = mixer.new_batch()
    for task, count in batch.ask().items():
        rewards = MIXED if informative[task] else WRONG
        batch.tell([Group.verified(task, rewards, uid=f"{task}{i}") for i in range(count)])
    assert batch.ask() == {}
    mixer.update()


def test_one_round_of_b_groups_of_which_all_informative_ones_are_trained_on():
    mixer, dice = make(), Dice(RATES)
    for _ in range(30):
        batch = mixer.new_batch()
        request = batch.ask()
        assert sum(request.values()) == batch.num_predicted == 16
        groups = dice.rollout(request)
        batch.tell(groups)
        assert batch.ask() == {}
        assert batch.quotas is None

        mixed = {group.uid for group in groups if sorted(group.rewards) == sorted(MIXED)}
        assert {group.uid for group in batch.groups} == mixed
        assert len(batch.padding(16)) == 16 - len(mixed)
        assert (batch.surplus, batch.shortfall, batch.exhausted) == ([], 0, [])
        mixer.update()


def test_counts_follow_the_weights_and_the_roots_of_the_rates_exactly_over_steps():
    """Rates that stand still, as after very many groups."""
    rates = np.array(list(RATES.values()))
    sampler = OneRoundSampler()
    sampler.bind(TASKS, 16)
    sampler.acceptance.rates = lambda: rates
    rng, weights = np.random.default_rng(0), np.array(list(WEIGHTS.values()))
    expected = 16 * least_variance(weights, rates)

    total, num_steps = np.zeros(3), 1000
    for _ in range(num_steps):
        request = sampler.new_batch(weights, 0, rng).ask()
        counts = np.array([request.get(task, 0) for task in TASKS])
        assert counts.sum() == 16
        assert (abs(counts - expected) < 1).all()
        total += counts
    assert total / num_steps == pytest.approx(expected, abs=0.005)


def test_a_task_that_gives_nothing_is_not_asked_for_ever_more():
    mixer = make(weights={"fine": 0.5, "hopeless": 0.5})
    for _ in range(60):
        step(mixer, {"fine": True, "hopeless": False})
    report = mixer.report
    # n ~ 1 / sqrt(a), with a = 1 and a = 1/12.
    assert report.totals.num_groups["hopeless"] == pytest.approx(
        16 * 12**0.5 / (1 + 12**0.5), abs=1
    )
    assert mixer.metrics()["task/hopeless/owed"] == 1.0
    assert mixer.metrics()["task/fine/owed"] == pytest.approx(-1.0)
    assert mixer.metrics()["task/fine/realized_ratio"] == 1.0


def test_shares_of_the_loss_are_the_weights():
    mixer = make(shares="each_step")
    step(mixer, dict.fromkeys(TASKS, True))
    assert mixer.report.loss_shares == pytest.approx(WEIGHTS)
    assert mixer.report.realized_shares() == mixer.report.loss_shares
    assert mixer.report.shares_met
    assert mixer.sampler.owed() == pytest.approx(dict.fromkeys(TASKS, 0.0), abs=1e-12)


def test_a_task_without_an_informative_group_is_owed_its_share_and_gets_it():
    mixer = make(weights={"a": 0.75, "b": 0.25}, shares="each_step")
    step(mixer, {"a": True, "b": False})
    assert mixer.sampler.owed() == pytest.approx({"a": -0.25, "b": 0.25})
    assert not mixer.report.shares_met
    step(mixer, {"a": True, "b": True})
    assert mixer.report.loss_shares == pytest.approx({"a": 0.5, "b": 0.5})
    assert mixer.metrics()["task/b/owed"] == pytest.approx(0)


def test_what_a_few_groups_cannot_carry_is_owed_as_well():
    """A group counts at most four times its even part of the loss."""
    mixer = make(weights={"a": 0.5, "b": 0.5}, shares="each_step")
    batch = mixer.new_batch()
    told = Counter()
    for task, count in batch.ask().items():
        for i in range(count):
            told[task] += 1
            is_mixed = task == "a" or i == 0
            batch.tell([Group.verified(task, MIXED if is_mixed else WRONG, uid=f"{task}{i}")])
    assert batch.ask() == {}
    mixer.update()
    share = 4 / (told["a"] + 1)
    assert mixer.report.loss_shares["b"] == pytest.approx(share)
    assert mixer.sampler.owed()["b"] == pytest.approx(0.5 - share)


def test_nothing_informative_leaves_everything_as_it_was():
    mixer = make()
    step(mixer, dict.fromkeys(TASKS, False))
    assert mixer.report.realized == {}
    assert set(mixer.report.loss_shares.values()) == {0.0}
    assert set(mixer.sampler.owed().values()) == {0.0}


@pytest.mark.parametrize(
    ("shares", "max_owed", "rare"),
    [
        ("each_step", 1.0, 0.2),
        ("each_step", 0.0, 0.135),
        ("over_steps", 1.0, 0.2),
        ("over_steps", 0.0, 0.167),
    ],
)
def test_over_many_steps_shares_are_the_weights_and_without_debts_they_are_not(
    shares, max_owed, rare
):
    mixer, dice, sums = make(max_owed=max_owed, shares=shares), Dice(RATES), Counter()
    num_steps = 400
    for _ in range(num_steps):
        fill(mixer.new_batch(), dice)
        mixer.update()
        sums.update(mixer.report.loss_shares)
        owed = mixer.sampler.owed().values()
        assert max(owed) <= max_owed + 1e-12
        assert sum(owed) == pytest.approx(0, abs=1e-12)

    assert sums[TASKS[2]] / num_steps == pytest.approx(rare, abs=0.01)
    if max_owed:
        shares = {task: total / num_steps for task, total in sums.items()}
        assert shares == pytest.approx(WEIGHTS, abs=0.01)


def test_over_steps_a_group_counts_alike_however_many_its_task_has_in_a_step():
    """Two tasks of one weight that are asked alike: shares are those of the groups."""
    mixer = make(weights={"a": 0.5, "b": 0.5})
    mixer.sampler.acceptance.rates = lambda: np.array([0.5, 0.5])

    batch, left = mixer.new_batch(), {"a": 5, "b": 2}
    for task, count in batch.ask().items():
        rewards = [MIXED] * left[task] + [WRONG] * (count - left[task])
        batch.tell([Group.verified(task, r, uid=f"{task}{i}") for i, r in enumerate(rewards)])
    assert batch.ask() == {}

    assert batch.loss_targets == pytest.approx({"a": 5 / 7, "b": 2 / 7})
    mixer.update()
    assert mixer.sampler.owed() == pytest.approx({"a": -3 / 14, "b": 3 / 14})

    # A tenth of what is owed is paid in the next step.
    step(mixer, {"a": True, "b": True})
    assert mixer.report.loss_shares["b"] == pytest.approx(0.5 + 0.1 * 3 / 14)


def test_over_steps_a_batch_holds_more_equal_groups():
    """The gradient's variance goes with the sum over groups of their squared shares."""
    squares = {}
    for shares in ("each_step", "over_steps"):
        mixer, dice, total = make(shares=shares), Dice(RATES), 0.0
        for _ in range(300):
            batch = mixer.new_batch()
            fill(batch, dice)
            counts = batch.counts.num_informative
            had = batch.loss_shares
            total += sum(share**2 / counts[task] for task, share in had.items() if share)
            mixer.update()
        squares[shares] = total
    assert squares["over_steps"] < 0.9 * squares["each_step"]


def test_over_steps_debts_are_within_their_limit_until_some_are_forgiven():
    mixer = make(weights={"fine": 0.5, "hopeless": 0.5})
    for within in (1.0, 1.0, 0.0):
        step(mixer, {"fine": True, "hopeless": False})
        assert mixer.metrics()["sampler/debts_within_limit"] == within
    assert mixer.metrics()["task/hopeless/owed"] == 1.0
    assert "sampler/shares_met" not in mixer.metrics()


def test_over_steps_a_rare_group_counts_by_the_rate_that_it_has():
    """`max_inflation` limits what is asked of a task, not what its groups count."""
    rates = {"often": 0.7, "half": 0.5, "rare": 0.03}
    weights = {"often": 0.2, "half": 0.2, "rare": 0.6}
    shares = {}
    for kind in ("each_step", "over_steps"):
        mixer, dice, total = make(64, weights=weights, shares=kind), Dice(rates), 0.0
        for _ in range(400):
            fill(mixer.new_batch(), dice)
            mixer.update()
            total += mixer.report.loss_shares["rare"]
        shares[kind] = total / 400
    assert shares["over_steps"] == pytest.approx(shares["each_step"], abs=0.03)
    assert shares["over_steps"] > 0.45


def test_a_state_of_other_shares_is_refused():
    saved = make(shares="each_step").state_dict()
    with pytest.raises(StateError, match="saved with shares='each_step', now 'over_steps'"):
        make().load_state_dict(saved)

    del saved["sampler"]["debt"]["shares"]  # as it was before shares had a choice
    with pytest.raises(StateError, match="saved with shares='each_step'"):
        make().load_state_dict(saved)
    make(shares="each_step").load_state_dict(saved)


def test_the_engines_shares_count_where_it_tells_them():
    mixer = make(weights={"a": 0.5, "b": 0.5})
    batch = mixer.new_batch()
    fill(batch, Dice({"a": 1.0, "b": 1.0}))
    batch.tell_loss_shares({"a": 1.0, "b": 0.0})  # b's answers were all cut off, for instance
    mixer.update()
    assert mixer.sampler.owed() == {"a": -0.5, "b": 0.5}


def test_an_open_batch_is_restored_with_what_was_told():
    mixer = make(batch_size=6)
    dice = Dice(RATES)
    for _ in range(5):
        fill(mixer.new_batch(), dice)
        mixer.update()
    batch = mixer.new_batch()
    state = json.loads(json.dumps(mixer.state_dict()))
    other = make(batch_size=6, seed=99)
    other.load_state_dict(state)
    assert other.batch.ask() == batch.ask()
    assert other.sampler.owed() == mixer.sampler.owed()
    assert other.batch.num_predicted == 6

    # What is informative weighs the same in both.
    groups = dice.rollout(batch.ask())
    for open_batch in (batch, other.batch):
        open_batch.ask()
        open_batch.tell(groups)
    assert other.batch.loss_targets == batch.loss_targets

    fill(batch, dice)
    batch.tell_loss_shares({TASKS[0]: 1.0, TASKS[1]: 0.0, TASKS[2]: 0.0})
    third = make(batch_size=6, seed=99)
    third.load_state_dict(json.loads(json.dumps(mixer.state_dict())))
    assert third.batch.loss_shares == batch.loss_shares
    mixer.update()
    third.update()
    assert third.sampler.owed() == mixer.sampler.owed()


def test_the_state_of_another_kind_of_sampler_is_refused():
    one, refill = make(), TaskMixer(TASKS, batch_size=16, weighting=Fixed(WEIGHTS))
    for mixer, other in ((one, refill), (refill, one)):
        with pytest.raises(StateError, match="saved by another kind than"):
            mixer.load_state_dict(other.state_dict())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_inflation": 0.5}, "max_inflation=0.5; it must be at least 1"),
        ({"max_inflation": float("inf")}, "max_inflation=inf"),
        ({"max_owed": -0.1}, "max_owed=-0.1; it must be at least 0"),
        ({"max_owed": float("nan")}, "max_owed=nan"),
        ({"shares": "each step"}, "unknown shares 'each step' .did you mean 'each_step'"),
        ({"group_filter": "lenien"}, "lenient"),
        ({"budget": {"tokens": -1}}, "-1 tokens; it must be a number above 0"),
        ({"spreads": {"a": 0.0}}, "spreads: 0.0 for 'a'"),
    ],
)
def test_what_cannot_work_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        OneRoundSampler(**arguments)


def test_refilled_batches_have_no_shares_of_the_loss():
    mixer = TaskMixer(TASKS, batch_size=8, sampler=RatioPreservingSampler())
    batch = mixer.new_batch()
    fill(batch, Dice(RATES))
    assert batch.loss_shares is None
    assert batch.loss_targets == batch.quotas
    assert mixer.sampler.owed() is None


# ---- budgets -------------------------------------------------------------------------------------
TOKENS = {TASKS[0]: 100, TASKS[1]: 400, TASKS[2]: 900}


class Measured(Dice):
    """Tells what each group took: the same for all of a task."""

    def group(self, task):
        return replace(super().group(task), cost=Cost(tokens=TOKENS[task], seconds=1.0))


def spent(mixer: TaskMixer, dice: Dice, num_steps: int) -> list[dict[str, float]]:
    told = []
    for _ in range(num_steps):
        fill(mixer.new_batch(), dice)
        mixer.update()
        told.append(mixer.metrics())
    return told


def test_a_budget_of_groups_is_their_number():
    figures = spent(make(budget={"groups": 10}), Dice(RATES), 20)
    assert {step["sampler/groups_generated"] for step in figures} == {10}
    assert "sampler/cost" not in figures[0]
    more = spent(make(budget={"groups": 100}), Dice(RATES), 3)
    assert {step["sampler/groups_generated"] for step in more} == {16}, "never more than B"


def test_a_budget_of_tokens_is_spent_on_average():
    """B groups at first; then as many as the mean costs allow, within one group of each task."""
    figures = spent(make(batch_size=32, budget={"tokens": 6000}), Measured(RATES), 200)
    first, later = figures[0], figures[40:]
    assert first["sampler/groups_generated"] == 32
    assert f"task/{TASKS[0]}/group_cost" not in first

    assert np.mean([step["sampler/cost"] for step in later]) == pytest.approx(6000, rel=0.02)
    assert max(step["sampler/cost"] for step in later) <= 6000 * 1.02 + sum(TOKENS.values())
    assert max(step["sampler/groups_generated"] for step in later) < 32
    for task, tokens in TOKENS.items():
        assert later[-1][f"task/{task}/group_cost"] == pytest.approx(tokens, rel=0.1)


SIZES = dict(zip(TASKS, (4, 8, 32), strict=True))


class Sized(Dice):
    """Groups of a task's own size, of which as many are mixed as its rate says."""

    def group(self, task):
        group = super().group(task)
        half = SIZES[task] // 2
        rewards = (1.0, 0.0) * half if sorted(group.rewards) == sorted(MIXED) else (0.0,) * 2 * half
        return Group.verified(task, rewards, uid=group.uid)


def test_groups_of_other_sizes_have_exact_shares_and_cost_what_they_hold():
    mixer, dice = make(batch_size=32, budget={"completions": 160}), Sized(RATES)
    completions, requests, num_rollouts = [], Counter(), 0
    for number in range(300):
        batch = mixer.new_batch()
        request = batch.ask()
        batch.tell(dice.rollout(request))
        assert batch.ask() == {}

        # The loss as an engine has it: a completion's weight is its task's factor.
        groups, masses = Counter(), Counter()
        for group in batch.groups:
            groups[group.task] += 1
            masses[group.task] += len(group.rewards)
        shares = balance_loss(batch.loss_targets, groups, masses)
        total = sum(masses.values())
        for task in masses:
            assert shares.factors[task] * masses[task] / total == pytest.approx(shares.after[task])
        if not shares.limited:
            assert shares.after == pytest.approx(batch.loss_targets)
        batch.tell_loss_shares(shares.after)

        generated = sum(count * SIZES[task] for task, count in request.items())
        num_rollouts += generated
        if number >= 100:  # estimates have come to rest
            completions.append(generated)
            requests.update(request)
        mixer.update()

    assert mixer.num_rollouts == num_rollouts
    assert np.mean(completions) == pytest.approx(160, rel=0.03)
    for task, size in SIZES.items():
        assert mixer.metrics()[f"task/{task}/group_cost"] == pytest.approx(size)

    rates = np.array([mixer.sampler.acceptance.rates()[k] for k in range(3)])
    assert rates == pytest.approx(list(RATES.values()), abs=0.15)  # of the task's own size
    wanted = least_variance(
        np.array(list(WEIGHTS.values())),
        np.array(list(RATES.values())),
        np.array(list(SIZES.values())),
    )
    asked = np.array([requests[task] for task in TASKS]) / sum(requests.values())
    assert asked == pytest.approx(wanted, abs=0.05)


def test_sizes_are_known_from_one_group_on_and_restored():
    mixer = make(batch_size=8, budget={"completions": 60})
    spent(mixer, Sized(RATES), 2)
    other = make(batch_size=8, budget={"completions": 60})
    other.load_state_dict(json.loads(json.dumps(mixer.state_dict())))
    assert other.new_batch().ask() == mixer.new_batch().ask()
    assert other.batch.expected_costs == mixer.batch.expected_costs == pytest.approx(SIZES)


def test_counts_follow_costs_and_spreads():
    """n ~ z s / sqrt(a c), with estimates that have come to rest."""
    sampler = OneRoundSampler(budget={"tokens": 4000}, spreads={TASKS[1]: 2.0})
    sampler.bind(TASKS, 64)
    rates, costs = np.array([0.7, 0.5, 0.2]), np.array([100.0, 400.0, 900.0])
    sampler.acceptance.rates = lambda: rates
    sampler._costs.means = lambda: costs
    rng, weights = np.random.default_rng(0), np.array(list(WEIGHTS.values()))

    wanted = weights * [1, 2, 1] / np.sqrt(rates * costs)
    wanted *= 4000 / (wanted @ costs)
    total, num_steps = np.zeros(3), 2000
    for _ in range(num_steps):
        request = sampler.new_batch(weights, 0, rng).ask()
        total += [request.get(task, 0) for task in TASKS]
    assert total / num_steps == pytest.approx(wanted, abs=0.01)


def test_at_least_one_group_however_small_the_budget():
    figures = spent(make(budget={"tokens": 1}), Measured(RATES), 10)
    assert {step["sampler/groups_generated"] for step in figures[1:]} == {1}


def test_costs_must_be_told_in_the_unit_of_the_budget():
    mixer = make(budget={"seconds": 60})
    batch = mixer.new_batch()
    request = batch.ask()
    with pytest.raises(ConfigError, match="the sampler's budget is in seconds"):  # tokens are told
        batch.tell(Dice(RATES).rollout(request))
    assert batch.ask() == request, "nothing was counted"


def test_costs_are_restored_in_the_middle_of_a_step():
    mixer, dice = make(budget={"tokens": 3000}), Measured(RATES)
    spent(mixer, dice, 4)
    batch = mixer.new_batch()
    groups = dice.rollout(batch.ask())
    batch.tell(groups[:3])

    other = make(seed=99, budget={"tokens": 3000})
    other.load_state_dict(json.loads(json.dumps(mixer.state_dict())))
    for each in (mixer, other):
        each.batch.tell(groups[3:])
        assert each.batch.ask() == {}
        each.update()
    assert mixer.metrics() == other.metrics()
    assert mixer.state_dict() == other.state_dict()


def test_a_state_with_costs_in_another_unit_is_refused():
    saved = make(budget={"tokens": 3000}).state_dict()
    with pytest.raises(StateError, match="a budget in tokens, now in seconds"):
        make(budget={"seconds": 3000}).load_state_dict(saved)


def test_spreads_of_unknown_tasks_are_refused():
    with pytest.raises(ConfigError, match="unknown task 'zebra'"):
        make(spreads={"zebra": 2.0})
