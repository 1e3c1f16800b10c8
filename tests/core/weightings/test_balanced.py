import math

import numpy as np
import pytest

from mtgrpo.core.weightings import Balanced
from mtgrpo.core.weightings.balanced import (
    DUAL_RATE,
    MIN_SHARE,
    PERSISTENCE_RATE,
)
from mtgrpo.core.weightings.base import GroupCounts
from mtgrpo.core.weightings.learnability import PROBE_SHARE
from mtgrpo.errors import ConfigError


def told(
    weighting: Balanced, rewards: dict[str, float], steps: int = 1, groups: float = 1000.0
) -> dict[str, float]:
    """The weights after some steps of these rewards, each measured over that many groups."""
    counts = GroupCounts(*[dict.fromkeys(rewards, groups)] * 4)
    for _ in range(steps):
        weighting.update(task_rewards=rewards, counts=counts)
    return weighting.weights()


def test_weights_are_the_entropic_closed_form_of_well_known_accuracies():
    rewards = {"a": 0.2, "b": 0.25, "c": 0.6}
    weighting = Balanced().bind(list(rewards))
    weights = told(weighting, rewards, steps=20, groups=1e6)
    multiplier = weighting.metrics()["tasks/multiplier"]
    assert multiplier == pytest.approx(1 + 20 * PERSISTENCE_RATE * 0.4, abs=1e-4)
    raw = {task: math.exp(-multiplier * value / 0.2) for task, value in rewards.items()}
    focus = {task: value / sum(raw.values()) for task, value in raw.items()}
    assert weights == pytest.approx(
        {k: (1 - MIN_SHARE) * f + MIN_SHARE / 3 for k, f in focus.items()}, abs=2e-3
    )


def test_a_gap_that_lasts_presses_harder_up_to_a_limit():
    rewards = {"a": 0.4, "b": 0.6}
    weighting = Balanced(learnability=False).bind(list(rewards))
    early, late = told(weighting, rewards, steps=10)["a"], told(weighting, rewards, steps=200)["a"]
    assert 0.7 < early < late
    told(weighting, rewards, steps=2000)
    assert weighting.metrics()["tasks/multiplier"] == 4


def test_temperature_and_pressure_make_the_weights_mild():
    weighting = Balanced(temperature=0.5, max_pressure=1, learnability=False).bind(["a", "b"])

    weights = told(weighting, {"a": 0.4, "b": 0.9}, steps=500, groups=1e6)

    assert weighting.metrics()["tasks/multiplier"] == 1
    # Half a unit apart at temperature .5: e-fold, but for the part that is spread evenly.
    share = math.e / (1 + math.e)
    assert weights["a"] == pytest.approx((1 - MIN_SHARE) * share + MIN_SHARE / 2, abs=2e-3)


def test_a_gap_within_the_stated_one_returns_to_uniform_weights():
    weighting = Balanced(gap=0.2).bind(["a", "b"])
    assert told(weighting, {"a": 0.2, "b": 0.8}, steps=20)["a"] > 0.9
    assert told(weighting, {"a": 0.45, "b": 0.55}, steps=60) == pytest.approx({"a": 0.5, "b": 0.5})


def test_the_multiplier_is_dual_ascent_on_the_gap():
    weighting = Balanced(gap=0.5).bind(["a", "b"])
    told(weighting, {"a": 0.3, "b": 0.6}, groups=1e9)
    levels = [weighting.metrics()[f"task/{task}/level"] for task in ("a", "b")]
    assert levels == pytest.approx([0.3, 0.6], abs=1e-6)
    assert weighting.metrics()["tasks/multiplier"] == pytest.approx(
        1 + DUAL_RATE * (0.3 - 0.5), abs=1e-5
    )


def test_floors_and_ceilings_say_what_is_compared():
    # .5 of a task that guesses .25 and reaches .75 is half of the way, as is .4 of one that reaches .8.
    weighting = Balanced(floors={"a": 0.25}, ceilings={"a": 0.75, "b": 0.8}).bind(["a", "b"])
    weights = told(weighting, {"a": 0.5, "b": 0.4}, steps=10, groups=1e9)
    assert weights == pytest.approx({"a": 0.5, "b": 0.5}, abs=1e-3)


def test_no_task_is_starved():
    weights = told(Balanced().bind(["a", "b", "c"]), {"a": 0.0, "b": 1.0, "c": 1.0}, steps=30)
    assert min(weights.values()) >= MIN_SHARE / 3


def test_many_tasks_share_what_the_worst_fraction_gets():
    names = [f"task-{k}" for k in range(100)]
    rewards = {name: 0.0 if k < 3 else 0.9 for k, name in enumerate(names)}
    weights = told(Balanced(worst_fraction=0.2).bind(names), rewards, steps=20)
    assert max(weights.values()) == pytest.approx(1 / 20)  # 20 of 100 tasks may have it all
    assert weights["task-0"] == weights["task-2"] == max(weights.values())
    assert sum(weights.values()) == pytest.approx(1)


def test_a_task_nobody_has_seen_is_taken_for_average():
    weighting = Balanced().bind(["a", "b", "c"])
    weights = told(weighting, {"a": 0.1, "b": 0.7}, steps=5)
    assert weights["b"] < weights["c"] < weights["a"]


def barren(weighting: Balanced, steps: int, informative: float) -> dict[str, float]:
    """Steps in which task a, of accuracy 0, has that many informative groups of 20."""
    for _ in range(steps):
        generated, kept = {"a": 20.0, "b": 20.0}, {"a": informative, "b": 10.0}
        counts = GroupCounts(generated, generated, kept, kept)
        weighting.update(task_rewards={"a": 0.0, "b": 0.6}, counts=counts)
    return weighting.weights()


def test_a_task_out_of_reach_gets_probes_until_one_is_informative():
    weighting = Balanced().bind(["a", "b"])
    assert barren(weighting, 1, 0.0)["a"] > 0.9  # 20 groups are no evidence yet
    assert barren(weighting, 1, 0.0)["a"] == pytest.approx(PROBE_SHARE / 2)
    assert weighting.metrics()["task/a/is_out_of_reach"] == 1
    assert list(weighting.notices()) == ["a"]
    assert "out of reach" in weighting.notices()["a"]
    assert barren(weighting, 1, 2.0)["a"] > 0.9
    assert barren(Balanced(learnability=False).bind(["a", "b"]), 9, 0.0)["a"] > 0.9


def test_the_others_share_what_a_task_out_of_reach_leaves_by_their_own_levels():
    weighting, alone = Balanced().bind(["a", "b", "c"]), Balanced().bind(["b", "c"])
    rewards = {"b": 0.5, "c": 0.8}
    for _ in range(12):
        told(alone, rewards, groups=20.0)
        generated, kept = dict.fromkeys("abc", 20.0), {"a": 0.0, "b": 10.0, "c": 10.0}
        counts = GroupCounts(generated, generated, kept, kept)
        weighting.update(task_rewards={"a": 0.0, **rewards}, counts=counts)
    weights = weighting.weights()
    assert weights["a"] == pytest.approx(PROBE_SHARE / 3)
    assert weights["b"] / weights["c"] == pytest.approx(
        alone.weights()["b"] / alone.weights()["c"], rel=0.2
    )
    assert weights["b"] / weights["c"] > 3


def test_a_task_out_of_reach_does_not_make_the_others_press_harder():
    weighting = Balanced().bind(["a", "b"])
    barren(weighting, 4, 0.0)
    before = weighting.metrics()["tasks/multiplier"]
    barren(weighting, 50, 0.0)
    assert (
        weighting.metrics()["tasks/multiplier"] == before
    )  # of the one other task there is no gap


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"worst_fraction": 0.0}, "worst_fraction=0.0"),
        ({"worst_fraction": 1.5}, "worst_fraction=1.5"),
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"temperature": math.inf}, "temperature=inf"),
        ({"max_pressure": 0.5}, "max_pressure=0.5"),
        ({"max_pressure": math.nan}, "max_pressure=nan"),
    ],
)
def test_bad_fractions_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Balanced(**arguments)


def test_one_lucky_group_moves_the_weights_less_than_many():
    settled = {"a": 0.5, "b": 0.5}
    after = []
    for groups in (1.0, 100.0):
        weighting = Balanced().bind(["a", "b"])
        told(weighting, settled, steps=30, groups=30.0)
        after.append(told(weighting, {"a": 0.5, "b": 0.8}, groups=groups)["a"])
    assert 0.5 < after[0] < after[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gap": 0.0}, "gap=0.0"),
        ({"gap": np.nan}, "gap=nan"),
        ({"floors": {"c": 0.1}}, "'c'"),
        ({"floors": {"a": 0.9}, "ceilings": {"a": 0.8}}, "0 <= floor < ceiling <= 1"),
        ({"ceilings": {"a": 1.2}}, "0 <= floor < ceiling <= 1"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Balanced(**arguments).bind(["a", "b"])
