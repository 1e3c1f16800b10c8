"""Prompts passed over: rarely enough, never for good, and without a trace in what is measured of the task."""

import json
import math
import random
import sys

import numpy as np
import pytest

from mtgrpo.core.filters import informative_filter, keep_all, lenient
from mtgrpo.core.prompt_memory import LEAST_CHANCE, MOST_PROMPTS, PromptMemory, fair_mean
from mtgrpo.core.prompts import PromptStream, remember_groups
from mtgrpo.core.types import Draw, Group
from mtgrpo.errors import StateError

SIZE, GROUP_SIZE = 300, 8


class World:
    """Prompts of fixed pass rates, half of them out of reach or solved; the policy may get better."""

    def __init__(self, seed=0, spread=5.0):
        rng = np.random.default_rng(seed)
        self.difficulty = rng.normal(0, spread, SIZE)
        self.dice = random.Random(seed)
        self.skill = 0.0

    def rates(self):
        return 1 / (1 + np.exp(self.difficulty - self.skill))

    def group(self, row):
        rate = 1 / (1 + np.exp(self.difficulty[row] - self.skill))
        correct = sum(self.dice.random() < rate for _ in range(GROUP_SIZE))
        return correct / GROUP_SIZE, 0 < correct < GROUP_SIZE


def ask(stream, world, count):
    """Informative groups, and the estimate of the task's accuracy."""
    informative, total, skipped, right = 0, 0.0, 0, 0
    for _ in range(count):
        (draw,) = stream.draw(1)
        accuracy, informs = world.group(draw.row)
        stream.memory.note(draw, accuracy, informs)
        informative += informs
        total += draw.corrected(accuracy)
        skipped += draw.num_skipped
        right += draw.skipped_right
    return informative, fair_mean(total, count, skipped, right)


def test_levels_by_hand():
    memory = PromptMemory(4)
    draw = Draw(2)
    assert (memory.chance(2), memory.predicted(2)) == (1.0, None)
    memory.note(draw, 0.0, False)
    assert memory.predicted(2) == 0.0
    assert memory.chance(2) == 1.0  # nothing shows yet that such prompts do not pay
    memory.note(draw, 0.0, False)  # asked again, in vain
    memory.note(Draw(0), 1.0, False)
    assert memory.predicted(0) == 1.0
    memory.note(Draw(1), 0.0, False)
    # Codes "once wrong": 1 informative of 2 (the first is the optimistic start); unknown: 1 of 4.
    weights = [1 - 1 / 256, (1 - 1 / 256) ** 2, (1 - 1 / 256) ** 3]
    usual = weights[2] / (weights[2] + weights[1] + weights[0] + 1)
    once = weights[0] / (weights[0] + 1)
    assert memory.chance(1) == min(1.0, once / usual) == 1.0
    for _ in range(30):
        memory.note(Draw(3), 0.4, True)
    assert memory.chance(1) == pytest.approx(once / ((usual * 3.97 + 29) / (3.97 + 29)), rel=0.05)
    memory.note(Draw(2, chance=0.5, predicted=0.0), 0.5, True)
    assert (memory.chance(2), memory.predicted(2)) == (1.0, None)


def test_wrong_after_right_starts_again():
    memory = PromptMemory(1)
    for accuracy, predicted in ((1.0, 1.0), (1.0, 1.0), (0.0, 0.0), (1.0, 1.0)):
        memory.note(Draw(0), accuracy, False)
        assert memory.predicted(0) == predicted


def test_a_group_that_could_not_be_scored_says_nothing():
    memory = PromptMemory(1)
    memory.note(Draw(0), float("nan"), False)
    assert memory.predicted(0) is None


def test_no_prompt_is_given_up():
    """Hopeless prompts are asked every eighth time, and come back for good once the policy can do them."""
    world, stream = World(spread=0.0), PromptStream("task", SIZE, remember=True)
    memory = stream.memory
    for row in range(0, SIZE, 2):  # half of them always pay, half never
        for _ in range(20):
            memory.note(Draw(row), 0.0, False)
            memory.note(Draw(row + 1), 0.5, True)
    assert memory.chance(0) == LEAST_CHANCE
    drawn = stream.draw(5 * SIZE)
    probes = [draw for draw in drawn if draw.row % 2 == 0]
    met = sum(draw.skipped_wrong for draw in drawn) + len(probes)
    assert len(probes) / met == pytest.approx(LEAST_CHANCE, abs=4 * (1 / 8 * 7 / 8 / met) ** 0.5)
    assert len({draw.row for draw in probes}) > 0.5 * SIZE / 2  # nine epochs
    ask(stream, world, 40 * SIZE)  # now every prompt has a pass rate of one half
    assert sum(memory.predicted(row) is not None for row in range(SIZE)) < 0.05 * SIZE


def test_it_saves_groups_and_the_estimate_of_the_task_stays_unbiased():
    """Twenty worlds: the mean of what is asked is far off, the estimate is not, with errors no larger than plain."""
    errors, naive, plain, share = [], [], [], []
    for seed in range(20):
        world, stream = World(seed), PromptStream("task", SIZE, seed, remember=True)
        ask(stream, world, 3 * SIZE)
        world.skill = 1.0  # the policy has moved: what the memory predicts is partly out of date
        informative, estimate = ask(stream, world, SIZE // 2)
        truth = world.rates().mean()
        errors.append(estimate - truth)
        rows = [d.row for d in stream.draw(SIZE // 2)]
        naive.append(world.rates()[rows].mean() - truth)
        other = PromptStream("task", SIZE, seed + 100)
        plain.append(np.mean([world.group(row)[0] for row in other.draw_rows(SIZE // 2)]) - truth)
        usual = np.mean([world.group(row)[1] for row in other.draw_rows(SIZE)])
        share.append(usual / (informative / (SIZE // 2)))
    assert np.mean(share) < 0.7
    assert abs(np.mean(errors)) < 3 * np.std(errors) / 20**0.5
    assert abs(np.mean(naive)) > 3 * abs(np.mean(errors))
    assert np.std(errors) < 1.5 * np.std(plain)


def test_a_prompt_counts_without_bias_whatever_its_prediction():
    """By enumeration: the expectation over the coin of what a prompt counts is its value."""
    for chance in (1 / 8, 0.3, 1.0):
        for predicted in (0.0, 1.0):
            for value in (0.0, 0.3, 1.0):
                asked = Draw(0, chance, predicted).corrected(value)
                assert chance * asked + (1 - chance) * predicted == pytest.approx(value)
    assert Draw(0).corrected(0.3) == 0.3
    assert Draw(0, skipped_wrong=2, skipped_right=3).num_skipped == 5


@pytest.mark.parametrize("num_asked", [1, 2, 5])
def test_the_mean_is_unbiased_for_any_number_of_groups(num_asked):
    """Exactly: prompts asked with chance .3, then worth .8, are passed over else, and right half of the time."""
    chance, value, right = 0.3, 0.8, 0.5
    mean = ratio = 0.0
    for skipped in range(120):
        probability = (
            math.comb(num_asked + skipped - 1, skipped)
            * chance**num_asked
            * (1 - chance) ** skipped
        )
        for k in range(skipped + 1):
            part = probability * math.comb(skipped, k) * right**k * (1 - right) ** (skipped - k)
            mean += part * fair_mean(num_asked * value, num_asked, skipped, k)
            ratio += part * (num_asked * value + k) / (num_asked + skipped)
    assert mean == pytest.approx(chance * value + (1 - chance) * right, abs=1e-9)
    assert ratio > mean + 0.005, "the plain ratio would do as well"


def test_tally():
    world, stream = World(), PromptStream("task", SIZE, remember=True)
    usual = ask(stream, world, SIZE)[0] / SIZE
    first = stream.memory.end_step()
    assert (first.asked, first.skipped, first.probes) == (SIZE, 0, 0)
    assert first.acceptance_unskipped == first.informative / first.asked == usual
    ask(stream, world, 4 * SIZE)
    later = stream.memory.end_step()
    assert later.asked == 4 * SIZE
    assert later.skipped > SIZE
    assert 0 < later.probes < later.asked
    assert later.acceptance_unskipped == pytest.approx(usual, abs=0.1)
    assert later.informative / later.asked > 1.5 * usual
    assert stream.memory.end_step().acceptance_unskipped == 0


@pytest.mark.parametrize("pieces", [1, 7])
def test_resumed_equals_uninterrupted(pieces):
    def drive(stream, world, interrupt):
        drawn = []
        for i in range(900):
            drawn += stream.draw(1)
            stream.memory.note(drawn[-1], *world.group(drawn[-1].row))
            if interrupt and i % (900 // pieces) == 450 // pieces:
                state = json.loads(json.dumps(stream.state_dict()))
                stream = PromptStream("task", SIZE, 3, remember=True)
                stream.load_state_dict(state)
        return drawn, stream.state_dict()

    plain = drive(PromptStream("task", SIZE, 3, remember=True), World(), False)
    assert drive(PromptStream("task", SIZE, 3, remember=True), World(), True) == plain
    assert any(draw.num_skipped for draw in plain[0])


def test_groups_are_remembered_as_the_filter_sees_them():
    streams = {"a": PromptStream("a", 5, remember=True), "b": PromptStream("b", 5)}
    groups = [
        Group.verified("a", (0.1, 0.0), draw=Draw(0)),  # the format differs, nothing is right
        Group.verified("a", (1.0, 1.0), draw=Draw(1)),
        Group.verified("a", (1.0, 0.0), draw=Draw(2)),
        Group.verified("a", (0.0, 0.0)),  # not drawn from the stream
        Group.verified("b", (0.0, 0.0), draw=Draw(3)),
    ]
    remember_groups(streams, groups, informative_filter(keep_all))
    assert [streams["a"].memory.predicted(row) for row in range(5)] == [0.0, 1.0, None, None, None]
    assert streams["a"].memory.end_step().asked == 3
    remember_groups(streams, groups[:1], lenient)
    assert streams["a"].memory.predicted(0) is None
    assert informative_filter(lenient) is lenient


def test_without_a_memory_the_stream_is_what_it_was():
    plain, remembering = PromptStream("task", 50), PromptStream("task", 50, remember=True)
    assert plain.draw_rows(120) == remembering.draw_rows(120)  # nothing was told
    assert plain.draw(1) == [Draw(plain._row_at(120))]
    assert "memory" not in plain.state_dict()


@pytest.mark.parametrize("saved", [True, False])
def test_a_state_with_another_setting_is_refused(saved):
    state = PromptStream("task", 5, remember=saved).state_dict()
    with pytest.raises(StateError, match="resume with the same setting"):
        PromptStream("task", 5, remember=not saved).load_state_dict(state)


def test_a_damaged_or_foreign_state_is_refused():
    state = PromptMemory(5).state_dict()
    with pytest.raises(StateError, match="saved for 5 prompts, now 6"):
        PromptMemory(6).load_state_dict(state)
    with pytest.raises(StateError, match="damaged"):
        PromptMemory(5).load_state_dict({**state, "codes": "AAAA"})


def test_memory_is_bounded_and_the_state_compact():
    rng, memory = random.Random(0), PromptMemory(10_000)
    for row in range(10_000):
        for _ in range(rng.randrange(3)):
            memory.note(Draw(row), rng.choice([0.0, 1.0]), False)
    assert len(json.dumps(memory.state_dict())) < 6000
    huge = PromptMemory(10**9)
    assert sys.getsizeof(huge._codes) <= MOST_PROMPTS + 100
    huge.note(Draw(10**9 - 1), 0.0, False)
    assert huge.predicted(10**9 - 1) is None
    assert len(json.dumps(huge.state_dict())) < 10_000


def test_the_coin_is_fair_and_independent_of_its_neighbours():
    stream = PromptStream("task", 10, seed=5)
    throws = np.array([stream._coin(i) for i in range(20_000)])
    assert throws.min() >= 0
    assert throws.max() < 1
    counts = np.histogram(throws, bins=16, range=(0, 1))[0]
    assert ((counts - 1250) ** 2 / 1250).sum() < 40  # chi-squared with 15 degrees
    pairs = np.histogram2d(throws[:-1], throws[1:], bins=4, range=[[0, 1], [0, 1]])[0].ravel()
    assert ((pairs - 1250) ** 2 / 1250).sum() < 40
    assert (
        stream._coin(3)
        == PromptStream("task", 10, seed=5)._coin(3)
        != PromptStream("task", 10, seed=6)._coin(3)
    )


def test_more_or_fewer_prompts_keep_what_is_known_of_the_first() -> None:
    memory = PromptMemory(3)
    for row in range(3):
        memory.note(Draw(row), 1.0, is_informative=False)

    memory.resize(2)
    memory.resize(4)
    assert [memory.predicted(row) for row in range(4)] == [1.0, 1.0, None, None]
