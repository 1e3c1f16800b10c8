"""The ledger between an engine that fetches prompts and the mixer; needs no engine and no torch."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from mtgrpo.core.ledger import RolloutLedger, Ticket
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.prompts import PromptStream
from mtgrpo.core.sampler import RatioPreservingSampler
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


def test_resumed_equals_uninterrupted_at_every_moment():
    steady = make()
    history: list[str] = []
    expected = []
    for i in range(4):
        for k in range(3):
            history.append(json.dumps(steady.state_dict()))  # between steps, and with prompts out
            if k < 2:
                steady.next_prompt()
        tickets = [
            Ticket(n, steady.task(n) or "", 0)
            for n in range(steady._num_tickets - 2, steady._num_tickets)
        ]
        arrived = {t.number: group(t, i) for t in tickets}
        expected.append(_finish(steady, arrived, i))
    for at, text in enumerate(history):
        resumed = make()
        resumed.load_state_dict(json.loads(text))
        for _ in range(2 - at % 3):
            resumed.next_prompt()
        for i in range(at // 3, 4):
            if i > at // 3:
                resumed.next_prompt()
                resumed.next_prompt()
            n = resumed._num_tickets
            arrived = {m: group(Ticket(m, resumed.task(m) or "", 0), i) for m in (n - 2, n - 1)}
            assert _finish(resumed, arrived, i) == expected[i]


def _finish(
    ledger: RolloutLedger, arrived: dict[int, Group], salt: int
) -> tuple[list[object], dict[str, float]]:
    while not ledger.done:
        for _ in range(ledger.num_queued):
            ticket = ledger.next_prompt()
            arrived[ticket.number] = group(Ticket(ticket.number, ticket.task, 0), salt)
        ledger.settle(arrived)
    batch = ledger.mixer.batch
    assert batch is not None
    return [g.uid for g in batch.groups], ledger.close()


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
        RewardError, match=r"step 0: 9 groups failed, a batch has 8; .*Error in _run_prompt"
    ):
        fail_for_ever()


def test_stale_groups_are_given_up_and_replaced():
    ledger = make(group_filter="none", max_resamples=0)
    tickets = [ledger.next_prompt() for _ in range(10)]
    ledger.give_up([tickets[0].number, tickets[9].number, 999], "stale")
    ledger.settle({t.number: group(t) for t in tickets[1:8]})
    assert not ledger.done
    replacement = ledger.next_prompt() if ledger.num_queued else None
    if replacement is None:  # the prompt that is still ahead was of the same task
        assert ledger.asked == {tickets[8].number}
        ledger.settle({tickets[8].number: group(tickets[8])})
    else:
        assert replacement.task == tickets[0].task
        ledger.settle({replacement.number: group(replacement)})
    metrics = ledger.close()
    assert metrics["sampler/stale"] == 2
    assert metrics["sampler/failed"] == 0


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
