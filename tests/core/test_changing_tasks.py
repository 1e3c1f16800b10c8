"""`TaskMixer.change_tasks`: every setup goes on with other tasks."""

import json
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from mtgrpo.core.acceptance import AcceptanceEstimate, CountedAcceptance, EmaAcceptance
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.core.types import Group
from mtgrpo.core.weightings import Balanced, Fixed, Sequential, TaskWeighting, Uniform
from mtgrpo.errors import ConfigError, StateError
from tests.core.driver import RATES, SETUPS, TASKS, Dice, fill

JOINED = {**RATES, "math": 0.4}


def _train(mixer: TaskMixer, dice: Dice, steps: int) -> list[object]:
    """What the mixer decided in each step."""
    decisions: list[object] = []
    for _ in range(steps):
        batch = mixer.new_batch()
        fill(batch, dice)
        changes = dict.fromkeys(mixer.tasks, 0.01) if batch.groups else {}
        mixer.update(changes)
        decisions.append([mixer.weights(), [group.uid for group in batch.groups]])
    return decisions


@pytest.fixture(params=list(SETUPS), ids=list(SETUPS))
def make(request: pytest.FixtureRequest) -> Callable[[int], TaskMixer]:
    return SETUPS[request.param]


def _mixer(weighting: TaskWeighting, tasks: Sequence[str] = TASKS) -> TaskMixer:
    return TaskMixer(tasks, batch_size=8, weighting=weighting)


def test_the_same_tasks_change_nothing(make: Callable[[int], TaskMixer]) -> None:
    left, right, dice, same_dice = make(3), make(3), Dice(RATES), Dice(RATES)
    _train(left, dice, 4)
    _train(right, same_dice, 4)

    before = json.dumps(left.state_dict())
    left.change_tasks(TASKS)
    assert json.dumps(left.state_dict()) == before
    assert _train(left, dice, 4) == _train(right, same_dice, 4)


@pytest.mark.parametrize(
    "after",
    [(*TASKS, "math"), TASKS[1:], (*TASKS[1:], "math"), ("math",), TASKS[:1], TASKS[::-1]],
    ids=["one joins", "one leaves", "replaced", "all others", "one alone", "other order"],
)
def test_a_run_goes_on_and_is_resumed_bit_for_bit(
    make: Callable[[int], TaskMixer], after: tuple[str, ...]
) -> None:
    mixer, dice = make(3), Dice(JOINED)
    _train(mixer, dice, 5)
    mixer.change_tasks(after)

    assert mixer.tasks == after
    assert tuple(mixer.weights()) == after
    assert abs(sum(mixer.weights().values()) - 1) < 1e-12

    restored, same_dice = make(0), Dice(JOINED)
    restored.change_tasks(after)
    restored.load_state_dict(json.loads(json.dumps(mixer.state_dict())))
    same_dice.serial.update(dice.serial)
    assert _train(restored, same_dice, 5) == _train(mixer, dice, 5)

    # What has left is gone from the figures, and what has joined is there.
    figures = {name.split("/weight")[0] for name in mixer.metrics() if name.endswith("/weight")}
    assert figures == {f"task/{name}" for name in after}


def test_a_task_that_comes_back_is_a_new_one(make: Callable[[int], TaskMixer]) -> None:
    mixer, dice = make(3), Dice(JOINED)
    for after in (TASKS[1:], TASKS, (*TASKS, "math"), TASKS):
        _train(mixer, dice, 2)
        mixer.change_tasks(after)
    _train(mixer, dice, 2)
    assert tuple(mixer.weights()) == TASKS


def test_tasks_change_between_two_steps_only() -> None:
    mixer = _mixer(Uniform())
    mixer.new_batch()
    with pytest.raises(
        StateError, match=r"its batch is open; call update\(\) before change_tasks\(\)"
    ):
        mixer.change_tasks(["math"])


class _OwnRule(Uniform):
    per_task = None


class _OwnEstimate(CountedAcceptance):
    per_task = None


@pytest.mark.parametrize(
    ("mixer", "change", "message"),
    [
        (_mixer(Uniform()), {"tasks": []}, "no tasks"),
        (_mixer(Uniform()), {"tasks": ["a", "a"]}, "more than once"),
        (_mixer(Uniform()), {"tasks": ["a"], "families": {"b": "f"}}, "families: unknown task 'b'"),
        (_mixer(Uniform()), {"tasks": ["a"], "reward_ranges": {"a": (1.0, 0.0)}}, "reward_range"),
        (_mixer(_OwnRule()), {"tasks": ["a"]}, "_OwnRule: its tasks cannot change"),
        (
            TaskMixer(
                TASKS,
                batch_size=8,
                weighting=Uniform(),
                sampler=RatioPreservingSampler(acceptance=_OwnEstimate()),
            ),
            {"tasks": ["a"]},
            "_OwnEstimate: its tasks cannot change",
        ),
        (
            _mixer(Fixed({"countdown": 1, "zebra_puzzles": 1, "arc/1d": 0})),
            {"tasks": ["arc/1d"]},
            "all 0; keep at least one task with a weight above 0",
        ),
    ],
)
def test_what_is_refused_leaves_all_as_it_is(
    mixer: TaskMixer, change: dict[str, object], message: str
) -> None:
    before = json.dumps(mixer.state_dict())
    with pytest.raises(ConfigError, match=message):
        mixer.change_tasks(**change)  # pyright: ignore[reportArgumentType]
    assert json.dumps(mixer.state_dict()) == before


def test_banked_groups_and_figures_of_tasks_that_leave_are_gone() -> None:
    mixer, dice = SETUPS["balanced"](3), Dice(RATES)
    _train(mixer, dice, 6)
    banked = {task: mixer.sampler.bank.count(task) for task in TASKS}
    assert banked["countdown"]
    assert banked["zebra_puzzles"]

    mixer.change_tasks(TASKS[1:])
    assert mixer.sampler.bank.count("countdown") == 0
    assert mixer.sampler.bank.count("zebra_puzzles") == banked["zebra_puzzles"]
    assert "countdown" not in json.dumps(mixer.state_dict())


@pytest.mark.parametrize("estimate", [CountedAcceptance(), EmaAcceptance()], ids=repr)
def test_new_tasks_start_at_the_acceptance_of_the_others(estimate: AcceptanceEstimate) -> None:
    sampler = RatioPreservingSampler(acceptance=estimate)
    mixer = TaskMixer(["a", "b"], batch_size=8, weighting=Uniform(), sampler=sampler)
    _train(mixer, Dice({"a": 0.1, "b": 0.1}), 8)

    before = estimate.rates()
    mixer.change_tasks(["a", "b", "c"])
    after = estimate.rates()
    np.testing.assert_allclose(after[:2], before, rtol=0.1)
    assert after[:2].min() - 0.1 < after[2] < after[:2].max() + 0.1


def test_a_new_task_has_the_acceptance_of_its_family() -> None:
    families = {"easy 1": "easy", "hard 1": "hard"}
    mixer = TaskMixer(list(families), batch_size=8, weighting=Uniform(), families=families)
    _train(mixer, Dice({"easy 1": 0.9, "hard 1": 0.1}), 8)

    families |= {"easy 2": "easy", "hard 2": "hard"}
    mixer.change_tasks(list(families), families=families)
    easy, hard, new_easy, new_hard = mixer.sampler.acceptance.rates().tolist()
    assert new_easy > 0.6 > 0.4 > new_hard
    assert abs(new_easy - easy) < 0.2
    assert abs(new_hard - hard) < 0.2

    # Left out, each keeps its own: the rates are those of the families still.
    mixer.change_tasks(["easy 1", "hard 1", "hard 2"])
    assert mixer.sampler.acceptance.rates()[2] < 0.4


def test_balanced_weighs_a_new_task_at_the_mean_level_at_once() -> None:
    mixer = _mixer(Balanced(), ["low", "high"])
    _train(mixer, Dice({"low": 0.05, "high": 0.05}), 3)
    mixer.weighting.update(task_rewards={"low": 0.1, "high": 0.9})
    before = mixer.weights()

    mixer.change_tasks(["low", "high", "new"])
    weights = mixer.weights()
    assert weights["low"] > weights["new"] > weights["high"]
    # Between the tasks that stay nothing has moved but the part that is spread evenly.
    assert weights["low"] / weights["high"] == pytest.approx(before["low"] / before["high"], 0.05)


def test_fixed_weights_of_tasks_that_join_later_are_stated_or_the_mean() -> None:
    mixer = _mixer(Fixed({"a": 1, "b": 3, "c": 4}), ["a", "b", "c"])
    mixer.change_tasks(["a", "b"])
    assert mixer.weights() == {"a": 0.25, "b": 0.75}
    mixer.change_tasks(["a", "b", "c"])
    assert mixer.weights() == {"a": 0.125, "b": 0.375, "c": 0.5}
    mixer.change_tasks(["a", "b", "new"])
    assert mixer.weights() == pytest.approx({"a": 1 / 6, "b": 3 / 6, "new": 2 / 6})


def test_phases_close_up_where_tasks_leave_and_new_ones_come_last() -> None:
    mixer = _mixer(Sequential([["a"], ["b", "c"], ["d"]], steps_per_phase=2), ["a", "b", "c", "d"])
    mixer.change_tasks(["b", "c", "d", "e"])
    assert mixer.weights() == {"b": 0.5, "c": 0.5, "d": 0.0, "e": 0.0}  # for the empty phase

    dice = Dice(dict.fromkeys("abcde", 0.5))
    _train(mixer, dice, 4)
    assert mixer.weights() == {"b": 0.0, "c": 0.0, "d": 1.0, "e": 0.0}
    _train(mixer, dice, 2)
    assert mixer.weights() == {"b": 0.0, "c": 0.0, "d": 0.0, "e": 1.0}

    mixer.change_tasks(["a", "b"])  # the phase under way is gone, and none comes after it
    assert mixer.weights() == {"a": 0.0, "b": 1.0}


def test_reward_ranges_are_learnt_anew_and_stated_ones_replaced() -> None:
    ranges = {"a": (0.0, 2.0)}
    mixer = TaskMixer(["a", "b"], batch_size=4, weighting=Uniform(), reward_ranges=ranges)
    for step in range(3):
        batch = mixer.new_batch()
        while request := batch.ask():
            batch.tell(
                Group(task, (0.0, 1.0), uid=f"{step} {task} {i}")
                for task, count in request.items()
                for i in range(count)
            )
        mixer.update()
    assert mixer.reward_scale.reward_range("b") == (0.0, 1.0)

    mixer.change_tasks(["a", "c"])
    assert mixer.reward_scale.reward_range("a") == (0.0, 2.0)
    assert mixer.reward_scale.reward_range("b") is None
    mixer.change_tasks(["a", "c"], reward_ranges={"a": (0.0, 4.0)})
    assert mixer.reward_scale.level("a", 1.0) == 0.25
