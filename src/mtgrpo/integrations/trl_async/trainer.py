"""Asynchronous multi-task GRPO: TRL's `AsyncGRPOTrainer` with weights and exact shares."""

# TRL exports lazily, which pyright cannot see.
# pyright: reportPrivateImportUsage=false
from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl.experimental.async_grpo import AsyncGRPOConfig, AsyncGRPOTrainer

from mtgrpo.core.ledger import RolloutLedger
from mtgrpo.core.method import Method
from mtgrpo.integrations.trl.checks import check_chat_template
from mtgrpo.integrations.trl.datasets import one_kind_of_prompt
from mtgrpo.integrations.trl.setup import find_method, make_streams, with_clip
from mtgrpo.integrations.trl_async.batches import BatchMaker
from mtgrpo.integrations.trl_async.checks import (
    bounds_of,
    check,
    check_environments,
    groups_per_step,
)
from mtgrpo.integrations.trl_async.environments import Environments
from mtgrpo.integrations.trl_async.loop import MultiTaskRolloutLoop
from mtgrpo.integrations.trl_async.seam import WHERE
from mtgrpo.integrations.trl_async.worker import MultiTaskRolloutWorker
from mtgrpo.runlog import load_state, save_state
from mtgrpo.runlog.checkpoints import STATE_FILE
from mtgrpo.tasks.scoring.scorer import Scorer
from mtgrpo.tasks.task_set import TaskSet

EPISODE_TIMEOUT = 1800.0
"""Seconds that an episode may take where nothing else is said: an environment may hang."""


class MultiTaskAsyncGRPOTrainer(AsyncGRPOTrainer):
    """TRL's asynchronous trainer over several tasks; it generates on a vLLM server as it trains.

    Each optimizer step is one batch of the mixer: whole groups, and each task's share as it is
    wanted, whatever comes back late, out of order, or not at all.

    Args:
        model: A name or a directory.
        tasks: What is trained on.
        args: TRL's `AsyncGRPOConfig`. A step has ``per_device_train_batch_size x processes x
            gradient_accumulation_steps / num_generations`` groups: the mixer's batch size B.
        method: As for `MultiTaskGRPOTrainer`; banks and measured improvements are not possible
            here.
        max_staleness: Versions of the policy by which a group may lag behind the one it trains, for
            all tasks or by task; by default, and at most, ``args.max_staleness``.
        rollout_timeout: Seconds after which a completion is cancelled and its prompt replaced; by
            default none, or with environments and tools `EPISODE_TIMEOUT`.
        environment_factory: As for `MultiTaskGRPOTrainer`: makes an environment, or several by name
            of which each row's column ``environment`` names one.
        tools: Functions the model may call, in all tasks.
        processing_class: Tokenizer; by default the model's own.
        callbacks: Callbacks of the trainer.
        optimizers: Optimizer and scheduler of the policy.
        peft_config: Adapter to train.
        weight_transfer: What sends weights to the server, in place of TRL's own.

    Raises:
        ConfigError: Arguments that cannot work, before a model is loaded.
    """

    args: Any
    accelerator: Any
    model: Any

    def __init__(
        self,
        model: str,
        tasks: TaskSet,
        args: AsyncGRPOConfig,
        *,
        method: Method | str | None = None,
        max_staleness: int | Mapping[str, int] | None = None,
        rollout_timeout: float | None = None,
        environment_factory: Callable[[], Any] | Mapping[str, Callable[[], Any]] | None = None,
        tools: Sequence[Callable[..., Any]] | None = None,
        processing_class: Any = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[Any, Any] = (None, None),
        peft_config: Any = None,
        weight_transfer: Any = None,
    ) -> None:
        uses_chats = environment_factory is not None or bool(tools)
        if uses_chats:
            tasks = one_kind_of_prompt(tasks)
        self.method, self.tasks = find_method(method), tasks
        check(args, self.method, tasks)
        check_environments(environment_factory, tools or (), tasks)
        args = copy.copy(with_clip(args, self.method))  # the user's own object stays as it is
        if args.token_budget is None:
            args.token_budget = 0  # a budget of tokens would cut batches where it likes
        self.rollout_timeout = rollout_timeout
        if uses_chats and rollout_timeout is None:
            self.rollout_timeout = EPISODE_TIMEOUT
        self._environments: Environments | None = None

        batch_size = groups_per_step(args)
        mixer = self.method.make_mixer(
            tasks.trained,
            batch_size=batch_size,
            families=tasks.families,
            reward_ranges=tasks.reward_ranges,
            seed=args.seed,
        )
        streams = make_streams(tasks, args.seed, remember=self.method.prompt_memory)
        self.ledger = RolloutLedger(mixer, streams)
        self.batches = BatchMaker(
            self.ledger,
            bounds_of(max_staleness, args.max_staleness, tasks.trained),
            group_size=args.num_generations,
            rows_at_once=args.per_device_train_batch_size * args.world_size,
            scale_loss=self.method.loss_shares,
            version_at=self._version_at,
        )
        self._worker = MultiTaskRolloutWorker(self.batches, self._make_loop)
        self._first_step = 0

        super().__init__(
            model,
            args=args,
            train_dataset=Dataset.from_dict({"prompt": [""] * batch_size}),  # never read
            processing_class=processing_class,
            callbacks=callbacks,
            optimizers=optimizers,
            peft_config=peft_config,
            rollout_worker=self._worker,
            weight_transfer=weight_transfer,
        )
        if uses_chats:
            check_chat_template(self.processing_class, WHERE)
            if self.accelerator.is_main_process:  # it has the loop
                self._environments = Environments(environment_factory, tools or ())

    def _make_loop(self, **shared: Any) -> MultiTaskRolloutLoop:
        """The loop, with what TRL's constructor gives its own."""
        args = self.args
        self._first_step = self.state.global_step
        tokenizer: Any = self.processing_class
        if not getattr(tokenizer, "chat_template", None):
            # TRL wants to know how chats are parsed; there are none.
            tokenizer.response_template = {}

        return MultiTaskRolloutLoop(
            batches=self.batches,
            tasks=self.tasks,
            scorer=Scorer(self.tasks),
            environments=self._environments,
            rollout_timeout=self.rollout_timeout,
            model_name=self.model.config._name_or_path,
            lora_name=self._lora_name if self._lora_sync else None,
            dataset=self.train_dataset,
            reward_funcs=[],
            processing_class=tokenizer,
            eos_token_ids=self.eos_token_ids,
            num_generations=args.num_generations,
            max_inflight_tasks=args.max_inflight_tasks,
            vllm_server_url=args.vllm_server_base_url,
            max_tokens=args.max_completion_length,
            temperature=args.temperature,
            top_p=args.top_p,
            top_k=args.top_k,
            min_p=args.min_p,
            repetition_penalty=args.repetition_penalty,
            request_timeout=args.request_timeout,
            chat_template_kwargs=args.chat_template_kwargs,
            log_completions=args.log_completions,
            num_completions_to_print=args.num_completions_to_print,
            max_tool_calling_iterations=args.max_tool_calling_iterations,
            fork_threshold_tokens=args.fork_threshold_tokens,
            **shared,
        )

    def _version_at(self, step: int) -> int:
        """The version that a step, from 0 on, is trained at: TRL sends weights every few steps."""
        every = self.args.weight_sync_steps
        return self._worker.first_version + step // every - self._first_step // every

    # ---- TRL's methods -------------------------------------------------------------------------
    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if self.model.training and self.accelerator.is_main_process:
            logs.update(self.batches.metrics(self.state.global_step))
        super().log(logs, start_time)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.accelerator.is_main_process:
            step = self.state.global_step
            folder = Path(self._get_output_dir(trial=trial), f"{PREFIX_CHECKPOINT_DIR}-{step}")
            state = {"ledger": self.batches.state_dict(step), "model_version": self.model_version}
            save_state(folder / STATE_FILE, state)

    def _load_optimizer_and_scheduler(self, checkpoint: Any) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        # A server that goes on running has the adapters of earlier trainings, by their names.
        self._lora_name = f"policy-{uuid.uuid4().hex[:8]}"

        if checkpoint is not None and self.accelerator.is_main_process:
            state = load_state(Path(checkpoint) / STATE_FILE)
            self.batches.load_state_dict(state["ledger"])

            self.model_version = state["model_version"]
            self._worker.update_model_version(self.model_version)
