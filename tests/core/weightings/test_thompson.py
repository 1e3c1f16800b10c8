import json

import numpy as np
import pytest

from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.weightings import Thompson
from mtgrpo.core.weightings.base import GroupCounts
from mtgrpo.errors import ConfigError
from tests.core.driver import RATES, TASKS, Dice, fill


def test_a_step_by_hand():
    # a: 8 groups at .5, b: 4 at 1. Beta(5, 5) and Beta(5, 1), drawn in the order of names.
    thompson = Thompson(draws=32).bind(["b", "a"], seed=3)
    counts = GroupCounts(observed={"a": 8, "b": 4})
    thompson.update(task_rewards={"a": 0.5, "b": 1.0}, counts=counts)

    rates = np.random.default_rng(3).beta([5.0, 5.0], [5.0, 1.0], size=(32, 2))
    wins_of_a = (rates[:, 0] * (1 - rates[:, 0]) > rates[:, 1] * (1 - rates[:, 1])).sum()
    assert thompson.weights() == {"b": 1 - wins_of_a / 32, "a": wins_of_a / 32}
    assert 0.5 < thompson.weights()["a"] < 1

    # The next step halves what was seen; b is absent: Beta(1 + 2, 1).
    state = thompson.state_dict()
    assert (state["right"], state["wrong"]) == ([4.0, 4.0], [0.0, 4.0])
    faded = Thompson(decay=0.5).bind(["b", "a"])
    faded.load_state_dict(state)
    faded.update(task_rewards={"a": 1.0}, counts=GroupCounts(observed={"a": 2}))
    state = faded.state_dict()
    assert (state["right"], state["wrong"]) == ([2.0, 4.0], [0.0, 2.0])


def test_the_task_known_to_be_half_right_gets_nearly_all():
    thompson = Thompson(decay=1.0).bind(["hard", "half", "easy"])
    for _ in range(50):
        thompson.update(
            task_rewards={"hard": 0.05, "half": 0.5, "easy": 0.95},
            counts=GroupCounts(observed=dict.fromkeys(("hard", "half", "easy"), 10)),
        )
    assert thompson.weights()["half"] == 1.0


def test_what_was_not_seen_for_long_is_tried_again():
    thompson = Thompson(decay=0.8).bind(["hard", "half"])
    both, half = {"hard": 0.0, "half": 0.4}, {"half": 0.4}
    for _ in range(20):
        thompson.update(task_rewards=both, counts=GroupCounts(observed={"hard": 20, "half": 20}))
    assert thompson.weights()["hard"] == 0.0

    for _ in range(30):
        thompson.update(task_rewards=half, counts=GroupCounts(observed={"half": 20}))
    assert thompson.weights()["hard"] > 0.1


def mixer(seed: int) -> TaskMixer:
    return TaskMixer(TASKS, batch_size=8, weighting=Thompson(), seed=seed)


def weights_after(mixer: TaskMixer, dice: Dice, steps: int) -> list[dict[str, float]]:
    weights: list[dict[str, float]] = []
    for _ in range(steps):
        fill(mixer.new_batch(), dice)
        mixer.update()
        weights.append(mixer.weights())
    return weights


def test_the_mixers_seed_decides_the_draws_and_its_state_goes_on():
    first = weights_after(mixer(1), Dice(RATES), 6)
    assert first == weights_after(mixer(1), Dice(RATES), 6)
    assert first != weights_after(mixer(2), Dice(RATES), 6)

    saved, dice = mixer(1), Dice(RATES)
    assert weights_after(saved, dice, 3) == first[:3]
    resumed = mixer(2)
    resumed.load_state_dict(json.loads(json.dumps(saved.state_dict())))
    assert weights_after(resumed, dice, 3) == first[3:]


def test_bound_by_hand_it_keeps_its_own_seed():
    by_hand = Thompson().bind(TASKS, seed=5)
    rewards: dict[str, float] = dict.fromkeys(TASKS, 0.3)
    alone = Thompson().bind(TASKS, seed=5)
    TaskMixer(TASKS, batch_size=8, weighting=by_hand, seed=1)
    by_hand.update(task_rewards=rewards)
    alone.update(task_rewards=rewards)
    assert by_hand.weights() == alone.weights()


@pytest.mark.parametrize(
    "arguments", [{"decay": -0.1}, {"decay": 1.5}, {"decay": float("nan")}, {"draws": 0}]
)
def test_refuses(arguments):
    with pytest.raises(ConfigError, match="decay must be in"):
        Thompson(**arguments)
