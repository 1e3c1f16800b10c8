import json
import math
import random
from collections import Counter

import numpy as np
import pytest

from mtgrpo.core.batch import Batch
from mtgrpo.core.planners import OversampledRounds
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.core.types import Group, Verdict
from mtgrpo.errors import ConfigError, ShortfallError, StateError
from tests.core.driver import FORMAT, MIXED, RATES, RIGHT, TASKS, WRONG, Dice, fill


def new_batch(batch_size=10, weights=(0.5, 0.3, 0.2), **arguments) -> Batch:
    sampler = RatioPreservingSampler(**arguments).bind(TASKS, batch_size)
    return sampler.new_batch(np.array(weights), 0, np.random.default_rng(0))


def told(batch: Batch, *rewards_of: tuple[str, tuple[float, ...]]) -> None:
    batch.tell(
        [Group.verified(task, rewards, uid=i) for i, (task, rewards) in enumerate(rewards_of)]
    )


A, B, C = TASKS


def test_two_rounds_by_hand():
    batch = new_batch()
    assert batch.quotas == {A: 5, B: 3, C: 2}
    assert batch.ask() == {A: 5, B: 3, C: 2}  # nothing is known yet: no inflation
    assert not batch.done
    told(batch, *[(A, MIXED)] * 5, (B, MIXED), (B, WRONG), (B, RIGHT), (C, FORMAT), (C, FORMAT))
    # All 7/11, the family (6 + 14/11) / 12 = 20/33; b: 2 missing at (1 + 40/33) / 5 = .442, c: 2 at (40/33) / 4 = .303.
    assert batch.ask() == {B: 5, C: 7}
    told(batch, *[(B, MIXED)] * 5, *[(C, MIXED)] * 7)
    assert batch.ask() == {}
    assert batch.done
    assert Counter(g.task for g in batch.groups) == {A: 5, B: 3, C: 2}
    assert Counter(g.task for g in batch.surplus) == {B: 3, C: 5}
    assert batch.shortfall == 0
    assert batch.counts.num_generated == 22
    assert batch.counts.num_rollouts == 88
    assert batch.counts.num_informative == {A: 5, B: 6, C: 7}
    assert {t: dict(r) for t, r in batch.counts.dropped.items()} == {
        B: {"all_wrong": 1, "all_correct": 1},
        C: {"all_wrong": 2},
    }
    # Measured before the filter: b has 6 groups of .275, one of 0 and one of 1.
    assert batch.counts.totals().mean_rewards() == pytest.approx(
        {A: 0.275, B: 2.65 / 8, C: (7 * 0.275 + 2 * 0.05) / 9}
    )
    assert batch.counts.totals().mean_accuracies() == pytest.approx(
        {A: 0.25, B: 2.5 / 8, C: 1.75 / 9}
    )
    assert [r.num_groups for r in batch.counts.rounds] == [{A: 5, B: 3, C: 2}, {B: 5, C: 7}]


def test_ask_repeats_what_is_outstanding():
    batch, dice = new_batch(), Dice(RATES)
    request = batch.ask()
    before = json.dumps(batch.state_dict())
    assert batch.ask() == batch.ask() == request
    assert json.dumps(batch.state_dict()) == before
    batch.tell(dice.rollout({A: 2, B: 1}))
    assert batch.ask() == {A: 3, B: 2, C: 2}
    fill(batch, dice)
    assert batch.ask() == batch.ask() == {}


def test_pieces_and_another_order_give_the_same_batch():
    whole, pieces, dice, rng = new_batch(32), new_batch(32), Dice(RATES), random.Random(0)
    while request := whole.ask():
        groups = dice.rollout(request)
        assert pieces.ask() == request
        whole.tell(groups)
        shuffled = rng.sample(groups, len(groups))
        while shuffled:
            count = rng.randint(1, 5)
            pieces.tell(shuffled[:count])
            shuffled = shuffled[count:]
            assert sum(pieces.ask().values()) == len(shuffled) or not shuffled
    assert pieces.ask() == {}
    for get in (lambda b: b.groups, lambda b: b.surplus, lambda b: b.padding(99)):
        assert get(pieces) == get(whole)
    assert len(whole.surplus) > 3
    for means in ("mean_rewards", "mean_accuracies"):
        assert getattr(pieces.counts.totals(), means)() == pytest.approx(
            getattr(whole.counts.totals(), means)()
        )


@pytest.mark.parametrize("uid", [int, str])
def test_answers_that_come_first_are_not_preferred(uid):
    """Easy prompts have short answers: an engine that tells them first trains on the same groups."""
    arguments = {"weights": (1.0, 0.0, 0.0), "planner": OversampledRounds(4), "max_resamples": 0}
    easy, hard = (1.0, 1.0, 1.0, 0.0), (0.0, 0.0, 1.0, 0.0)
    groups = [Group.verified(A, hard if i % 2 else easy, uid=uid(i)) for i in range(40)]

    batches = [new_batch(10, **arguments) for _ in range(3)]
    for batch, told in zip(
        batches, (groups, groups[::2] + groups[1::2], groups[::-1]), strict=True
    ):
        assert batch.ask() == {A: 40}
        for group in told:
            batch.tell([group])
            state = json.loads(json.dumps(batch.state_dict()))
            batch.load_state_dict(state)  # the order is kept over a resume in mid-round
        assert batch.ask() == {}

    first, *others = ([group.uid for group in batch.groups] for batch in batches)
    assert others == [first, first]
    assert 2 <= sum(group.mean_reward > 0.5 for group in batches[1].groups) <= 8


def test_groups_without_uids_stay_as_they_were_told():
    batch = new_batch(4, (1.0, 0.0, 0.0), max_resamples=0, planner=OversampledRounds(2))
    batch.ask()
    told = [Group.verified(A, (1.0, 0.0), payload=i) for i in range(8)]
    batch.tell(told)
    batch.ask()
    assert [group.payload for group in batch.groups + batch.surplus] == list(range(8))


def test_refused_groups_leave_the_batch_as_it_was():
    def grumpy(group: Group) -> Verdict:
        if group.uid == "bad":
            raise RuntimeError("cannot judge")
        return Verdict(True)

    batch = new_batch(group_filter=grumpy)
    good = Group.verified(A, MIXED)
    with pytest.raises(StateError, match=f"1 group of task {A!r}, outstanding: 0"):
        batch.tell([good])  # before the first ask
    batch.ask()
    batch.tell([good])
    before = json.dumps(batch.state_dict())
    for groups, error, message in (
        ([good] * 5, StateError, f"5 groups of task {A!r}, outstanding: 4"),
        (
            [good, Group.verified("arc/1", MIXED)],
            ConfigError,
            "unknown task 'arc/1' .did you mean 'arc/1d'",
        ),
        ([good, Group.verified(B, MIXED, uid="bad")], RuntimeError, "cannot judge"),
    ):
        with pytest.raises(error, match=message):
            batch.tell(groups)
        assert json.dumps(batch.state_dict()) == before
    batch.tell([])
    batch.tell(iter([good] * 4))  # any iterable
    assert A not in batch.ask()


def test_groups_wait_for_the_end():
    batch = new_batch()
    for attempt in ("groups", "shortfall"):
        with pytest.raises(StateError, match="still being filled"):
            getattr(batch, attempt)
    assert batch.surplus == []


def test_no_more_groups_after_the_end():
    batch = new_batch()
    fill(batch, Dice(RATES))
    with pytest.raises(StateError, match="outstanding: 0"):
        batch.tell([Group.verified(A, MIXED)])


def missing_c(policy: str) -> Batch:
    batch = new_batch(shortfall=policy, max_resamples=1, planner=OversampledRounds())
    dice = Dice({A: 1.0, B: 1.0, C: 0.0})
    fill(batch, dice)
    return batch


def test_shortfall_surplus_fills_up_with_other_tasks():
    batch = missing_c("surplus")
    realized = Counter(g.task for g in batch.groups)
    assert len(batch.groups) == 10
    assert batch.shortfall == 2
    assert realized[A] >= 5
    assert realized[B] >= 3
    assert realized[C] == 0
    assert [g.task for g in batch.groups[8:]]  # quotas come first, the filling after them
    assert Counter(g.task for g in batch.groups[:8]) == {A: 5, B: 3}


def test_shortfall_smaller_trains_on_fewer():
    batch = missing_c("smaller")
    assert Counter(g.task for g in batch.groups) == {A: 5, B: 3}
    assert batch.shortfall == 2
    assert len(batch.surplus) > 0


def test_shortfall_fail_says_what_is_missing_and_the_ways_out():
    with pytest.raises(ShortfallError) as error:
        missing_c("fail")
    assert str(error.value) == (
        "batch: 2 of 10 groups missing after 2 rounds {'arc/1d': 2}; "
        "allow more with max_resamples, or choose shortfall='surplus' or 'smaller'"
    )


def test_padding_prefers_groups_without_gradient():
    batch = new_batch(4, (1.0, 0.0, 0.0), max_resamples=0, planner=OversampledRounds(2))
    batch.ask()
    nan = math.nan
    rewards = [
        FORMAT,
        WRONG,
        (nan, 0.1, 0.0, 0.0),
        RIGHT,
        MIXED,
        (nan, nan, nan, nan),
        FORMAT,
        WRONG,
    ]
    told(batch, *[(A, r) for r in rewards])
    batch.ask()
    assert [g.uid for g in batch.groups] == [4]
    # The first four dropped are kept (a batch's worth): constant ones first, then those that vary.
    assert [g.uid for g in batch.padding(10)] == [1, 3, 0, 2]
    assert [g.uid for g in batch.padding(1)] == [1]
    assert batch.padding(0) == []


def test_unscorable_completions():
    batch = new_batch(2, (1.0, 0.0, 0.0), max_resamples=0, planner=OversampledRounds(2))
    batch.ask()
    nan = math.nan
    told(batch, (A, (nan, nan)), (A, (nan, 1.0)), (A, (nan, 1.0, 0.0)), (A, (0.0, 0.0)))
    batch.ask()
    assert [g.uid for g in batch.groups] == [2]
    assert batch.counts.dropped[A] == {"unscorable": 2, "all_wrong": 1}
    assert batch.counts.totals().num_groups == {A: 4}
    assert batch.counts.totals().num_scored == {A: 3}
    assert batch.counts.totals().mean_rewards() == pytest.approx({A: 0.5})  # 1, .5 and 0
    assert batch.counts.totals().mean_accuracies() == pytest.approx({A: 0.5})
    reloaded = new_batch(2)
    reloaded.load_state_dict(json.loads(json.dumps(batch.state_dict(), allow_nan=False)))
    assert str(reloaded.groups) == str(batch.groups)


def test_acceptance_is_observed_once_a_round_when_it_is_complete():
    batch, dice = new_batch(), Dice({A: 0.0, B: 0.0, C: 0.0})
    batch.ask()
    batch.tell(dice.rollout({A: 5, B: 3, C: 1}))
    assert batch._rules.acceptance.rates().tolist() == [1, 1, 1]
    batch.tell(dice.rollout({C: 1}))
    assert batch._rules.acceptance.rates() == pytest.approx([1 / 231, 1 / 165, 1 / 132])


def test_payloads_come_back_by_uid():
    batch = new_batch()
    while request := batch.ask():
        batch.tell(
            Group.verified(
                task,
                MIXED if i % 2 else WRONG,
                uid=f"{task} {i} {len(batch.counts.rounds)}",
                payload=object(),
            )
            for task, n in request.items()
            for i in range(n)
        )
    payloads = {g.uid: g.payload for g in batch.groups + batch.surplus + batch.padding(99)}
    restored = new_batch()
    restored.load_state_dict(json.loads(json.dumps(batch.state_dict())))
    assert all(g.payload is None for g in restored.groups)
    restored.attach(payloads)
    for get in (lambda b: b.groups, lambda b: b.surplus, lambda b: b.padding(99)):
        assert [g.payload for g in get(restored)] == [g.payload for g in get(batch)]
    restored.attach({})  # unknown uids keep what they have
    assert restored.groups[0].payload is batch.groups[0].payload


def test_completions_of_dropped_groups_are_let_go():
    batch = new_batch(4, max_resamples=10)
    fill(batch, Dice(dict.fromkeys(TASKS, 0.0)))
    assert sum(batch.counts.dropped[A].values()) > 4
    assert len(batch.padding(1000)) == 4
