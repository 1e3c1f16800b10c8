"""Settings of tasks that TRL cannot give them are refused with the reason, before a model is loaded."""

from dataclasses import replace
from typing import Any

import pytest

from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl.generation_checks import (
    check_generation,
    warn_about_nucleus,
    what_else_writes,
)
from mtgrpo.tasks import Generation, TaskSet

from .toy import make_tasks

VLLM = {"use_vllm": True, "vllm_mode": "colocate"}
UNCORRECTED = {**VLLM, "vllm_importance_sampling_correction": False}


def tasks_of(settings: Generation) -> TaskSet:
    easy, medium, hard = make_tasks()
    return TaskSet(easy, replace(medium, generation=settings), hard)


@pytest.mark.parametrize(
    ("args", "num_processes", "reason"),
    [
        ({"use_transformers_continuous_batching": True}, 1, "continuous batching generates"),
        ({**VLLM, "vllm_mode": "server"}, 2, "vLLM's server generates for 2 processes in one call"),
        ({**VLLM, "vllm_tensor_parallel_size": 2}, 2, "vLLM generates for 2 processes in one call"),
        ({"fsdp": ["full_shard"]}, 2, "the model is sharded"),
        ({"generation_kwargs": {"temperature": 1.0}}, 1, "generation_kwargs sets temperature"),
    ],
)
def test_what_cannot_be_is_refused(args: dict[str, Any], num_processes: int, reason: str) -> None:
    tasks = tasks_of(Generation(temperature=0.7))
    line = f"^task 'medium': generation: temperature 0.7; .*{reason}.*; take generation out"
    with pytest.raises(ConfigError, match=line):
        check_generation(tasks, args, num_processes=num_processes)


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ({"use_liger_kernel": True}, "use_liger_kernel fuses the head"),
        ({"torch_compile": True}, "torch_compile has one temperature"),
    ],
)
def test_where_a_temperature_alone_cannot_be_the_rest_may_stay(args, reason) -> None:
    line = f"^task 'medium': generation.temperature: 0.7; .*{reason}.*; take temperature out"
    with pytest.raises(ConfigError, match=line):
        check_generation(tasks_of(Generation(0.7, 0.9)), args, num_processes=1)
    check_generation(tasks_of(Generation(None, 0.9)), args, num_processes=1)


def test_what_vllm_says_of_a_nucleus_is_no_mismatch_of_the_sampler() -> None:
    tasks = tasks_of(Generation(0.7, 0.9))
    line = (
        r"^task 'medium': generation.top_p: 0.9; .* the less it would weigh; set vllm_impor.*=False"
    )
    for mode in ("colocate", "server"):
        args = {**VLLM, "vllm_mode": mode}
        with pytest.raises(ConfigError, match=line):
            check_generation(tasks, args, num_processes=1)
        check_generation(tasks, {**args, "top_p": 0.9}, num_processes=1)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ((None, [print], None), "tools or environments write"),
        ((True, None, None), "tools or environments write"),
        ((None, None, print), "rollout_func generates"),
    ],
)
def test_what_else_writes_is_refused(given: tuple[Any, Any, Any], reason: str) -> None:
    tasks = tasks_of(Generation(top_p=0.9))
    with pytest.raises(ConfigError, match=rf"generation: top-p 0.9; .*{reason}"):
        check_generation(tasks, {}, num_processes=1, calls=what_else_writes(*given))


def test_what_can_be_is_taken() -> None:
    assert what_else_writes(False, [], None) == ""
    server = {**UNCORRECTED, "vllm_mode": "server"}
    for args, num_processes in (({}, 2), (UNCORRECTED, 2), (server, 1)):
        check_generation(tasks_of(Generation(0.7, 0.9, 8)), args, num_processes=num_processes)

    # The temperature of the run needs nothing, under whatever compiles the loss.
    args = {"use_liger_kernel": True, "temperature": 0.7}
    check_generation(tasks_of(Generation(0.7)), args, num_processes=1)
    check_generation(make_tasks(), {"fsdp": ["full_shard"]}, num_processes=2)


def test_a_length_is_at_most_the_runs() -> None:
    with pytest.raises(ConfigError, match=r"max_completion_length: 65, .* is 64; at most that"):
        check_generation(
            tasks_of(Generation(max_completion_length=65)),
            {"max_completion_length": 64},
            num_processes=1,
        )


@pytest.mark.parametrize(
    ("args", "is_said"),
    [
        ({"use_vllm": True, "top_p": 0.9}, True),
        ({"use_vllm": True, "top_p": 1.0}, False),
        ({"use_vllm": False, "top_p": 0.9}, False),
        ({"use_vllm": True, "top_p": 0.9, "vllm_importance_sampling_correction": False}, False),
    ],
)
def test_a_nucleus_of_the_run_with_vllm_is_said(args, is_said, caplog):
    warn_about_nucleus(args)
    assert ("args.top_p=0.9 with vLLM" in caplog.text) == is_said
