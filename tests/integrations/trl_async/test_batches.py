import json
import logging
from collections import Counter, defaultdict

import numpy as np
import pytest

from mtgrpo.core.types import Group
from mtgrpo.errors import RewardError, StateError

from .world import BATCH, GROUP, LATENCIES, Sample, World


@pytest.mark.parametrize("seed", [0, 1])
def test_shares_are_exact_whatever_comes_late_out_of_order_or_not_at_all(seed):
    world = World(failing=0.08, cancelled=0.08, seed=seed)
    world.run(60)
    for made in world.batches:
        assert len(made.samples) == BATCH * GROUP
        assert world.trained(made) == Counter({t: n for t, n in made.quotas.items() if n})
    counts = Counter[str]()
    for step in range(1, 61):
        for task in LATENCIES:
            counts["failed"] += world.maker.metrics(step).get(f"task/{task}/failed", 0)
    assert counts["failed"] > 0


def test_prompts_are_remembered_however_late_their_groups_come():
    world = World(failing=0.05, cancelled=0.05, remember=True)
    world.run(200)

    for made in world.batches:
        assert world.trained(made) == Counter({t: n for t, n in made.quotas.items() if n})
    memories = [world.maker.ledger.streams[task].memory for task in LATENCIES]
    chances = [memory.chance(row) for memory in memories for row in range(500)]
    assert min(chances) < 1  # some prompt that was all right or all wrong is passed over


def test_a_batch_has_whole_groups_side_by_side():
    world = World(failing=0.05)
    world.run(5)
    for made in world.batches:
        for start in range(0, len(made.samples), GROUP):
            assert len({sample.number for sample in made.samples[start : start + GROUP]}) == 1


def test_no_group_is_older_than_its_task_allows():
    bounds = {"fast": 1, "slow": 4, "rare": 2}
    world = World(bounds)
    world.run(60)
    oldest = defaultdict(int)
    for task, age in world.ages:
        oldest[task] = max(oldest[task], age)
    assert all(oldest[task] <= bounds[task] for task in bounds)
    assert oldest["slow"] > oldest["fast"]


def test_a_tighter_bound_costs_groups_of_slow_tasks_and_no_share():
    lost = {}
    for bound in (1, 6):
        world = World(bound)
        world.run(40)
        lost[bound] = sum(
            world.maker.metrics(step).get("task/slow/stale", 0) for step in range(33, 41)
        )
        assert all(
            world.trained(m) == Counter({t: n for t, n in m.quotas.items() if n})
            for m in world.batches
        )
    assert lost[1] > lost[6]


def test_a_task_that_never_comes_back_is_named_and_ends_the_run(caplog):
    world = World(dead=("rare",))
    with caplog.at_level(logging.WARNING, "mtgrpo"), pytest.raises(RewardError, match="failed"):
        world.run(60)
    starving = [r.getMessage() for r in caplog.records if "starves" in r.getMessage()]
    assert len(starving) == 1
    assert starving[0].startswith("task 'rare' starves: 16 prompts in a row did not come back")


def test_prompts_that_are_too_old_ahead_of_their_batch_starve_nobody(caplog):
    maker = World(bounds=1).maker
    ahead = [maker.next_prompt(version=0) for _ in range(12 * BATCH)]

    with caplog.at_level(logging.WARNING, "mtgrpo"):
        while not maker.fill():
            if maker.ledger.num_queued:
                maker.next_prompt(version=0)
            for number in maker.ledger.asked:
                task = maker.ledger.task(number)
                samples = [Sample(task, number, 1.0, np.ones(3))] * GROUP
                rewards = [1.0, *[0.0] * (GROUP - 1)]
                maker.take(number, Group.verified(task, rewards, payload=samples))
        maker.make()
        maker.fill()  # for the second step, all that is left is too old

    lost = Counter(ticket.task for ticket in ahead if not maker.awaits(ticket.number))
    assert max(lost.values()) > maker.watch.patience
    assert not caplog.messages
    assert maker.watch.starving == []


def test_short_batches_are_filled_up_with_samples_of_advantage_zero():
    world = World(one_round=True)
    world.run(20)
    padded = 0
    for made in world.batches:
        assert len(made.samples) == BATCH * GROUP
        padded += BATCH - sum(made.groups.values())
        without = [s for s in made.samples if not s.advantage]
        assert len(without) >= GROUP * (BATCH - sum(made.groups.values()))
    assert padded > 0


def test_steps_of_one_round_follow_the_weights_over_steps_whatever_comes_late():
    world = World(one_round=True, failing=0.1)
    weights, shares = Counter[str](), Counter[str]()

    class Noted(list):
        """A batch's figures are not kept for long."""

        def append(self, made):
            super().append(made)
            metrics = world.maker.metrics(made.step)
            for task in LATENCIES:
                weights[task] += metrics[f"task/{task}/weight"] / 150
                shares[task] += metrics[f"task/{task}/loss_share"] / 150

    world.batches = Noted()
    world.run(150)
    assert len(world.batches) == 150
    assert shares == pytest.approx(weights, abs=0.04)


def test_shares_made_in_the_loss_are_the_targets():
    """The weight of a task in TRL's loss, a mean over the tokens of each of two forward passes."""
    world = World(one_round=True)
    world.run(12)
    for made in world.batches[-6:]:
        metrics = world.maker.metrics(made.step)
        masses, before = Counter(), Counter()
        half = BATCH * GROUP // 2
        factor = {}
        for start in (0, half):
            part = made.samples[start : start + half]
            tokens = sum(s.completion_mask.sum() for s in part)
            for s in part:
                if any(o.advantage for o in made.samples if o.number == s.number):
                    before[s.task] += s.completion_mask.sum() / tokens
        for task in LATENCIES:
            before_share = before[task] / sum(before.values())
            assert metrics[f"task/{task}/loss_share_unscaled"] == pytest.approx(before_share)
            if before_share:
                factor[task] = metrics[f"task/{task}/loss_share"] / before_share
        for s in made.samples:
            if s.advantage > 0:
                masses[s.task] += 1
        # With factors the advantages of a group of 4 with 0 and 1 are multiples of the factor.
        for s in made.samples:
            if s.advantage:
                ratio = abs(s.advantage) / factor[s.task]
                assert min(abs(ratio - k) for k in (0.25, 0.5, 0.75)) < 1e-9
        assert masses


def test_a_resumed_maker_goes_on_with_the_weights_of_the_saved_step():
    world = World(failing=0.05)
    world.run(12)
    state = json.loads(json.dumps(world.maker.state_dict(10)))

    other = World()
    other.maker.load_state_dict(state)
    assert other.maker.ledger.mixer.step == 10
    assert not other.maker.ledger.missing
    other.version = 11
    other.run(10)
    for made in other.batches:
        assert other.trained(made) == Counter({t: n for t, n in made.quotas.items() if n})
    assert other.batches[0].step == 11


def test_a_state_that_is_not_kept_is_refused():
    world = World()
    world.run(12)
    with pytest.raises(StateError, match="steps 5 to 12 are"):
        world.maker.state_dict(2)
