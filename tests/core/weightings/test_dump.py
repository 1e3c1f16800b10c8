import math

import pytest

from mtgrpo.core.weightings import DUMP
from mtgrpo.core.weightings.base import GroupCounts
from mtgrpo.errors import ConfigError


def step(dump: DUMP, advantages: dict[str, float], groups: dict[str, int]) -> None:
    dump.update(task_rewards={}, mean_abs_advantages=advantages, counts=GroupCounts(trained=groups))


def softmax_of_a(a: float, b: float, temperature: float) -> float:
    return 1 / (1 + math.exp((b - a) / temperature))


def test_two_steps_by_hand():
    # Groups of 2 samples, a window of 10. Step 1: n = (6, 2), n = 8 in all, L = (.8, .4).
    dump = DUMP(temperature=0.5, window=10, group_size=2).bind(["a", "b"])
    step(dump, {"a": 0.8, "b": 0.4}, {"a": 3, "b": 1})
    a, b = 0.8 + math.sqrt(2 * math.log(9) / 7), 0.4 + math.sqrt(2 * math.log(9) / 3)
    assert dump.weights()["a"] == pytest.approx(softmax_of_a(a, b, 0.5), abs=1e-15)

    # Step 2: eight samples of a at .2, so of the first six two are left in the window:
    # L_a = (2 * .8 + 8 * .2) / 10 = .32; n = (14, 2). b is absent and keeps its L.
    step(dump, {"a": 0.2}, {"a": 4})
    a, b = 0.32 + math.sqrt(2 * math.log(17) / 15), 0.4 + math.sqrt(2 * math.log(17) / 3)
    assert dump.weights()["a"] == pytest.approx(softmax_of_a(a, b, 0.5), abs=1e-15)


def test_a_batch_larger_than_the_window_fills_it_alone():
    dump = DUMP(window=4, group_size=1).bind(["a", "b"])
    step(dump, {"a": 1.0, "b": 0.5}, {"a": 2, "b": 2})
    step(dump, {"a": 0.3, "b": 0.5}, {"a": 9, "b": 2})
    assert dump.state_dict()["recent"] == [[[4.0, 0.3]], [[2.0, 0.5], [2.0, 0.5]]]


def test_a_task_trained_on_little_is_explored_and_the_bonus_fades():
    dump = DUMP(temperature=0.5).bind(["often", "rarely"])
    step(dump, {"often": 0.5, "rarely": 0.5}, {"often": 30, "rarely": 1})
    early = dump.weights()["rarely"]
    for _ in range(200):
        step(dump, {"often": 0.5, "rarely": 0.5}, {"often": 30, "rarely": 10})
    assert early > 0.6
    assert 0.5 < dump.weights()["rarely"] < 0.55


@pytest.mark.parametrize(
    "arguments", [{"temperature": 0}, {"temperature": math.nan}, {"window": 0}, {"group_size": 0}]
)
def test_refuses(arguments):
    with pytest.raises(ConfigError, match="temperature must be above 0"):
        DUMP(**arguments)
