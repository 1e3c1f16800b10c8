"""Tasks that say how good an answer is, but not whether it is right."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.core.silence import MIN_GROUPS
from mtgrpo.core.types import Group
from mtgrpo.core.weightings import Balanced, ImprovementAware

LOW, HIGH = "penalty", "essay"
"""Rewards in [-2, -1], and in [0, .9]: neither ever reaches 1."""


class Graders:
    """An engine whose tasks earn so much of their range on average."""

    def __init__(self, quality: dict[str, float], seed: int = 0) -> None:
        self.quality, self.rng, self.count = quality, np.random.default_rng(seed), 0

    def rollout(self, request: dict[str, int]) -> list[Group]:
        groups = []
        for task, count in request.items():
            low, span = (-2.0, 1.0) if task == LOW else (0.0, 0.9)
            for _ in range(count):
                level = self.quality[task]
                part = self.rng.beta(4 * level, 4 * (1 - level), size=8)
                self.count += 1
                groups.append(Group(task, tuple(low + span * part), uid=self.count))
        return groups


def run(mixer: TaskMixer, engine: Graders, num_steps: int) -> dict[str, float]:
    """Train so many steps; each task's score over the second half of them, pooled over groups."""
    sums: dict[str, float] = dict.fromkeys(mixer.tasks, 0.0)
    counts: dict[str, int] = dict.fromkeys(mixer.tasks, 0)

    for step in range(num_steps):
        batch = mixer.new_batch()
        while request := batch.ask():
            batch.tell(engine.rollout(request))
        assert len(batch.groups) == mixer.batch_size, "every step trains"
        mixer.update()

        for task, count in mixer.report.totals.num_scored.items():
            if step >= num_steps // 2:
                sums[task] += count * mixer.metrics()[f"task/{task}/score"]
                counts[task] += count
    return {task: sums[task] / max(1, counts[task]) for task in sums}


@pytest.mark.parametrize("ranges", [None, {LOW: (-2.0, -1.0), HIGH: (0.0, 0.9)}])
@pytest.mark.parametrize("worst", [LOW, HIGH])
@pytest.mark.parametrize("make", [ImprovementAware, Balanced])
def test_a_task_is_judged_on_its_own_scale(make, worst, ranges):
    best = HIGH if worst == LOW else LOW
    mixer = TaskMixer([LOW, HIGH], batch_size=16, weighting=make(), reward_ranges=ranges)
    scores = run(mixer, Graders({worst: 0.25, best: 0.75}), 40)

    assert mixer.weights()[worst] > 0.55
    assert mixer.num_groups <= 1.2 * 40 * 16

    # A learnt range is as wide as what was seen, so it draws the levels a little together.
    tolerance = 0.04 if ranges else 0.15
    assert scores[worst] == pytest.approx(0.25, abs=tolerance)
    assert scores[best] == pytest.approx(0.75, abs=tolerance)
    assert scores[best] - scores[worst] > 0.25

    metrics = mixer.metrics()
    assert metrics["tasks/worst_score"] == metrics[f"task/{worst}/running_score"]
    assert "tasks/worst_accuracy" not in metrics
    assert not any(name.endswith("/accuracy") for name in metrics)


def test_the_reward_is_what_is_logged_beside_the_score():
    mixer = TaskMixer([LOW], batch_size=4, reward_ranges={LOW: (-2.0, -1.0)})
    run(mixer, Graders({LOW: 0.5}), 1)

    metrics = mixer.metrics()
    assert -2 < metrics[f"task/{LOW}/reward"] < -1
    assert metrics[f"task/{LOW}/score"] == pytest.approx(metrics[f"task/{LOW}/reward"] + 2)


def test_beside_a_task_that_says_what_is_right():
    engine = Graders({HIGH: 0.5})
    mixer = TaskMixer([HIGH, "sums"], batch_size=8)
    batch = mixer.new_batch()
    while request := batch.ask():
        sums = [Group.verified("sums", (0.0, 1.0, 0.1, 0.0))] * request.pop("sums", 0)
        batch.tell(engine.rollout(request) + sums)
    mixer.update()

    metrics = mixer.metrics()
    assert metrics["task/sums/accuracy"] == 0.25
    assert "task/sums/score" not in metrics
    assert metrics["tasks/worst_score"] == min(0.25, metrics[f"task/{HIGH}/score"])


def test_resumed_is_uninterrupted_in_the_middle_of_a_step():
    whole = TaskMixer([LOW, HIGH], batch_size=8, weighting=Balanced())
    engine = Graders({LOW: 0.3, HIGH: 0.6})
    run(whole, engine, 5)

    batch = whole.new_batch()
    request = batch.ask()
    first, rest = {LOW: request[LOW]}, {HIGH: request[HIGH]}
    batch.tell(engine.rollout(first))

    copy = TaskMixer([LOW, HIGH], batch_size=8, weighting=Balanced(), seed=99)
    copy.load_state_dict(json.loads(json.dumps(whole.state_dict())))
    groups = engine.rollout(rest)
    for mixer in (whole, copy):
        assert mixer.batch is not None
        mixer.batch.tell(groups)
        assert mixer.batch.ask() == {}
        mixer.update()

    assert copy.state_dict() == whole.state_dict()
    assert copy.metrics() == whole.metrics()


# ---- training on nothing ---------------------------------------------------------------------------
def test_rewards_that_never_count_as_right_are_noticed_at_once():
    mixer = TaskMixer(["essay"], batch_size=MIN_GROUPS)
    batch = mixer.new_batch()
    while request := batch.ask():
        batch.tell([Group.verified("essay", (0.2, 0.85, 0.4, 0.1))] * request["essay"])
    mixer.update()

    notice = mixer.report.notices["essay"]
    assert "trains on nothing" in notice
    assert "highest reward so far 0.85" in notice
    assert "correct_at" in notice


def test_a_step_without_any_accepted_group_says_why():
    mixer = TaskMixer(["a", "b"], batch_size=4)
    batch = mixer.new_batch()
    while request := batch.ask():
        batch.tell(
            [Group.verified(task, (0.0, 0.0)) for task, n in request.items() for _ in range(n)]
        )
    mixer.update()

    assert "nothing to train on" in mixer.report.notices["a"]
    assert "all_wrong" in mixer.report.notices["b"]


def test_a_small_step_without_a_group_by_chance_is_no_news():
    """Eight groups a step, of which a third are informative: one step in thirty has none."""
    mixer = TaskMixer(["a", "b"], batch_size=8, sampler=OneRoundSampler())
    restored = TaskMixer(["a", "b"], batch_size=8, sampler=OneRoundSampler(), seed=5)

    told = []
    for step in range(12):
        batch = mixer.new_batch()
        rewards = (0.0, 1.0) if step == 2 else (0.0, 0.0)
        while request := batch.ask():
            for task, count in request.items():
                batch.tell([Group.verified(task, rewards)] * count)
        mixer.update()
        told.append(sorted(mixer.report.notices))

        restored.load_state_dict(json.loads(json.dumps(mixer.state_dict())))
        assert restored.state_dict() == mixer.state_dict()

    # From the third step on, 32 groups make four steps; the first two are forgotten.
    assert told[:6] == [[]] * 6
    assert told[6:] == [["a", "b"]] * 6
    assert "nothing to train on, nor does any other task (all_wrong)" in mixer.report.notices["a"]


def test_a_hard_task_whose_rewards_are_all_zero_is_no_fault_of_its_settings():
    mixer = TaskMixer(["hard", "easy"], batch_size=8)
    for _ in range(3):
        batch = mixer.new_batch()
        while request := batch.ask():
            for task, count in request.items():
                rewards = (0.0, 1.0) if task == "easy" else (0.0, 0.0)
                batch.tell([Group.verified(task, rewards)] * count)
        mixer.update()

    (notice,) = mixer.report.notices.values()
    assert "all earn the same (highest reward so far 0)" in notice
    assert "correct_at" not in notice


def test_a_solved_task_beside_others_is_named_too():
    mixer = TaskMixer(["solved", "other"], batch_size=16)
    for _ in range(4):
        batch = mixer.new_batch()
        while request := batch.ask():
            for task, count in request.items():
                rewards = (0.0, 1.0) if task == "other" else (1.0, 1.0)
                batch.tell([Group.verified(task, rewards)] * count)
        mixer.update()

    assert set(mixer.report.notices) == {"solved"}
    assert "(highest reward so far 1)" in mixer.report.notices["solved"]


def test_a_task_without_any_score_is_named_at_once():
    mixer = TaskMixer(["mute", "other"], batch_size=16)
    batch = mixer.new_batch()
    while request := batch.ask():
        for task, count in request.items():
            rewards = (0.0, 1.0) if task == "other" else (math.nan, math.nan)
            batch.tell([Group(task, rewards)] * count)
    mixer.update()

    assert set(mixer.report.notices) == {"mute"}
    assert "none of its completions could be scored" in mixer.report.notices["mute"]
    restored = TaskMixer(["mute", "other"], batch_size=16)
    restored.load_state_dict(json.loads(json.dumps(mixer.state_dict())))
    assert restored.state_dict() == mixer.state_dict()


def test_the_notice_is_the_same_at_every_step_and_comes_where_most_groups_are_constant():
    mixer = TaskMixer(["essay"], batch_size=8)
    notices = []
    for _ in range(12):
        batch = mixer.new_batch()
        while request := batch.ask():
            count = request["essay"]
            groups = [Group.verified("essay", (0.2, 0.4))] * (count // 3)
            batch.tell(groups + [Group.verified("essay", (0.2, 0.2))] * (count - len(groups)))
        mixer.update()
        notices.append(mixer.report.notices["essay"])

    assert "trains on nothing" in notices[-1]
    assert len(set(notices[-6:])) == 1


def test_plain_grpo_without_any_gradient_says_so_and_takes_it_back():
    mixer = TaskMixer(
        ["a", "b"], batch_size=16, sampler=RatioPreservingSampler(group_filter="none")
    )
    notices = []
    for step in range(6):
        batch = mixer.new_batch()
        while request := batch.ask():
            for task, count in request.items():
                rewards = (0.0, 1.0) if step == 5 and task == "a" else (1.0, 1.0)
                batch.tell([Group.verified(task, rewards)] * count)
        mixer.update()
        notices.append(mixer.report.notices)

    assert [sorted(said) for said in notices] == [[], [], [], ["a", "b"], ["a", "b"], ["b"]]
    assert "the completions of each prompt all earn the same" in notices[3]["b"]


def test_plain_grpo_trains_on_wrong_answers_of_different_rewards_and_no_notice_says_otherwise():
    mixer = TaskMixer(
        ["a", "b"], batch_size=16, sampler=RatioPreservingSampler(group_filter="none")
    )
    wrong = (0.0, 0.1, 0.0, 0.1)
    for _ in range(6):
        batch = mixer.new_batch()
        while request := batch.ask():
            for task, count in request.items():
                batch.tell([Group(task, wrong, (0.0,) * 4)] * count)
        mixer.update()

        assert mixer.report.notices == {}
        assert batch.counts.num_with_gradient.total() == 16
        assert sum(batch.counts.num_informative.values()) == 0


def test_groups_that_pass_without_a_gradient_are_noticed():
    mixer = TaskMixer(
        ["a"], batch_size=32, sampler=RatioPreservingSampler(group_filter="released_lenient")
    )
    for _ in range(3):
        batch = mixer.new_batch()
        while request := batch.ask():
            batch.tell([Group("a", (0.1, 0.1), (0.0, 0.0))] * request["a"])
        mixer.update()

    assert "the completions of each prompt all earn the same" in mixer.report.notices["a"]
