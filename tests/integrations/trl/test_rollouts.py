"""Planning, recording and sharing out rollouts, without a model."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgrpo import Group
from mtgrpo.errors import StateError
from mtgrpo.integrations.trl import slots as trl_slots
from mtgrpo.integrations.trl.rollouts import (
    RecordedRow,
    input_row,
    join_generation,
    plan_round,
    split_generation,
    take,
)
from mtgrpo.integrations.trl.scores import TaskScores
from mtgrpo.integrations.trl.slots import Slot, share_out, training_slots
from mtgrpo.tasks import Scoring, Task, TaskSet

from .toy import make_tasks

REQUESTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 40), min_size=1)


@given(REQUESTS, st.integers(1, 9))
def test_a_round_is_the_request_padded_to_the_processes(request, processes):
    plan = plan_round(request, processes)
    assert len(plan) % processes == 0
    extra = Counter(plan) - Counter(request)
    assert sum(extra.values()) < processes
    assert set(extra) <= {max(request, key=lambda t: request[t])}
    assert processes > 1 or Counter(plan) == Counter(request)


@given(REQUESTS, st.integers(1, 30))
def test_every_stretch_of_a_round_has_about_its_shares(request, stretch):
    plan = plan_round(request, 1)
    for start in range(len(plan) - stretch + 1):
        counts = Counter(plan[start : start + stretch])
        for task, count in request.items():
            assert abs(counts[task] - stretch * count / len(plan)) < 1 + len(request)


def test_take_gives_what_was_asked_and_keeps_the_rest_in_order():
    groups = [Group(t, (0.0, 1.0), uid=i) for i, t in enumerate("aabab")]
    wanted, spare = take(groups, {"a": 2, "b": 1, "c": 4})
    assert [g.uid for g in wanted] == [0, 1, 2]
    assert [g.uid for g in spare] == [3, 4]


def test_generations_of_different_calls_are_joined():
    first = ([[1], [2]], ["x", "y"], None, {"extra": [5, 6], "flag": True}, None)
    second = ([[3]], ["z"], None, {"extra": [7], "flag": True}, [["image"]])
    rows = split_generation(first, 2) + split_generation(second, 1)
    joined = join_generation([rows[2], rows[0], rows[1]])
    assert joined == (
        [[3], [1], [2]],
        ["z", "x", "y"],
        None,
        {"extra": [7, 5, 6], "flag": True},
        [["image"], None, None],
    )


def test_input_rows_do_not_share_prompts():
    row = {"prompt": [{"role": "user", "content": "x"}], "target": 1}
    travelling = input_row("a", 3, row)
    travelling["prompt"][0]["content"] = "changed"
    assert row["prompt"][0]["content"] == "x"
    assert (travelling["mtgrpo_task"], travelling["mtgrpo_row"], travelling["target"]) == (
        "a",
        3,
        1,
    )


class FakeBatch:
    def __init__(self, groups, dropped, surplus):
        self.groups, self.dropped, self.surplus = groups, dropped, surplus

    def padding(self, count):
        return self.dropped[:count]


def group(uid, rewards=(0.0, 1.0)):
    return Group(
        "a", rewards, uid=uid, payload=[RecordedRow({"uid": uid}, (), (r, r)) for r in rewards]
    )


def test_slots_are_filled_with_dropped_then_surplus_then_repeated_groups():
    owners = dict.fromkeys(range(9), 0)
    slots = training_slots(FakeBatch([group(4)], [group(2)], [group(3)]), 5, owners)
    assert [(s.group.uid, s.trains) for s in slots] == [
        (2, False),
        (2, False),
        (3, False),
        (3, False),
        (4, True),
    ]
    slots = training_slots(FakeBatch([group(4)], [], []), 2, owners)
    assert [(s.group.uid, s.trains) for s in slots] == [(4, True), (4, False)]
    with pytest.raises(StateError, match="not one group was generated"):
        training_slots(FakeBatch([], [], []), 2, owners)


def test_filling_keeps_its_rewards_and_is_marked():
    (rows,) = share_out([Slot(group(0, (0.1, 0.7)), 0, False)], 1, 0)
    assert [row.rewards for row in rows] == [(0.1, 0.1), (0.7, 0.7)]
    assert not any(row.trains for row in rows)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=24), st.integers(1, 4))
def test_every_process_gets_its_part_and_every_group_is_trained_on_once(owners, processes):
    owners = [o % processes for o in owners]
    owners += [0] * (-len(owners) % processes)
    slots = [
        [
            Slot(group(uid) if owner == me else Group("a", (0.0, 1.0), uid=uid), owner, True)
            for uid, owner in enumerate(owners)
        ]
        for me in range(processes)
    ]
    quota = len(owners) // processes
    sent = [[s.group.payload for s in slots[r] if s.owner == r][quota:] for r in range(processes)]
    original = trl_slots.gather_object
    trl_slots.gather_object = lambda mine: [groups for part in sent for groups in part]
    try:
        parts = [share_out(slots[r], processes, r) for r in range(processes)]
    finally:
        trl_slots.gather_object = original
    assert {len(part) for part in parts} == {quota}
    assert sorted(rows[0].inputs["uid"] for part in parts for rows in part) == list(
        range(len(owners))
    )
    for r, part in enumerate(parts):  # nothing travels that need not
        stay = [uid for uid, owner in enumerate(owners) if owner == r][:quota]
        assert [rows[0].inputs["uid"] for rows in part][: len(stay)] == stay


@pytest.mark.parametrize("first", [0, 3])
def test_groups_of_one_row_are_dropped_one_by_one(first):
    def fails_for_few(prompts, completions, **columns):
        if "bad" in completions:
            raise ValueError("bad")
        return [1.0] * len(completions)

    only = [{"prompt": "p"}]
    task = Task("a", only, [], fails_for_few, scoring=Scoring(on_error="drop"))
    scores = TaskScores(TaskSet(task))
    texts = ["x", "x", "x", "x", "bad", "x", "x", "x", "x"]
    inputs = [input_row("a", 0, only[0]) for _ in texts]

    scores.compute(inputs, texts, None, group_size=3, first=first, timed=False)
    rewards = scores.reward(texts, texts)
    assert [math.isnan(reward) for reward in rewards] == [False] * 3 + [True] * 3 + [False] * 3


def test_what_happens_to_an_input_row_does_not_reach_the_tasks():
    row = {"prompt": [{"role": "user", "content": "p"}], "numbers": [3, 4]}
    travels = input_row("a", 0, row)
    travels["numbers"].pop()
    travels["prompt"][0]["content"] = ""
    assert row == {"prompt": [{"role": "user", "content": "p"}], "numbers": [3, 4]}


def test_mixed_batches_are_scored_by_their_tasks_in_one_call_each():
    tasks = make_tasks()
    scores = TaskScores(tasks)
    inputs = [
        input_row(n, i, tasks[n].train[i])
        for n, i in [("easy", 3), ("hard", 1), ("easy", 3), ("medium", 0)]
    ]
    right = tasks["hard"].train[1]["target"]
    logged = {}
    scores.compute(inputs, ["abAB", right, "AB", "e"], None, group_size=1, timed=False)
    rewards = scores.reward([""] * 4, [""] * 4, log_extra=logged.__setitem__)
    assert rewards == [0.5, 1.0, 0.0, 1.0]
    assert scores.accuracy([""] * 4, [""] * 4) == [1.0, 1.0, 0.0, 1.0]
    assert logged == {"task": ["easy", "hard", "easy", "medium"]}
    with pytest.raises(StateError, match="3 completions, scored: 4"):
        scores.reward([""] * 3, [""] * 3)
