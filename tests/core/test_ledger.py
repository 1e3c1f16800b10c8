"""The ledger between an engine that fetches prompts and the mixer; needs no engine and no torch."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from mtgrpo.core.ledger import RolloutLedger
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.core.prompts import PromptStream
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.core.tickets import Ticket
from mtgrpo.core.types import Group
from mtgrpo.core.weightings import Fixed, ImprovementAware
from mtgrpo.errors import ConfigError, RewardError, StateError

TASKS = ("easy", "even", "hard")
ACCEPTED = {"easy": 0.3, "even": 0.9, "hard": 0.2}


def make(batch_size: int = 8, **options) -> RolloutLedger:
    weighting = options.pop("weighting", None) or ImprovementAware(lam=1.0, weight_lr=0.3)
    mixer = TaskMixer(
        TASKS,
        batch_size=batch_size,
        weighting=weighting,
        sampler=RatioPreservingSampler(**options),
        seed=3,
    )
    return RolloutLedger(mixer, {name: PromptStream(name, 50, 3) for name in TASKS})


def group(ticket: Ticket, salt: int = 0) -> Group:
    """The same for the same ticket, whenever it is asked."""
    dice = random.Random(f"{ticket}{salt}")
    informative = dice.random() < ACCEPTED[ticket.task]
    wrong = 1.0 if ticket.task == "easy" else 0.0
    return Group.verified(
        ticket.task, (1.0, 0.0) if informative else (wrong, wrong), uid=f"u{ticket.number}"
    )


def step(
    ledger: RolloutLedger, first: int = 8, salt: int = 0
) -> tuple[list[Ticket], list[Group], dict[str, float]]:
    """One step as verl does it: `first` prompts without being asked, then whatever is queued, until done."""
    tickets = [ledger.next_prompt() for _ in range(first)]
    arrived = {t.number: group(t, salt) for t in tickets}
    while not ledger.done:
        for _ in range(ledger.num_queued):
            tickets.append(ledger.next_prompt())
            arrived[tickets[-1].number] = group(tickets[-1], salt)
        ledger.settle(arrived)
    batch = ledger.mixer.batch
    assert batch is not None
    return tickets, batch.groups, ledger.close()


def test_a_bank_is_refused():
    with pytest.raises(
        ConfigError, match=r"ledger: the sampler's max_staleness=2 .*set max_staleness=0"
    ):
        make(max_staleness=2)


def test_probes_are_refused():
    sampler = OneRoundSampler(probes="auto")
    mixer = TaskMixer(["easy"], batch_size=4, sampler=sampler)
    with pytest.raises(ConfigError, match="ledger: the sampler's probes='auto' need groups that"):
        RolloutLedger(mixer, {"easy": PromptStream("easy", 8, seed=0)})


def test_shares_are_exact_although_verl_fetches_by_number():
    ledger = make(weighting=Fixed({"easy": 0.5, "even": 0.25, "hard": 0.25}), max_resamples=40)
    for _ in range(5):
        tickets, groups, metrics = step(ledger)
        assert Counter(g.task for g in groups) == {"easy": 4, "even": 2, "hard": 2}
        assert metrics["sampler/shares_met"] == 1.0
        assert metrics["sampler/groups_generated"] == len(tickets)
        assert (
            metrics["sampler/failed"]
            == metrics["sampler/stale"]
            == metrics["sampler/discarded"]
            == 0
        )


def test_every_row_of_a_task_comes_once_per_epoch():
    ledger = make(
        batch_size=5, weighting=Fixed({"easy": 0.2, "even": 0.6, "hard": 0.2}), group_filter="none"
    )
    rows = [t.row for _ in range(40) for t in step(ledger, first=5)[0] if t.task == "even"]
    assert len(rows) >= 100
    assert sorted(rows[:50]) == sorted(rows[50:100]) == list(range(50))


def test_groups_are_told_in_the_order_of_handing_out_whatever_the_order_of_arrival():
    one, two = make(), make()
    for _ in range(4):
        a = [one.next_prompt() for _ in range(8)]
        b = [two.next_prompt() for _ in range(8)]
        while not one.done:
            a += [one.next_prompt() for _ in range(one.num_queued)]
            b += [two.next_prompt() for _ in range(two.num_queued)]
            assert a == b
            one.settle({t.number: group(t) for t in a})
            two.settle({t.number: group(t) for t in reversed(b)})
        assert one.mixer.batch is not None
        assert two.mixer.batch is not None
        assert [g.uid for g in one.mixer.batch.groups] == [g.uid for g in two.mixer.batch.groups]
        assert one.close() == two.close()


def drive(
    ledger: RolloutLedger, steps: int, ahead: int, salt: int = 0
) -> Iterator[tuple[list[object], dict[str, float]]]:
    """An engine that fetches `ahead` prompts more than it is asked for; yields what each step trained on."""
    waiting = [
        Ticket(number, ledger.task(number) or "", 0) for number in sorted(ledger.missing)
    ]  # those of a checkpoint
    for _ in range(steps):
        waiting += [ledger.next_prompt() for _ in range(ahead)]
        while not ledger.done:
            waiting += [ledger.next_prompt() for _ in range(ledger.num_queued)]
            for ticket in waiting:
                ledger.take(ticket.number, group(Ticket(ticket.number, ticket.task, 0), salt))
            waiting = []
            ledger.settle()
        uids = [g.uid for g in ledger.batch.groups]
        yield uids, ledger.close()


def test_resumed_equals_uninterrupted_at_every_moment():
    steady = make()
    history, expected = [json.dumps(steady.state_dict())], []
    for found in drive(steady, 4, ahead=5):
        expected.append(found)
        history.append(json.dumps(steady.state_dict()))
    for step, text in enumerate(history[:-1]):
        resumed = make()
        resumed.load_state_dict(json.loads(text))
        # The groups ahead that had arrived are taken in again by `drive`.
        assert list(drive(resumed, 4 - step, ahead=5)) == expected[step:]


def test_a_state_in_the_middle_of_a_round_continues_with_the_same_tickets():
    steady = make()
    tickets = [steady.next_prompt() for _ in range(6)]
    steady.take(tickets[0].number, group(tickets[0]))
    resumed = make()
    resumed.load_state_dict(json.loads(json.dumps(steady.state_dict())))
    assert resumed.missing == {t.number for t in tickets}, "what had arrived is taken in again"
    assert resumed.asked == steady.asked
    assert resumed.num_queued == steady.num_queued
    assert [resumed.next_prompt() for _ in range(9)] == [steady.next_prompt() for _ in range(9)]


def test_prompts_ahead_follow_the_weights_and_serve_the_next_request_oldest_first():
    weighting = Fixed({"easy": 0.5, "even": 0.25, "hard": 0.25})
    ledger = make(weighting=weighting, group_filter="none", max_resamples=0)
    asked = [ledger.next_prompt() for _ in range(8)]
    ahead = [ledger.next_prompt() for _ in range(8)]
    assert ledger.asked == {t.number for t in asked}
    assert Counter(t.task for t in ahead) == {"easy": 4, "even": 2, "hard": 2}
    ledger.settle({t.number: group(t) for t in asked})
    assert ledger.done
    ledger.close()
    extra = ledger.next_prompt()  # opens the next batch, which needs nothing new
    assert ledger.asked == {t.number for t in ahead}
    assert ledger.num_queued == 0
    assert ledger.task(extra.number) is not None
    assert extra.number not in ledger.asked


def test_prompts_ahead_are_counted_when_they_are_thrown_away():
    ledger = make(group_filter="none", max_resamples=0)
    tickets = [ledger.next_prompt() for _ in range(11)]
    ledger.settle({t.number: group(t) for t in tickets})
    ledger.discard_ahead()
    assert ledger.close()["sampler/discarded"] == 3
    assert all(ledger.task(t.number) is None for t in tickets)


def test_failed_groups_are_replaced_by_prompts_of_their_task():
    ledger = make(
        weighting=Fixed({"easy": 0.5, "even": 0.25, "hard": 0.25}),
        group_filter="none",
        max_resamples=0,
    )
    tickets = [ledger.next_prompt() for _ in range(8)]
    lost = [t for t in tickets if t.task == "hard"]
    ledger.settle({t.number: group(t) for t in tickets if t not in lost})
    assert not ledger.done
    again = [ledger.next_prompt() for _ in range(ledger.num_queued)]
    assert [t.task for t in again] == ["hard", "hard"]
    assert not {t.row for t in again} & {t.row for t in lost}
    ledger.settle({t.number: group(t) for t in again})
    metrics = ledger.close()
    assert metrics["sampler/failed"] == 2
    assert metrics["sampler/groups_generated"] == 8


def test_endless_failures_stop_the_run():
    ledger = make()

    def fail_for_ever() -> None:
        for _ in range(20):
            ledger.next_prompt()
            ledger.settle({})

    with pytest.raises(
        RewardError, match=r"step 0: 9 of 9 groups failed, at most half may; .*Error in _run_prompt"
    ):
        fail_for_ever()
    ledger = make()
    for _ in range(8):
        ledger.give_up([ledger.next_prompt().number], "failed")
    with pytest.raises(RewardError, match=r"9 of 9 groups failed"):
        ledger.give_up([ledger.next_prompt().number], "failed")


def test_a_small_share_of_failures_stops_no_run_however_many_prompts_a_step_needs():
    ledger = make(
        weighting=Fixed({"easy": 0.0, "even": 0.0, "hard": 1.0}), batch_size=20, max_resamples=60
    )
    for _ in range(3):
        while not ledger.done:
            for _ in range(ledger.num_queued or 1):
                ticket = ledger.next_prompt()
                if ticket.number % 4 == 0:
                    ledger.give_up([ticket.number], "failed")
                else:
                    ledger.take(ticket.number, group(ticket))
            if ledger.is_complete:
                ledger.settle()
        metrics = ledger.close()
        assert metrics["sampler/shares_met"] == 1.0
        assert metrics["sampler/failed"] > 20  # more than a batch, a quarter of what was asked


def test_stale_groups_are_given_up_and_replaced_at_once():
    weighting = Fixed({"easy": 0.5, "even": 0.25, "hard": 0.25})
    ledger = make(weighting=weighting, group_filter="none", max_resamples=0)
    tickets = [ledger.next_prompt() for _ in range(8)]
    lost = next(t for t in tickets if t.task == "easy")
    ledger.give_up([lost.number, 999], "stale")
    assert ledger.num_queued == 1
    assert ledger.next_prompt().task == "easy"
    # With a prompt of its task ahead, that one is asked for instead.
    ahead = [ledger.next_prompt() for _ in range(8)]
    spare = next(t for t in ahead if t.task == "hard")
    ledger.give_up([next(t for t in tickets if t.task == "hard").number], "stale")
    assert ledger.num_queued == 0
    assert spare.number in ledger.asked
    assert not ledger.take(lost.number, group(lost)), "too late"
    ledger.settle({t.number: group(t) for t in [*tickets, *ahead, Ticket(8, "easy", 0)]})
    metrics = ledger.close()
    assert metrics["sampler/stale"] == 2
    assert metrics["sampler/failed"] == 0


def test_a_round_is_told_only_when_all_of_it_is_here():
    ledger = make(weighting=Fixed({"easy": 0.5, "even": 0.25, "hard": 0.25}))
    assert not ledger.is_complete, "no batch is open"
    tickets = [ledger.next_prompt()]
    tickets += [ledger.next_prompt() for _ in range(ledger.num_queued)]
    for ticket in reversed(tickets):
        assert not ledger.is_complete
        assert ledger.take(ticket.number, group(ticket))
        assert ledger.take(ticket.number, group(ticket)), "twice is once"
    assert ledger.is_complete
    assert ledger.missing == frozenset()
    assert list(ledger.arrived) == [t.number for t in reversed(tickets)]
    with pytest.raises(StateError, match=r"ticket 0 is of task '.*', its group of 'other'"):
        ledger.take(0, Group("other", (0.0, 1.0)))


def test_tickets_of_cancelled_groups_are_cleared():
    weighting = Fixed({"easy": 0.5, "even": 0.25, "hard": 0.25})
    ledger = make(weighting=weighting, group_filter="none", max_resamples=0)
    first = [ledger.next_prompt() for _ in range(12)]
    in_flight = {t.number for t in first[:8]}
    ledger.give_up(ledger.missing - in_flight, "stale")  # the engine dropped four without a word
    ledger.settle({t.number: group(t) for t in first[:8]})
    assert ledger.close()["sampler/stale"] == 4
    assert ledger.missing == frozenset()

    old = [ledger.next_prompt() for _ in range(8 + 20)][8:]
    for age in range(3):
        open_now = sorted(ledger.asked)
        ledger.settle({n: Group(ledger.task(n) or "", (0.0, 1.0)) for n in open_now})
        ledger.close()
        assert ledger.expire(max_age=2) == frozenset() or age == 2
        for _ in range(8):
            ledger.next_prompt()
    assert not ledger.missing & {t.number for t in old}
    with pytest.raises(
        ConfigError, match=r"unknown reason 'lost'.*allowed: discarded, failed, stale"
    ):
        ledger.give_up([1], "lost")


def remembering(**options) -> RolloutLedger:
    made = make(**options)
    streams = {name: PromptStream(name, 20, 3, remember=True) for name in TASKS}
    return RolloutLedger(made.mixer, streams)


def test_prompts_whose_groups_were_constant_are_passed_over():
    weights = {"easy": 0.5, "even": 0.25, "hard": 0.25}
    ledger, asked = remembering(weighting=Fixed(weights)), Counter[bool]()
    skipped = 0.0
    for i in range(40):
        tickets = [ledger.next_prompt() for _ in range(8)]
        while not ledger.done:
            tickets += [ledger.next_prompt() for _ in range(ledger.num_queued)]
            rewards = {t.number: (1.0, 0.0) if t.row % 2 else (0.0, 0.0) for t in tickets}
            ledger.settle({t.number: Group.verified(t.task, rewards[t.number]) for t in tickets})
        skipped += ledger.close()["task/hard/prompts_skipped_rate"]
        if i >= 20:
            asked.update(bool(ticket.row % 2) for ticket in tickets)

    assert skipped / 40 > 0.2
    assert asked[True] > 2 * asked[False], "those that never inform are asked rarely"


def test_a_memory_goes_on_with_the_tickets_that_are_out():
    steady = remembering()
    for _ in range(4):
        step(steady)
    ahead = [steady.next_prompt() for _ in range(30)]

    resumed = remembering()
    resumed.load_state_dict(json.loads(json.dumps(steady.state_dict())))
    for ledger in (steady, resumed):
        while not ledger.done:
            ahead_now = [ledger.next_prompt() for _ in range(ledger.num_queued)]
            ledger.settle({t.number: group(t) for t in (*ahead, *ahead_now)})
        ledger.close()
    assert resumed.state_dict() == steady.state_dict()


def one_round(weights: dict[str, float]) -> RolloutLedger:
    mixer = TaskMixer(
        TASKS, batch_size=16, weighting=Fixed(weights), sampler=OneRoundSampler(), seed=3
    )
    return RolloutLedger(mixer, {name: PromptStream(name, 50, 3) for name in TASKS})


def test_one_round_is_a_step_and_shares_are_owed_until_they_are_paid():
    weights = {"easy": 0.5, "even": 0.25, "hard": 0.25}
    ledger, shares = one_round(weights), Counter[str]()
    for _ in range(60):
        tickets, groups, metrics = step(ledger, first=16)
        assert len(tickets) == metrics["sampler/groups_generated"] == 16
        assert all(group.accuracies in ((1.0, 0.0),) for group in groups)
        for task in TASKS:
            shares[task] += metrics[f"task/{task}/realized_ratio"]
    assert sum(shares.values()) == pytest.approx(60)


def test_ahead_of_one_round_is_what_a_round_asks_of_each_task():
    weights = {"easy": 0.5, "even": 0.25, "hard": 0.25}
    ledger = one_round(weights)
    for _ in range(8):
        step(ledger, first=16)
    rates = ledger.mixer.sampler.acceptance.rates()
    opening = [ledger.next_prompt() for _ in range(16)]
    ahead = Counter(ledger.next_prompt().task for _ in range(64))
    needed = ledger.batch.prompts_needed(np.array(list(weights.values())), rates)

    assert len(opening) == 16
    assert needed.sum() == pytest.approx(16)
    for task, need in zip(TASKS, needed, strict=True):
        assert ahead[task] == pytest.approx(4 * need, abs=1)


def test_states_of_other_tasks_rows_and_versions_are_refused():
    state = make().state_dict()
    with pytest.raises(StateError, match="version 7"):
        make().load_state_dict({**state, "version": 7})
    mixer = TaskMixer(("a", "b"), batch_size=8)
    with pytest.raises(
        StateError, match=r"saved for tasks \['easy', 'even', 'hard'\], now \['a', 'b'\]"
    ):
        RolloutLedger(mixer, {n: PromptStream(n, 5) for n in "ab"}).load_state_dict(state)
    other = make()
    other.streams["hard"] = PromptStream("hard", 51, 3)
    with pytest.raises(StateError, match="saved size 50, now 51"):
        other.load_state_dict(state)
    with pytest.raises(StateError, match="both need the same tasks in the same order"):
        RolloutLedger(mixer, {})
    with pytest.raises(StateError, match="no batch is open; next_prompt"):
        make().settle({})
