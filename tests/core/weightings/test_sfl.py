import pytest

from mtgrpo.core.weightings import SFL
from mtgrpo.errors import ConfigError


def test_two_steps_by_hand():
    # J = (.5, .1): J (1 - J) = (.25, .09), shares .25/.34 and .09/.34. A tenth is spread evenly.
    sfl = SFL(min_share=0.1, reward_ema=0.5).bind(["a", "b"])
    sfl.update(task_rewards={"a": 0.5, "b": 0.1})
    assert sfl.weights()["a"] == pytest.approx(0.9 * 0.25 / 0.34 + 0.05, abs=1e-15)

    # a is absent and keeps its J; J_b = (.1 + .3) / 2 = .2: (.25, .16).
    sfl.update(task_rewards={"b": 0.3})
    assert sfl.weights()["a"] == pytest.approx(0.9 * 0.25 / 0.41 + 0.05, abs=1e-15)


def test_all_right_and_all_wrong_leave_uniform_weights():
    sfl = SFL().bind(["a", "b"])
    sfl.update(task_rewards={"a": 1.0, "b": 0.0})
    assert sfl.weights() == {"a": 0.5, "b": 0.5}


def test_a_reward_outside_the_unit_interval_is_taken_for_its_end():
    outside, end = SFL().bind(["a", "b"]), SFL().bind(["a", "b"])
    outside.update(task_rewards={"a": -3.0, "b": 0.4})
    end.update(task_rewards={"a": 0.0, "b": 0.4})
    assert outside.weights() == end.weights()


@pytest.mark.parametrize("share", [0, -0.1, 1.5, float("nan")])
def test_refuses(share):
    with pytest.raises(ConfigError, match="SFL: min_share="):
        SFL(min_share=share)
