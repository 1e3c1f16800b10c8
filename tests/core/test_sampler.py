"""A batch ends, keeps its promises and adds up, whatever comes back."""

import json
from collections import Counter

import numpy as np
import pytest

from mtgrpo.core.acceptance import CountedAcceptance, EmaAcceptance
from mtgrpo.core.filters import get_filter
from mtgrpo.core.metrics import filtered_shares
from mtgrpo.core.planners import NeededRounds, OversampledRounds
from mtgrpo.core.quota_rules import GOLDEN_STEP
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.core.types import Group, Verdict
from mtgrpo.errors import ConfigError, ShortfallError, StateError
from tests.core.driver import RATES, TASKS, Dice, fill

WEIGHTS = np.array([0.5, 0.3, 0.2])


class Hostile:
    """A filter that goes by a rule of its own, changes its mind, and remembers what it said."""

    def __init__(self, pattern: str) -> None:
        self.pattern, self.calls, self.kept = pattern, 0, set[object]()

    def __call__(self, group: Group) -> Verdict:
        self.calls += 1
        keep = {
            "all": True,
            "none": False,
            "alternating": self.calls % 2 == 0,
            "one dead": group.task != TASKS[1],
            "one alive": group.task == TASKS[1],
            "bursts": (self.calls // 17) % 3 == 0,
            "first round none": self.calls > 24,
            "rare": self.calls % 13 == 0,
            "dice": get_filter("informative")(group).keep,
        }[self.pattern]
        if keep:
            self.kept.add(group.uid)
        return Verdict(keep, "" if keep else "hostile")


PATTERNS = [
    "all",
    "none",
    "alternating",
    "one dead",
    "one alive",
    "bursts",
    "first round none",
    "rare",
    "dice",
]
PLANNERS = {
    "needed": NeededRounds,
    "needed more": lambda: NeededRounds(confidence=0.95),
    "paper": OversampledRounds,
    "released": lambda: OversampledRounds(max_inflation=1.0, refill="same_until_full"),
    "exact": lambda: OversampledRounds(oversampling=1.0),
}


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("planner", PLANNERS)
@pytest.mark.parametrize("policy", ["surplus", "smaller", "fail"])
@pytest.mark.parametrize("quotas", ["systematic", "multinomial", "released", "none"])
def test_every_batch_ends_within_budget_and_adds_up(pattern, planner, policy, quotas):
    group_filter = Hostile(pattern)
    sampler = RatioPreservingSampler(
        quota_rule="systematic" if quotas == "none" else quotas,
        planner=PLANNERS[planner](),
        group_filter=group_filter,
        max_resamples=4,
        shortfall=policy,
        keep_shares=quotas != "none",
    ).bind(TASKS, 8)
    rng, dice = np.random.default_rng(0), Dice(RATES)
    for step in range(4):
        batch = sampler.new_batch(WEIGHTS, step, rng)
        wanted = batch.quotas
        try:
            rounds = fill(batch, dice, most_rounds=5)
        except ShortfallError:
            assert policy == "fail"
            with pytest.raises(
                ShortfallError, match="groups missing after 5 rounds"
            ):  # again, not an endless batch
                batch.ask()
            assert batch.shortfall > 0
            rounds = 5
        else:
            assert policy != "fail" or batch.shortfall == 0 or quotas == "released"
        assert rounds == len(batch.counts.rounds) <= 5
        groups, surplus = batch.groups, batch.surplus
        realized = Counter(g.task for g in groups)
        accepted = Counter(g.task for g in groups + surplus)

        # Nothing is lost, nothing is doubled, nothing dropped is trained on.
        uids = [g.uid for g in groups + surplus]
        assert len(set(uids)) == len(uids)
        assert set(uids) <= group_filter.kept
        num_dropped = sum(sum(reasons.values()) for reasons in batch.counts.dropped.values())
        assert batch.counts.num_generated == len(uids) + num_dropped
        assert batch.counts.num_rollouts == 4 * batch.counts.num_generated
        assert dict(batch.counts.num_informative) == {
            t: accepted[t] for t in batch.counts.num_informative
        }

        # Promises.
        assert len(groups) <= 8
        if wanted is None:
            assert batch.shortfall == 8 - len(groups) == max(0, 8 - len(uids))
            continue
        missing = sum(max(0, n - realized[task]) for task, n in wanted.items())
        assert batch.shortfall == missing
        if quotas != "released":
            assert sum(wanted.values()) == 8
            if batch.shortfall == 0:
                assert realized == Counter({t: n for t, n in wanted.items() if n})
        if policy != "surplus":
            assert all(realized[t] <= n for t, n in wanted.items())
        if policy == "surplus":  # filled to the brim, as far as there is anything
            assert len(groups) == min(8, len(uids))
        for (
            task,
            n,
        ) in wanted.items():  # a quota is only cut when the quotas sum to more than the batch
            if sum(wanted.values()) <= 8:
                assert realized[task] >= min(n, accepted[task])


def test_dead_task_is_capped_and_reported():
    sampler = RatioPreservingSampler(max_resamples=3).bind(("alive", "dead"), 10)
    rng, dice = np.random.default_rng(0), Dice({"alive": 1.0, "dead": 0.0})
    for step in range(20):
        batch = sampler.new_batch(np.array([0.5, 0.5]), step, rng)
        while request := batch.ask():
            assert request.get("dead", 0) <= 5 * 5  # deficit times max_inflation
            batch.tell(dice.rollout(request))
        assert batch.shortfall == 5
        assert len(batch.counts.rounds) == 4
        # Little is there to fill with: what is asked beyond the need is rounding.
        assert 5 <= Counter(g.task for g in batch.groups)["alive"] <= 8
        assert {g.task for g in batch.groups} == {"alive"}
    assert sampler.acceptance.rates()[1] < 0.02


def fill_steps(sampler, rates, steps, weights=None, seed=0):
    """Steps of a sampler over dice; yields each finished batch before it is closed."""
    rng, dice = np.random.default_rng(seed), Dice(rates, seed)
    names = tuple(rates)
    sampler.bind(names, 16)
    z = np.full(len(names), 1 / len(names)) if weights is None else np.array(weights)
    for step in range(steps):
        batch = sampler.new_batch(z, step, rng)
        while request := batch.ask():
            batch.tell(dice.rollout(request))
        yield batch
        sampler.close(batch, step)


def test_a_task_gets_no_more_prompts_than_a_step_may_spend_on_it():
    sampler = RatioPreservingSampler(max_prompts_per_group=6.0)
    for batch in fill_steps(sampler, {"alive": 0.9, "dead": 0.0}, 10):
        assert batch.counts.totals().num_groups["dead"] == 6 * 8
        assert batch.exhausted == ["dead"]
        assert batch.shortfall == 8
        assert len(batch.counts.rounds) < 11  # it does not use up the rounds either
    sampler = RatioPreservingSampler(max_prompts_per_group=6.0)
    assert all(
        batch.exhausted == [] for batch in fill_steps(sampler, {"alive": 0.9, "slow": 0.4}, 10)
    )


def test_the_bank_serves_the_next_steps_and_nothing_is_lost():
    """Every informative group is trained on once, in the step of its birth or one that is near enough."""
    sampler = RatioPreservingSampler(planner=NeededRounds(0.9), max_staleness=2)
    born, used, generated, banked, expired = {}, set(), 0, 0, 0
    for step, batch in enumerate(fill_steps(sampler, RATES, 60)):
        assert batch.shortfall == 0
        assert Counter(g.task for g in batch.groups) == Counter(
            {t: n for t, n in (batch.quotas or {}).items() if n}
        )
        for group in [g for g in batch.groups if g not in batch.banked] + batch.surplus:
            born.setdefault(group.uid, step)
        for group in batch.groups:
            assert group.uid not in used
            used.add(group.uid)
            assert step - born[group.uid] <= 2
        assert all(born[group.uid] < step for group in batch.banked)
        generated += sum(batch.counts.num_informative.values())
        banked += len(batch.banked)
        expired += sampler.bank.num_expired
    assert generated == 60 * 16 + expired + len(sampler.bank)
    assert banked > 60  # it is worth having
    assert expired < 0.02 * generated


def test_the_bank_saves_groups_and_rounds():
    def cost(**arguments):
        batches = list(fill_steps(RatioPreservingSampler(**arguments), RATES, 200))
        return sum(b.counts.num_generated for b in batches), sum(
            len(b.counts.rounds) for b in batches
        )

    groups, rounds = cost()
    fewer_groups, fewer_rounds = cost(planner=NeededRounds(0.9), max_staleness=2)
    assert fewer_groups < 0.93 * groups
    assert fewer_rounds < 0.8 * rounds
    # No sampler can need less than this without keeping more for later.
    assert fewer_groups > 0.97 * 200 * 16 / 3 * sum(1 / rate for rate in RATES.values())


def test_banked_groups_come_first_where_quotas_want_too_many():
    """The released rule's quotas may sum to more than the batch: what is left over must not begin a second life."""
    sampler = RatioPreservingSampler(
        quota_rule="released", planner=NeededRounds(0.9), max_staleness=1
    )
    too_many = 0
    for batch in fill_steps(sampler, RATES, 150):
        too_many += sum((batch.quotas or {}).values()) > 16 and len(batch.banked) > 0
        assert {group.uid for group in batch.banked} <= {group.uid for group in batch.groups}
    assert too_many > 10


def test_the_bank_without_quotas():
    sampler = RatioPreservingSampler(keep_shares=False, max_staleness=1)
    for batch in fill_steps(sampler, RATES, 30):
        assert len(batch.groups) == 16
        assert set(map(id, batch.banked)) <= set(map(id, batch.groups))


def test_the_bank_in_the_state():
    def run(sampler, steps, start=0, state=None):
        rng, dice = np.random.default_rng(3), Dice(RATES, 5)
        sampler.bind(TASKS, 16)
        if state is not None:
            rng.bit_generator.state, dice.serial = state[1], Counter(state[2])
            sampler.load_state_dict(json.loads(json.dumps(state[0])))
        asked = []
        for step in range(start, start + steps):
            batch = sampler.new_batch(np.full(3, 1 / 3), step, rng)
            while request := batch.ask():
                asked.append(request)
                batch.tell(dice.rollout(request))
            sampler.close(batch, step)
        return asked, (sampler.state_dict(), rng.bit_generator.state, dict(dice.serial))

    def make():
        return RatioPreservingSampler(planner=NeededRounds(0.9), max_staleness=2)

    whole, end = run(make(), 12)
    first, state = run(make(), 5)
    assert state[0]["bank"]["kept"]
    rest, end_of_rest = run(make(), 7, 5, state)
    assert first + rest == whole
    assert end[0] == end_of_rest[0]


def test_task_blind_filling_lets_shares_drift():
    # SPEC section 1: equal weights at a = (.7, .5, .2) are trained on 50/36/14 %.
    sampler = RatioPreservingSampler(
        planner=OversampledRounds(max_inflation=1), keep_shares=False
    ).bind(TASKS, 32)
    rng, dice, trained = np.random.default_rng(0), Dice(RATES), Counter[str]()
    for step in range(150):
        batch = sampler.new_batch(np.full(3, 1 / 3), step, rng)
        fill(batch, dice)
        assert batch.quotas is None
        assert len(batch.groups) == 32
        trained.update(g.task for g in batch.groups)
    shares = [trained[t] / trained.total() for t in TASKS]
    # 4800 groups: a share has a standard deviation of at most .0072.
    assert shares == pytest.approx([0.5, 5 / 14, 1 / 7], abs=0.03)
    assert shares == pytest.approx(
        list(filtered_shares(dict.fromkeys(TASKS, 1 / 3), RATES).values()), abs=0.03
    )


def test_task_blind_filling_does_not_depend_on_the_order_of_telling():
    # An engine that hands groups in task by task, most of them surplus, must not train on the first task alone.
    sampler = RatioPreservingSampler(
        group_filter="none", planner=OversampledRounds(8), keep_shares=False
    )
    sampler.bind(TASKS, 32)
    rng, dice, trained = np.random.default_rng(0), Dice(RATES), Counter[str]()
    for step in range(100):
        batch = sampler.new_batch(np.full(3, 1 / 3), step, rng)
        batch.tell(sorted(dice.rollout(batch.ask()), key=lambda g: TASKS.index(g.task)))
        assert batch.ask() == {}
        trained.update(g.task for g in batch.groups)
    assert [trained[t] / trained.total() for t in TASKS] == pytest.approx([1 / 3] * 3, abs=0.05)


def test_released_quotas_above_the_batch_are_cut_at_random():
    sampler = RatioPreservingSampler(
        quota_rule="released", group_filter="none", planner=OversampledRounds()
    )
    sampler.bind(TASKS, 32)
    rng, dice, cut, times = np.random.default_rng(0), Dice(RATES), Counter[str](), 0
    for step in range(600):
        batch = sampler.new_batch(WEIGHTS, step, rng)
        fill(batch, dice)
        wanted = batch.quotas or {}
        assert len(batch.groups) == 32
        if sum(wanted.values()) > 32:
            times += 1
            assert batch.shortfall >= 1
            cut.update(Counter(wanted) - Counter(g.task for g in batch.groups))
    assert times > 20
    assert set(cut) == set(TASKS)


def test_with_quotas_the_shares_are_the_weights():
    sampler = RatioPreservingSampler().bind(TASKS, 32)
    rng, dice, trained = np.random.default_rng(0), Dice(RATES), Counter[str]()
    for step in range(60):
        batch = sampler.new_batch(WEIGHTS, step, rng)
        fill(batch, dice)
        assert batch.shortfall == 0
        trained.update(g.task for g in batch.groups)
    assert [trained[t] / trained.total() for t in TASKS] == pytest.approx(WEIGHTS, abs=0.002)


def test_without_a_filter_the_first_round_is_the_batch():
    for keep_shares in (True, False):
        sampler = RatioPreservingSampler(group_filter="none", keep_shares=keep_shares).bind(
            TASKS, 32
        )
        batch = sampler.new_batch(WEIGHTS, 0, np.random.default_rng(0))
        request = batch.ask()
        assert sum(request.values()) == 32
        batch.tell(Dice(RATES).rollout(request))
        assert batch.ask() == {}
        assert len(batch.groups) == 32
        assert (
            sum(batch.counts.num_informative.values()) < 32
        )  # what would have passed a filter is still measured


def test_shares_bind_from_the_given_step():
    sampler = RatioPreservingSampler(shares_from_step=2).bind(TASKS, 8)
    rng = np.random.default_rng(0)
    found = [sampler.new_batch(WEIGHTS, step, rng).quotas is None for step in range(4)]
    assert found == [True, True, False, False]


def test_offsets_of_systematic_quotas_move_by_the_golden_step():
    sampler = RatioPreservingSampler().bind(TASKS, 8)
    rng, seen = np.random.default_rng(0), []
    for step in range(5):
        sampler.new_batch(WEIGHTS, step, rng)
        seen.append(sampler.state_dict()["offset"])
    assert np.diff(seen) % 1 == pytest.approx([GOLDEN_STEP] * 4)


def test_one_task_and_batches_of_one():
    for tasks, size in ((("only",), 8), (("only",), 1), (TASKS, 1)):
        sampler = RatioPreservingSampler().bind(tasks, size)
        batch = sampler.new_batch(np.full(len(tasks), 1 / len(tasks)), 0, np.random.default_rng(0))
        fill(batch, Dice(dict.fromkeys(tasks, 0.5)))
        assert len(batch.groups) == size


def test_weights_of_zero_are_never_asked():
    for planner in PLANNERS.values():
        for keep_shares in (True, False):
            sampler = RatioPreservingSampler(planner=planner(), keep_shares=keep_shares).bind(
                TASKS, 8
            )
            batch = sampler.new_batch(np.array([1.0, 0.0, 0.0]), 0, np.random.default_rng(0))
            fill(batch, Dice({**RATES, TASKS[0]: 0.1}))
            assert set(batch.counts.totals().num_groups) == {TASKS[0]}


def test_state_of_another_estimate_is_refused():
    counted = RatioPreservingSampler(acceptance=CountedAcceptance()).bind(TASKS, 8)
    ema = RatioPreservingSampler(acceptance=EmaAcceptance()).bind(TASKS, 8)
    with pytest.raises(StateError, match="saved with EmaAcceptance, this is CountedAcceptance"):
        counted.load_state_dict(ema.state_dict())


def test_refuses():
    for arguments, message in (
        ({"quota_rule": "sistematic"}, "did you mean 'systematic'"),
        ({"shortfall": "fill"}, "allowed: fail, smaller, surplus"),
        ({"group_filter": "informativ"}, "did you mean 'informative'"),
        ({"max_resamples": -1}, "max_resamples=-1"),
        ({"shares_from_step": -1}, "shares_from_step=-1"),
    ):
        with pytest.raises(ConfigError, match=message):
            RatioPreservingSampler(**arguments)
    with pytest.raises(ConfigError, match="batch_size: 0"):
        RatioPreservingSampler().bind(TASKS, 0)
    with pytest.raises(StateError, match="already in use"):
        RatioPreservingSampler().bind(TASKS, 8).bind(TASKS, 8)


@pytest.mark.parametrize("shortfall", ["surplus", "smaller", "fail"])
def test_released_quotas_that_all_round_to_0_are_none(shortfall):
    """Far more tasks than groups: each is drawn once at most, and a third of a group is none."""
    tasks = tuple(f"task {i}" for i in range(2000))
    sampler = RatioPreservingSampler(quota_rule="released", shortfall=shortfall)
    sampler.bind(tasks, 4)
    rng, dice = np.random.default_rng(0), Dice(dict.fromkeys(tasks, 0.5))

    kinds = set()
    for step in range(20):
        batch = sampler.new_batch(np.full(2000, 1 / 2000), step, rng)
        fill(batch, dice)
        kinds.add(batch.quotas is None)
        if batch.quotas is None:
            assert len(batch.groups) == 4
            assert batch.shortfall == 0
        else:
            assert sum(batch.quotas.values()) > 0
        sampler.close(batch, step)
    assert True in kinds


def test_released_quotas_that_all_round_to_0_fill_the_batch_from_any_task():
    """Of 400 tasks each is drawn once at most in 3 B draws, nearly always, and a third rounds to 0."""
    tasks = tuple(f"task {i}" for i in range(400))
    sampler = RatioPreservingSampler(quota_rule="released").bind(tasks, batch_size=4)
    dice, rng = Dice(dict.fromkeys(tasks, 0.5)), np.random.default_rng(0)

    batch = sampler.new_batch(np.full(400, 1 / 400), 1, rng)
    assert batch.quotas is None
    fill(batch, dice)
    assert batch.shortfall == 0
    assert len(batch.groups) == 4
