import math

import pytest

from mtgrpo.core.weightings import Regularized
from mtgrpo.errors import ConfigError

REWARDS = {"a": 0.4, "b": 0.8, "c": 0.55}


def after(steps: int, **arguments: object) -> list[float]:
    weighting = Regularized(**arguments).bind(list(REWARDS))
    for _ in range(steps):
        weighting.update(task_rewards=REWARDS, improvements=[{}] * 4)
    return list(weighting.weights().values())


def test_one_sgd_step_by_hand():
    # z = (.5, .5), c = .2, J = (.2, .6): s = (.04, .12), mean .08; g = (-.02, .02); beta = 5: xi = (.1, -.1).
    weighting = Regularized(eta=0.3, weight_lr=5.0, reward_scale=0.2, optimizer="sgd").bind(
        ["a", "b"]
    )
    weighting.update(task_rewards={"a": 0.2, "b": 0.6})
    z_a = 1 / (1 + math.exp(-0.2))
    assert weighting.weights()["a"] == pytest.approx(z_a, abs=1e-15)
    # Second step, J as before: s_a - s_b = -.08, g_a = -z_a z_b .08 + eta xi_a = -z_a z_b .08 + .03.
    weighting.update(task_rewards={"a": 0.2, "b": 0.6})
    x = 0.1 + 5 * (z_a * (1 - z_a) * 0.08 - 0.03)
    assert weighting.weights()["a"] == pytest.approx(1 / (1 + math.exp(-2 * x)), abs=1e-15)


@pytest.mark.parametrize("updates", ["step", "minibatch"])
@pytest.mark.parametrize("reward_ema", [0.0, 0.5])
@pytest.mark.parametrize("reward_start", [None, 0.0])
def test_measured_figures_with_adam(updates, reward_ema, reward_start):
    # SPEC section 3: (.70, .12, .19) at eta = 1e-2 needs the released scale s = .2 J. It is a fixed point, so it
    # depends neither on the number of updates a step nor on the moving average.
    weights = after(
        720,
        eta=1e-2,
        reward_scale=0.2,
        updates=updates,
        reward_ema=reward_ema,
        reward_start=reward_start,
    )
    assert weights == pytest.approx([0.6975, 0.1161, 0.1864], abs=1e-4)


def test_adam_settles_where_gradient_and_shrinkage_cancel():
    # At rest g_k + eta xi_k = 0 with g_k = z_k c (J_k - sum_j z_j J_j).
    weighting = Regularized(eta=1e-2, reward_scale=0.2).bind(list(REWARDS))
    for _ in range(3000):
        weighting.update(task_rewards=REWARDS)
    weights, mean = weighting.weights(), sum(z * REWARDS[k] for k, z in weighting.weights().items())
    rest = {k: -z * 0.2 * (REWARDS[k] - mean) / 1e-2 for k, z in weights.items()}
    total = sum(math.exp(x) for x in rest.values())
    assert weights == pytest.approx({k: math.exp(x) / total for k, x in rest.items()}, abs=1e-6)


def test_with_the_papers_scale_adam_settles_elsewhere():
    assert after(720, eta=1e-2, reward_scale=1.0) == pytest.approx(
        [0.9084, 0.0338, 0.0578], abs=1e-4
    )


def test_measured_figures_with_adamw():
    # SPEC section 3: (.9994, .0003, .0003) comes out with four updates a step, whatever the scale.
    for scale in (0.2, 1.0):
        weights = after(720, eta=1e-2, reward_scale=scale, updates="minibatch", optimizer="adamw")
        assert weights == pytest.approx([0.9994, 0.0003, 0.0003], abs=5e-5)
    # One update a step is slower on the same way.
    assert after(720, eta=1e-2, optimizer="adamw") == pytest.approx(
        [0.9968, 0.0017, 0.0015], abs=1e-4
    )


def test_without_shrinkage_the_worst_task_takes_all():
    weights = after(720, eta=0.0)
    assert weights[0] > 0.99
    assert weights[0] > after(720, eta=5e-4)[0] > after(720, eta=1e-2)[0]


def test_minibatch_updates_count_the_mappings_and_ignore_their_values():
    # Four plain updates of one step each, against one update of four minibatches, with constant J.
    four = Regularized(updates="minibatch").bind(["a", "b"])
    four.update(task_rewards={"a": 0.1, "b": 0.9}, improvements=[{"a": 9.0}, {}, {"b": -1.0}, {}])
    one = Regularized(updates="step").bind(["a", "b"])
    for _ in range(4):
        one.update(task_rewards={"a": 0.1, "b": 0.9}, improvements=[{}] * 4)
    assert four.weights() == one.weights()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"eta": -1e-3}, "eta must be at least 0"),
        ({"eta": math.nan}, "eta must be at least 0"),
        ({"eta": math.inf}, "weight_decay"),
        ({"reward_scale": 0.0}, "reward_scale above 0"),
        ({"updates": "round"}, "allowed: minibatch, step"),
        ({"optimizer": "rmsprop"}, "allowed: adam, adamw, sgd"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Regularized(**arguments)
