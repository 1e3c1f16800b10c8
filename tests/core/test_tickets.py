"""The book of tickets: counts, claims, the order a round is told in, and its state."""

from __future__ import annotations

import json
import random

import pytest

from mtgrpo.core.tickets import Outstanding, TicketBook
from mtgrpo.core.types import Draw, Group
from mtgrpo.errors import StateError

DRAW = Draw(3)


def group(task: str) -> Group:
    return Group(task, (0.0, 1.0))


def check_counts(book: TicketBook) -> None:
    """The counts kept on the way are those of counting."""
    for i, task in enumerate(("a", "b")):
        mine = {n for n, out in book.out.items() if out.task == task}
        assert book.num_ahead[i] == len(mine - book.asked)
        assert book.num_awaited[i] == len((mine & book.asked) - book.arrived.keys())
    assert book.asked <= book.out.keys()
    assert book.arrived.keys() <= book.out.keys()


def test_a_request_claims_the_oldest_ahead_and_queues_the_rest():
    book = TicketBook(["a", "b"])
    numbers = [book.hand_out(task, 0, DRAW, asked=False) for task in "abaab"]
    assert numbers == [0, 1, 2, 3, 4]
    book.request("a", 2)
    assert book.asked == {0, 2}
    book.request("b", 4)
    assert book.asked == {0, 1, 2, 4}
    assert list(book.queue) == ["b", "b"]
    check_counts(book)
    assert repr(book) == "TicketBook(queued=2, asked=4, ahead=1, arrived=0)"


def test_a_round_comes_in_the_order_of_handing_out_and_is_forgotten():
    book = TicketBook(["a", "b"])
    for _ in range(3):
        book.hand_out("a", 0, DRAW, asked=True)
    groups = {n: Group("a", (0.0, 1.0), payload=n) for n in (2, 0, 1)}
    for number, arrived in groups.items():
        book.take(number, arrived)
    book.queue.append("a")
    told = book.take_round()
    assert [g.payload for g in told] == [0, 1, 2]
    assert all(g.draw == DRAW for g in told)
    assert not book.out
    assert not book.queue
    assert not book.take(0, groups[0]), "told before"
    check_counts(book)


def test_counts_hold_through_anything_and_a_state_restores_all_but_the_groups():
    dice, book = random.Random(0), TicketBook(["a", "b"])
    for _ in range(2000):
        out = sorted(book.out)
        what = dice.choice(("hand out", "ask", "take", "take", "drop", "round"))
        if what in ("hand out", "ask"):
            book.hand_out(dice.choice("ab"), 0, DRAW, asked=what == "ask")
        elif what == "take" and out:
            number = dice.choice(out)
            book.take(number, group(book.out[number].task))
        elif what == "drop" and out:
            number = dice.choice(out)
            was_asked = number in book.asked
            assert book.drop(number) == was_asked
        elif what == "round":
            book.request(dice.choice("ab"), 3)
            if book.asked <= book.arrived.keys():
                book.take_round()
        check_counts(book)

    restored = TicketBook(["a", "b"])
    restored.load_state_dict(json.loads(json.dumps(book.state_dict())))
    assert restored.state_dict() == book.state_dict()
    assert restored.arrived == {}
    check_counts(restored)


def test_a_group_of_another_task_is_refused():
    book = TicketBook(["a", "b"])
    book.hand_out("a", 7, DRAW, asked=True)
    assert book.out[0] == Outstanding("a", 7, DRAW)
    with pytest.raises(StateError, match=r"ticket 0 is of task 'a', its group of 'b'"):
        book.take(0, group("b"))
