import json
import math

import numpy as np
import pytest
import torch

from mtgrpo.core.weightings.logit_optimizer import LogitOptimizer
from mtgrpo.errors import ConfigError

IN_TORCH = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("weight_decay", [0.0, 1e-5, 1e-2, 0.5])
def test_step_for_step_as_torch(kind, weight_decay):
    rng = np.random.default_rng(1)
    start = rng.normal(size=7)
    parameter = torch.nn.Parameter(torch.tensor(start))
    theirs = IN_TORCH[kind]([parameter], lr=0.025, weight_decay=weight_decay)
    ours, logits = LogitOptimizer(kind, 0.025, weight_decay), start
    for number in range(60):
        gradient = rng.normal(size=7) * 10.0 ** rng.integers(-9, 2) * (rng.random(7) < 0.8)
        if number == 30:  # a resumed optimiser goes on as if nothing had happened
            state = json.loads(json.dumps(ours.state_dict()))
            ours = LogitOptimizer(kind, 0.025, weight_decay)
            ours.load_state_dict(state)
        parameter.grad = torch.tensor(gradient)
        theirs.step()
        logits = ours.step(logits, gradient)
        assert logits == pytest.approx(parameter.detach().numpy(), abs=1e-12)


def test_two_adam_steps_by_hand():
    # g = 2, then 1, without decay; lr .1. m = .2, v = .004; corrected 2 and 4: step .1 * 2 / 2 = .1.
    # m = .9 * .2 + .1 = .28, / .19; v = .999 * .004 + .001 = .004996, / .001999.
    optimizer = LogitOptimizer("adam", 0.1, 0.0)
    first = optimizer.step(np.zeros(1), np.array([2.0]))
    assert first == pytest.approx([-0.1], abs=1e-8)
    second = optimizer.step(first, np.array([1.0]))
    assert second == pytest.approx(
        [-0.1 - 0.1 * (0.28 / 0.19) / math.sqrt(0.004996 / 0.001999)], abs=1e-8
    )


def test_coupled_and_decoupled_decay_by_hand():
    # A zero gradient at xi = 1, lr .1, decay .01: AdamW shrinks by .001, SGD too, Adam by a full step of lr.
    for kind, expected in (("adamw", 0.999), ("sgd", 0.999), ("adam", 0.9)):
        moved = LogitOptimizer(kind, 0.1, 0.01).step(np.ones(1), np.zeros(1))
        assert moved == pytest.approx([expected], abs=1e-6)


def test_inputs_are_left_alone():
    for kind in IN_TORCH:
        logits, gradient = np.ones(2), np.ones(2)
        LogitOptimizer(kind, 0.1, 0.1).step(logits, gradient)
        assert logits.tolist() == gradient.tolist() == [1, 1]


@pytest.mark.parametrize(
    "arguments", [("adam", 0.0, 0.0), ("adam", math.nan, 0.0), ("sgd", 0.1, -1.0), ("x", 0.1, 0)]
)
def test_refuses(arguments):
    with pytest.raises(ConfigError):
        LogitOptimizer(*arguments)
