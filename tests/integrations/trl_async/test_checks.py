from types import SimpleNamespace

import pytest

pytest.importorskip("trl")

from mtgrpo import ImprovementAware, Method
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl.setup import find_method
from mtgrpo.integrations.trl_async.checks import bounds_of, check, groups_per_step
from mtgrpo.tasks import Generation, Task, TaskSet

ROWS = [{"prompt": "1+1="}]
PROBES = Method(sampler=OneRoundSampler(probes="auto"), loss_shares=True)
SECONDS = Method(sampler=OneRoundSampler(budget={"seconds": 30.0}), loss_shares=True)


def tasks(**changes) -> TaskSet:
    return TaskSet(Task("sum", ROWS, ROWS, lambda **_: [1.0], **changes))


def args(**changes) -> SimpleNamespace:
    values = {
        "max_steps": 10,
        "token_budget": None,
        "num_generations": 4,
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 2,
        "world_size": 1,
    }
    return SimpleNamespace(**{**values, **changes})


@pytest.mark.parametrize(
    ("given", "method", "made", "message"),
    [
        ({"max_steps": -1}, Method(), {}, "the number of steps is needed"),
        ({"token_budget": 512}, Method(), {}, "no task's share of a step can be exact"),
        ({}, Method(ImprovementAware(improvement="surrogate")), {}, "improvement='rewards'"),
        ({}, PROBES, {}, "probes='auto' need groups .*; leave probes out"),
        ({}, SECONDS, {}, "budget is in seconds, .* state it in tokens"),
        ({}, Method(), {"until_step": 3}, "joins or leaves during the run"),
        (
            {},
            Method(),
            {"generation": Generation(0.5)},
            "temperature 0.5; .*samples all tasks alike",
        ),
    ],
)
def test_what_cannot_work_is_refused(given, method, made, message):
    with pytest.raises(ConfigError, match=message):
        check(args(**given), method, tasks(**made))


@pytest.mark.parametrize("method", [None, "grpo_fair", "mt_grpo"])
def test_the_default_and_presets_work_here(method):
    found = find_method(method)
    check(args(), found, tasks())
    assert not found.sampler.bank.max_staleness


def test_a_step_is_whole_groups():
    assert groups_per_step(args()) == 4
    with pytest.raises(
        ConfigError, match="16 samples of a step do not divide into whole groups of 6"
    ):
        groups_per_step(args(num_generations=6))
    with pytest.raises(ConfigError, match="at least 2"):
        groups_per_step(args(num_generations=1))


def test_bounds_are_for_all_tasks_or_by_task():
    assert bounds_of(None, 4, ["a", "b"]) == {"a": 4, "b": 4}
    assert bounds_of(2, 4, ["a", "b"]) == {"a": 2, "b": 2}
    assert bounds_of({"a": 1}, 4, ["a", "b"]) == {"a": 1, "b": 4}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"c": 1}, "unknown task 'c'"),
        (0, "max_staleness of task 'a' is 0"),
        ({"b": 5}, "1 to args.max_staleness=4"),
    ],
)
def test_bounds_that_cannot_be_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        bounds_of(given, 4, ["a", "b"])
