"""Episodes of verifiers' environments as TRL's rollouts: several turns, tools, a user, a judge.

verifiers runs its own loop, programs and rewards. Each turn of the model goes to the vLLM server
that TRL keeps in step with the policy, and comes back with tokens and log-probabilities.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from itertools import islice
from typing import Any, NamedTuple, cast

from mtgrpo.errors import ConfigError, TaskError, counted
from mtgrpo.tasks.sources.verifiers import import_verifiers
from mtgrpo.tasks.task import Task
from mtgrpo.tasks.task_set import TaskSet

WHERE = "VerifiersRollouts"
REWARD = "verifiers_reward"
"""Column with what an episode earned; NaN where it failed."""
NAME, INDEX = "verifiers_environment", "verifiers_index"
"""Keys of a prompt's first message: TRL hands a rollout function nothing but prompts."""

NOT_PASSED_ON: dict[str, tuple[Any, ...]] = {
    "top_k": (0, -1, None),
    "min_p": (0, 0.0, None),
    "repetition_penalty": (1.0, None),
    "generation_kwargs": ({}, None),
}
"""TRL's settings of sampling that episodes do not see, with the values that ask for nothing."""

logger = logging.getLogger("mtgrpo")


class _Rollout(NamedTuple):
    """One episode as TRL trains on it; `mask` is 1 for tokens that the model wrote."""

    prompt_ids: list[int]
    completion_ids: list[int]
    log_probs: list[float]
    mask: list[int]
    reward: float


FAILED = _Rollout([0], [0], [0.0], [0], math.nan)


class VerifiersRollouts:
    """TRL's `rollout_func` for tasks that are environments of verifiers (v1, from 0.4 on).

        rollouts = VerifiersRollouts({"game": env})
        MultiTaskGRPOTrainer(model, tasks=rollouts.tasks(num_train=500), rollout_func=rollouts, ...)

    An episode is trained on if it ran to its end with one agent that is trained and one line of
    messages; any other counts as failed, and its group as the task's scoring policy says.

    Args:
        environments: An `Env` for each task, by the task's name.
        model: What the server calls the model.
        tokenizer: Directory or name of the tokenizer that renders chats; by default the model.
        max_running: Episodes at a time.

    Raises:
        MissingExtra: verifiers is not installed.
        ConfigError: There is no environment, or `max_running` is below 1.
    """

    def __init__(
        self,
        environments: Mapping[str, Any],
        model: str,
        *,
        tokenizer: str | None = None,
        max_running: int = 64,
    ) -> None:
        if not environments or max_running < 1:
            raise ConfigError(
                f"{WHERE}: {len(environments)} environments, max_running={max_running}; at least "
                "one of each is needed"
            )
        self._verifiers = import_verifiers(WHERE)
        self.environments, self.model = dict(environments), model
        self.tokenizer, self.max_running = tokenizer or model, max_running
        self._rows: dict[str, list[Any]] = {}

    def tasks(self, *, num_train: int, num_test: int = 0, **options: Any) -> TaskSet:
        """A task for each environment, whose reward is what the episode earned.

        Args:
            num_train: Rows to train on, of each.
            num_test: Rows to test on: the taskset's first ones.
            options: What `Task` takes besides: `correct_at`, `reward_range`, `scoring`.
        """
        tasks: list[Task] = []
        for name, environment in self.environments.items():
            rows = islice(cast("Iterable[Any]", environment.taskset), num_test + num_train)
            self._rows[name] = list(rows)
            if len(self._rows[name]) <= num_test:
                raise TaskError(
                    f"{WHERE}: {name!r}: {counted(len(self._rows[name]), 'row')}, of which "
                    f"num_test={num_test} are to test on; none is left to train on"
                )

            prompts = [_row(name, i, row.data) for i, row in enumerate(self._rows[name])]
            train, test = prompts[num_test:], prompts[:num_test]
            tasks.append(Task(name, train=train, test=test, reward=_earned, **options))
        return TaskSet(*tasks)

    def __call__(self, prompts: Sequence[Any], trainer: Any) -> dict[str, list[Any]]:
        """Play an episode for each prompt; what TRL asks of a rollout function.

        Raises:
            ConfigError: TRL generates without a server.
        """
        args = trainer.args
        if not args.use_vllm or args.vllm_mode != "server":
            raise ConfigError(
                f"{WHERE}: episodes go to a vLLM server; use_vllm=True, vllm_mode='server' are "
                "needed, and `vllm serve --enable-scale-out --return-tokens-as-token-ids "
                "--logprobs-mode processed_logprobs`"
            )

        for key, neutral in NOT_PASSED_ON.items():
            if getattr(args, key) not in neutral:
                raise ConfigError(
                    f"{WHERE}: {key}={getattr(args, key)!r}; episodes are sampled with "
                    f"temperature, top_p and max_completion_length alone; leave {key} out"
                )

        sampling = {"temperature": args.temperature, "top_p": args.top_p}
        context = self._verifiers.ModelContext(
            model=self.model,
            client=self._verifiers.TrainClientConfig(
                base_url=f"{args.vllm_server_base_url}/v1",
                api_key_var="VLLM_API_KEY",
                renderer_model_name=self.tokenizer,
            ),
            sampling=self._verifiers.SamplingConfig(
                **sampling, max_tokens=args.max_completion_length
            ),
        )
        rollouts = asyncio.run(self._play([prompt[0] for prompt in prompts], context))
        names = ("prompt_ids", "completion_ids", "logprobs", "env_mask", REWARD)
        return dict(zip(names, map(list, zip(*rollouts, strict=True)), strict=True))

    async def _play(self, marks: Sequence[Mapping[str, Any]], context: Any) -> list[_Rollout]:
        limit = asyncio.Semaphore(self.max_running)

        async def episode(mark: Mapping[str, Any]) -> _Rollout:
            environment = self.environments[mark[NAME]]
            (slot,) = environment.slots(self._rows[mark[NAME]][mark[INDEX]])
            return _rollout(await environment.run_slot(slot, context, limit), mark)

        async with AsyncExitStack() as stack:
            for name in sorted({mark[NAME] for mark in marks}):
                await stack.enter_async_context(self.environments[name].serving())
            return await asyncio.gather(*map(episode, marks))


def _row(name: str, index: int, data: Any) -> dict[str, Any]:
    # The text is for logs. It differs from row to row, as no prompt may be trained and tested on.
    text = f"{name} {index}: {data.prompt_text}"
    return {"prompt": [{"role": "user", "content": text, NAME: name, INDEX: index}]}


def _rollout(episode: Any, mark: Mapping[str, Any]) -> _Rollout:
    traces = [trace for trace in episode.traces if trace.agent.trainable]
    branches = [branch for trace in traces for branch in trace.branches]
    errors = [*episode.errors, *(error for trace in traces for error in trace.errors)]
    mask = branches[0].sampled_mask if len(branches) == 1 else []

    if not episode.ok or len(traces) != 1 or not any(mask):
        reason = f"{errors[-1].type}: {errors[-1].message}" if errors else "not one line of turns"
        counts = f"{len(traces)} trained agents, {len(branches)} branches"
        logger.warning(
            "task %r, prompt %d: its episode cannot be trained on: %s (%s)",
            *(mark[NAME], mark[INDEX], " ".join(reason.split()), counts),
        )
        return FAILED

    ids, log_probs = branches[0].token_ids, branches[0].logprobs
    first = mask.index(True)
    written = [int(is_written) for is_written in mask[first:]]
    return _Rollout(ids[:first], ids[first:], log_probs[first:], written, float(traces[0].reward))


def _earned(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float]:
    if REWARD not in columns:
        raise TaskError(
            f"{WHERE}: no episode was played; its tasks need the trainer's rollout_func=rollouts, "
            "which MultiTaskGRPOTrainer takes with a vLLM server"
        )
    return columns[REWARD]
