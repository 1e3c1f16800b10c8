"""A method is a value: it prints itself, writes itself out, and gives every run parts of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mtgrpo import (
    Balanced,
    Group,
    ImprovementAware,
    Method,
    RatioPreservingSampler,
    Regularized,
    TaskWeighting,
    Uniform,
    Verdict,
)
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.core.planners import OversampledRounds
from mtgrpo.core.weightings.dump import DUMP
from mtgrpo.core.weightings.fixed import Fixed
from mtgrpo.errors import ConfigError, StateError

TASKS = ["a", "b", "c"]


def keep_even(group: Group) -> Verdict:
    return Verdict(True)


def test_the_default_is_the_librarys_own() -> None:
    method = Method()
    assert isinstance(method.weighting, ImprovementAware)
    assert isinstance(method.sampler, RatioPreservingSampler)
    assert (method.task_reward, method.observe, method.surrogate) == (
        "accuracy",
        "first_round",
        "mean",
    )
    assert (method.loss_shares, method.prompt_memory, method.clip) == (False, False, None)


def test_every_mixer_has_parts_of_its_own() -> None:
    method = Method(Regularized(weight_lr=1.0), RatioPreservingSampler(max_staleness=2))
    first = method.make_mixer(TASKS, batch_size=6, seed=3)
    second = method.make_mixer(["d", "e"], batch_size=4, seed=3)

    batch = first.new_batch()
    while request := batch.ask():
        batch.tell(
            Group.verified(task, (0.0, 1.0) if task == "a" else (0.0, 1.0, 1.0, 1.0))
            for task, count in request.items()
            for _ in range(count)
        )
    first.update()

    assert first.weights()["a"] > first.weights()["b"]
    assert second.weights() == {"d": 0.5, "e": 0.5}
    assert (first.batch_size, second.batch_size) == (6, 4)
    assert method.weighting.tasks == method.sampler.tasks == ()
    assert method.make_mixer(TASKS, batch_size=6, seed=3).weights() == dict.fromkeys(TASKS, 1 / 3)


def test_the_same_seed_makes_the_same_requests() -> None:
    method = Method(Uniform(), RatioPreservingSampler(quota_rule="multinomial"))
    requests = [method.make_mixer(TASKS, batch_size=7, seed=s).new_batch().ask() for s in (1, 1, 2)]
    assert requests[0] == requests[1] != requests[2]


def test_signals_and_families_reach_the_mixer() -> None:
    method = Method(Uniform(), task_reward="reward", observe="round")
    mixer = method.make_mixer(TASKS, batch_size=2, families={"a": "f"})
    assert (mixer.task_reward, mixer.observe) == ("reward", "round")
    with pytest.raises(ConfigError, match="'x'"):
        method.make_mixer(TASKS, batch_size=2, families={"x": "f"})


def test_a_method_is_written_out_in_plain_values() -> None:
    method = Method(
        Balanced(gap=0.1),
        RatioPreservingSampler(planner=OversampledRounds(2.0), group_filter="strict"),
        clip=(0.2, 0.28),
    )
    assert method.as_dict() == {
        "weighting": {
            "rule": "balanced",
            "gap": 0.1,
            "worst_fraction": 0.1,
            "temperature": 0.2,
            "max_pressure": 4.0,
            "learnability": True,
            "floors": {},
            "ceilings": {},
        },
        "sampler": {
            "rounds": "refill",
            "quota_rule": "systematic",
            "planner": {
                "kind": "oversampled",
                "oversampling": 2.0,
                "max_inflation": 5.0,
                "refill": "deficit",
            },
            "group_filter": "strict",
            "acceptance": {"kind": "counted", "decay": 0.8, "prior": 2.0},
            "max_resamples": 10,
            "shortfall": "surplus",
            "keep_shares": True,
            "shares_from_step": 0,
            "max_staleness": 0,
            "max_prompts_per_group": None,
        },
        "task_reward": "accuracy",
        "observe": "first_round",
        "surrogate": "mean",
        "loss_shares": False,
        "prompt_memory": False,
        "clip": [0.2, 0.28],
    }


def test_a_method_prints_every_value() -> None:
    text = str(replace(Method(Balanced()), name="mine", summary="of one's own", clip=(0.2, 0.3)))
    assert text.startswith("mine: of one's own\n  weighting:\n    rule: balanced\n    gap: null\n")
    assert "    planner: {kind: needed, confidence: 0.5, max_inflation: 5.0}\n" in text
    assert "  loss_shares: false\n" in text
    assert text.endswith("  clip: [0.2, 0.3]")
    assert str(Method(Uniform())).startswith("custom\n")
    assert "weighting=Balanced(gap=None" in repr(Method(Balanced()))


def test_parts_of_the_users_own_are_named_by_their_import_path() -> None:
    class Mine(Uniform):
        pass

    plain = Method(Mine(), RatioPreservingSampler(group_filter=keep_even)).as_dict()
    assert plain["weighting"] == {"rule": f"{__name__}:{Mine.__qualname__}"}
    assert plain["sampler"]["group_filter"] == f"{__name__}:keep_even"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weighting": "balanced"}, "weighting is 'balanced'; a TaskWeighting is needed; for a na"),
        ({"weighting": Uniform}, "a TaskWeighting is needed"),
        ({"sampler": {"quota_rule": "paper"}}, "a Sampler is needed"),
        ({"sampler": OneRoundSampler()}, "but loss_shares=False; set loss_shares=True"),
        (
            {
                "sampler": OneRoundSampler(probes="auto"),
                "loss_shares": True,
                "weighting": ImprovementAware(improvement="surrogate"),
            },
            "ImprovementAware measures each task's groups, of which a sampler with probes",
        ),
        (
            {
                "sampler": OneRoundSampler(probes="auto"),
                "loss_shares": True,
                "weighting": DUMP(),
            },
            "set probes to None, or take a weighting that goes by rewards",
        ),
        ({"task_reward": "acuracy"}, "unknown task_reward 'acuracy' (did you mean 'accuracy'?)"),
        ({"observe": "epoch"}, "unknown observe 'epoch'; allowed: first_round, round, step"),
        ({"surrogate": "max"}, "unknown surrogate 'max'; allowed: mean, sum"),
        ({"clip": (-0.1, 0.2)}, "clip=(-0.1, 0.2); epsilon and epsilon_high must be at least 0"),
        ({"clip": (0.1, float("nan"))}, "must be at least 0"),
    ],
)
def test_what_cannot_work_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Method(**arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize("weighting", [Uniform(), Fixed({"a": 1.0})])
def test_bound_parts_are_refused(weighting: TaskWeighting) -> None:
    weighting.bind(["a"])
    with pytest.raises(StateError, match=r"weighting is bound to \['a'\]; give an unbound one"):
        Method(weighting)
    with pytest.raises(StateError, match="sampler is bound to"):
        Method(sampler=RatioPreservingSampler().bind(("a",), 2))
