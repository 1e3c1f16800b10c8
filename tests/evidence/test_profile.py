"""What a profile says of tasks and mixtures: intervals, even parts, advice, the verdict."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from mtgrpo.evidence.profile import (
    KEEP,
    MixtureProfile,
    TaskProfile,
    describe_levels,
    task_profile,
    wilson,
)


def profile_of(name: str, accuracies: list[float], **more: Any) -> TaskProfile:
    return task_profile(name, accuracies, group_size=8, tokens=5.0, seconds=0.1, **more)


def mixed(name: str, accuracy: float, num_mixed: int, num: int = 100, **more: Any) -> TaskProfile:
    """`num_mixed` prompts of that accuracy, the others all wrong."""
    return profile_of(name, [accuracy] * num_mixed + [0.0] * (num - num_mixed), **more)


def test_wilson_by_hand() -> None:
    # (5 + 1.9208) / (10 + 3.8416) = .5; half-width .5 - .2366 (textbook: .237 to .763)
    low, high = wilson(0.5, 10)
    assert (round(low, 3), round(high, 3)) == (0.237, 0.763)
    low, high = wilson(0.0, 32)
    assert low == 0.0
    assert high == pytest.approx(3.8416 / (32 + 3.8416), abs=1e-6)


def test_a_task_by_hand() -> None:
    task = profile_of("t", [0.0, 0.5, 1.0, 0.5])
    assert (task.accuracy, task.acceptance) == (0.5, 0.5)
    assert task.seconds_per_informative == pytest.approx(8 * 0.1 / 0.5)
    # Variance 1/6, so 4 * .25 / (1/6) = 6 independent draws.
    assert task.accuracy_range == pytest.approx(wilson(0.5, 6))
    assert task.acceptance_range == pytest.approx(wilson(0.5, 4))


def test_prompts_that_could_not_be_scored_are_left_out() -> None:
    task = profile_of("t", [0.5, math.nan, 0.25])
    assert (task.num_prompts, task.accuracy) == (2, 0.375)
    assert profile_of("t", [math.nan]).acceptance_range == (0.0, 1.0)


@pytest.mark.parametrize(
    ("task", "advice"),
    [
        (mixed("t", 0.5, 50), KEEP),
        (profile_of("t", [1.0] * 99 + [0.5]), "nothing left to learn"),
        (mixed("t", 0.125, 1), "take an easier level"),
        (mixed("t", 0.0, 0, num=8), "too few prompts"),
        (profile_of("t", [1.0] * 80 + [0.0] * 20), "take a harder level"),
    ],
)
def test_advice(task: TaskProfile, advice: str) -> None:
    assert advice in task.advice


def test_alike_tasks_need_no_shares() -> None:
    mixture = MixtureProfile("m", (mixed("a", 0.5, 60), mixed("b", 0.5, 50)))
    assert mixture.even_parts == pytest.approx({"a": 120 / 110, "b": 100 / 110})
    assert mixture.verdict.startswith("plain GRPO will do")


def test_a_task_with_few_informative_groups_needs_shares() -> None:
    mixture = MixtureProfile("m", (mixed("a", 0.5, 90), mixed("b", 0.5, 15)))
    assert mixture.reasons == ("b would get 0.29 of an even part of the informative groups",)
    assert mixture.verdict == f"this mixture needs shares, because {mixture.reasons[0]}"


def test_the_same_with_too_few_prompts_to_tell_is_no_reason() -> None:
    mixture = MixtureProfile("m", (mixed("a", 0.5, 3, num=4), mixed("b", 0.5, 1, num=4)))
    assert mixture.even_parts["b"] == 0.5
    few = MixtureProfile("m", (mixed("a", 0.5, 4, num=5), mixed("b", 0.5, 1, num=5)))
    assert few.even_parts["b"] == pytest.approx(0.4)
    assert few.reasons == ()


def test_accuracies_far_apart_need_shares() -> None:
    high = profile_of("high", [0.875] * 100)
    low = profile_of("low", [0.125] * 100)
    assert MixtureProfile("m", (high, low)).reasons == ("low is 75 points below high",)


def test_a_task_with_nothing_left_to_learn_is_nobodys_reason() -> None:
    done = profile_of("done", [1.0] * 100)
    mixture = MixtureProfile("m", (done, mixed("a", 0.5, 50), mixed("b", 0.5, 50)))
    assert mixture.reasons == ()


def test_nothing_to_learn_from_says_so() -> None:
    mixture = MixtureProfile("m", (mixed("a", 0.0, 0), mixed("b", 0.0, 0)))
    assert "nothing can be learned" in mixture.verdict
    written = json.loads(json.dumps(mixture.as_dict(), allow_nan=False))
    assert written["tasks"][0]["seconds_per_informative"] is None
    assert written["tasks"][0]["even_part"] == 0.0


def test_nothing_is_said_of_graded_tasks() -> None:
    alike = (mixed("a", 0.5, 50), mixed("b", 0.5, 50))
    profile = MixtureProfile("model", alike, graded=("c",))
    assert "graded ones are not judged" in profile.verdict
    assert "graded ones are not judged" in MixtureProfile("model", alike[:1], ("c",)).verdict
    assert profile.as_dict()["graded"] == ["c"]


def test_levels_that_teach_come_first() -> None:
    tasks = (
        mixed("z-easy", 0.5, 40, family="z", level="easy"),
        mixed("z-hard", 0.5, 80, family="z", level="hard"),
        mixed("a-hard", 0.0, 0, family="a", level="hard"),
        mixed("plain", 0.5, 50),
    )
    assert describe_levels(tasks) == ["z: levels hard, easy", "a: none of the 1 level here teaches"]


def test_graded_tasks_are_not_judged_where_no_other_teaches() -> None:
    none = profile_of("none", [0.0] * 32)
    alone = MixtureProfile("m", (none,)).verdict
    assert "nothing can be learned by GRPO" in alone

    verdict = MixtureProfile("m", (none,), graded=("say",)).verdict
    assert verdict.startswith("no group of the tasks with right answers had both")
    assert verdict.endswith("graded ones are not judged")
