import copy

import pytest

from mtgrpo.core.acceptance import CountedAcceptance, EmaAcceptance
from mtgrpo.core.bank import SurplusBank
from mtgrpo.core.described import Described, constructor_arguments
from mtgrpo.core.filters import strict
from mtgrpo.core.planners import NeededRounds, OversampledRounds
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.core.weightings import (
    DRATS,
    DUMP,
    SEC,
    SFL,
    Balanced,
    Fixed,
    ImprovementAware,
    Regularized,
    Sequential,
    Thompson,
    Uniform,
)
from mtgrpo.errors import ConfigError

# Every argument differs from its default.
MADE = (
    (Uniform, {}),
    (Fixed, {"weights": {"a": 1.0, "b": 3.0}}),
    (
        ImprovementAware,
        {
            "lam": 0.9,
            "weight_lr": 0.1,
            "weight_decay": 0.5,
            "improvement_clip": 0.3,
            "reward_ema": 0.25,
            "reward_start": 0.125,
            "improvement": "surrogate",
            "updates": "minibatch",
            "optimizer": "sgd",
        },
    ),
    (
        Regularized,
        {
            "eta": 0.25,
            "weight_lr": 0.1,
            "reward_scale": 0.2,
            "reward_ema": 0.25,
            "reward_start": 0.0,
            "updates": "minibatch",
            "optimizer": "adamw",
        },
    ),
    (SEC, {"alpha": 0.25, "temperature": 0.5}),
    (Sequential, {"phases": [["b"], ["a"]], "steps_per_phase": 3}),
    (
        Balanced,
        {
            "gap": 0.2,
            "worst_fraction": 0.5,
            "temperature": 0.25,
            "max_pressure": 2.0,
            "learnability": False,
            "floors": {"a": 0.25},
            "ceilings": {"b": 0.75},
        },
    ),
    (SFL, {"min_share": 0.2, "reward_ema": 0.25}),
    (Thompson, {"decay": 0.5, "draws": 8}),
    (DUMP, {"temperature": 0.5, "window": 100, "group_size": 8}),
    (
        DRATS,
        {
            "target": 0.5,
            "targets": {"a": 0.75},
            "step_size": 0.5,
            "min_share": 0.1,
            "reward_ema": 0.25,
        },
    ),
    (CountedAcceptance, {"decay": 0.5, "prior": 1.0}),
    (EmaAcceptance, {"decay": 0.5, "per": "step"}),
    (NeededRounds, {"confidence": 0.9, "max_inflation": 12.0}),
    (OversampledRounds, {"oversampling": 2.0, "max_inflation": 1.0, "refill": "same_until_full"}),
    (SurplusBank, {"max_staleness": 3}),
)


@pytest.mark.parametrize(("kind", "arguments"), MADE, ids=[kind.__name__ for kind, _ in MADE])
def test_an_object_is_made_again_from_what_it_says(kind, arguments):
    made = kind(**arguments)
    assert constructor_arguments(made) == arguments
    assert constructor_arguments(kind(**constructor_arguments(made))) == arguments
    assert constructor_arguments(copy.deepcopy(made)) == arguments
    assert repr(eval(repr(made), {kind.__name__: kind})) == repr(made)


def test_the_sampler_says_how_it_was_made():
    arguments = {
        "quota_rule": "multinomial",
        "planner": OversampledRounds(),
        "group_filter": "strict",
        "acceptance": EmaAcceptance(),
        "max_resamples": 3,
        "shortfall": "smaller",
        "keep_shares": False,
        "shares_from_step": 4,
        "max_staleness": 2,
        "max_prompts_per_group": 6.0,
    }
    made = RatioPreservingSampler(**arguments)
    assert constructor_arguments(made) == arguments
    assert "group_filter='strict'" in repr(made)
    assert "acceptance=EmaAcceptance(decay=0.9, per='round')" in repr(made)
    assert "group_filter=strict" in repr(RatioPreservingSampler(group_filter=strict))


def test_what_a_log_shows():
    assert repr(SEC()) == "SEC(alpha=0.5, temperature=0.2)"
    assert repr(Uniform().bind(["a", "b"])) == "Uniform()"
    assert repr(Fixed({"a": 2.0}).bind(["a"])) == "Fixed(weights={'a': 2.0})"


def test_an_argument_that_is_not_kept_is_named():
    class Forgetful(Described):
        def __init__(self, rate: float, *rest: float, size: int = 3, **more: float) -> None:
            self.size = size

    assert repr(Forgetful(0.5)) == "Forgetful(rate=?, size=3)"
    with pytest.raises(ConfigError, match="Forgetful: its argument 'rate' is not kept"):
        constructor_arguments(Forgetful(0.5))
