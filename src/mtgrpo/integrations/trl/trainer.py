"""Multi-task GRPO with TRL: `MultiTaskGRPOTrainer` in place of ``trl.GRPOTrainer``.

How it works ("rollout replay"). TRL's data loader is only a clock. When TRL wants a generation batch, the mixer asks
for prompts, TRL's own `_generate_and_score_completions` rolls them out and is left as soon as the rewards are known,
until the mixer has its groups. Then the same method runs once more on exactly those groups, with their completions
and rewards played back, so that padding, masks, advantages, losses and metrics are TRL's own.
"""

# ruff: noqa: E402 - the check comes first
# TRL exports lazily, which pyright cannot see.
# pyright: reportPrivateImportUsage=false
from __future__ import annotations

from mtgrpo.errors import require

require("torch", "trl")
require("trl", "trl")

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from transformers import TrainerCallback
from trl import GRPOConfig

from mtgrpo.core.filters import informative_filter
from mtgrpo.core.method import Method
from mtgrpo.core.prompts import PromptStream, remember_groups
from mtgrpo.core.report import StepReport
from mtgrpo.core.types import Group
from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl import setup as trl_setup
from mtgrpo.integrations.trl.agreement import check_agreement
from mtgrpo.integrations.trl.callback import MixerCallback
from mtgrpo.integrations.trl.checkpoints import CheckpointTrainer
from mtgrpo.integrations.trl.evaluation import TestRows
from mtgrpo.integrations.trl.rollouts import (
    Slot,
    in_order,
    memory_metrics,
    plan_round,
    take,
    training_slots,
)
from mtgrpo.integrations.trl.run_log import RunLogWriter
from mtgrpo.integrations.trl.scores import TaskScores
from mtgrpo.integrations.trl.setup import check_resume
from mtgrpo.integrations.trl.surrogate import SurrogateMeter
from mtgrpo.runlog import RunLog
from mtgrpo.tasks.scoring.drop_limit import DropLimit
from mtgrpo.tasks.task_set import TaskSet

__all__ = ["MultiTaskGRPOTrainer", "check_resume"]


class MultiTaskGRPOTrainer(CheckpointTrainer):
    """TRL's `GRPOTrainer` over several tasks, with adaptive task weights and exact task shares.

    Args:
        model: As TRL takes it: a name, a directory, a model or a PEFT model.
        tasks: Rows and rewards. Tasks without training rows are only evaluated.
        args: TRL's own `GRPOConfig`, with TRL's meaning. A generation batch holds
            ``generation_batch_size / num_generations`` groups: the mixer's batch size B.
        method: What is trained on, and how the task weights move: a `Method`, or the name of a preset, such as
            ``"balanced"``. Default: `ImprovementAware` weights and a `RatioPreservingSampler`. Its clip is used where
            `args` leaves ``epsilon`` and ``epsilon_high`` at TRL's defaults.
        share_prompts: Compute each prompt once for all its completions, in generation and in the loss: faster for
            small models, the same distribution, but other draws than TRL's for a seed. See docs/trl.md.
        eval_seed: Of the evaluation's own randomness: evaluating never changes training, and runs are compared on
            the same draws.
        run_log: Where metrics, evaluations and completions are written, besides TRL's ``report_to``.
        on_mixer_step: Called as ``on_mixer_step(step, report)`` on the main process when a step is closed.
        processing_class: Tokenizer; by default the model's own.
        callbacks: Of transformers.
        optimizers: Optimizer and scheduler of the policy; by default what `args` says.
        quantization_config: Passed to TRL, as are the following.
        peft_config: Adapter to train.
        tools: Functions the model may call.
        rollout_func: Custom generation.
        environment_factory: Environments; a task's reward gets them as the column ``environments``.
        reward_funcs: Refused: rewards come from the tasks. So are the following two.
        train_dataset: Refused.
        eval_dataset: Refused.

    Raises:
        ConfigError: Arguments that cannot work, before a model is loaded.
    """

    def __init__(
        self,
        model: Any,
        tasks: TaskSet,
        *,
        args: GRPOConfig | None = None,
        method: Method | str | None = None,
        share_prompts: bool = False,
        eval_seed: int = 1234,
        run_log: RunLog | None = None,
        on_mixer_step: Callable[[int, StepReport], None] | None = None,
        processing_class: Any = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[Any, Any] = (None, None),
        quantization_config: Any = None,
        peft_config: Any = None,
        tools: list[Callable[..., Any]] | None = None,
        rollout_func: Any = None,
        environment_factory: Any = None,
        reward_funcs: None = None,
        train_dataset: None = None,
        eval_dataset: None = None,
    ) -> None:
        args = trl_setup.default_args(model) if args is None else args
        self.method = method = trl_setup.find_method(method)
        args = trl_setup.with_clip(args, method)
        self.schedule = trl_setup.make_schedule(args)
        trl_setup.check_arguments(
            tasks, args, self.schedule, method.weighting, reward_funcs, train_dataset, eval_dataset
        )
        self.mixer = method.make_mixer(
            trl_setup.trained_names(tasks),
            batch_size=self.schedule.batch_size,
            families=trl_setup.families(tasks),
            seed=args.seed,
        )
        self.streams = {
            task.name: PromptStream(
                task.name, len(task.train), args.seed, remember=method.prompt_memory
            )
            for task in tasks
            if len(task.train)
        }
        self.tasks, self.scores = tasks, TaskScores(tasks)
        self.drop_limit = DropLimit({task.name: task.scoring for task in tasks})
        meter = SurrogateMeter(
            tasks.names,
            method.surrogate,
            epsilon_low=args.epsilon,
            epsilon_high=args.epsilon if args.epsilon_high is None else args.epsilon_high,
            level=args.importance_sampling_level,
        )
        self.meter = meter if method.weighting.uses_improvements else None
        self.loss_shares = method.loss_shares
        self.eval_seed, self.evaluation = eval_seed, {}
        self.on_mixer_step, self._writer = on_mixer_step, None
        self._owners = {}
        self._improvements: list[dict[str, float]] = []
        self._step_counts: dict[str, float] = {}
        self._num_discarded_rollouts = 0
        callback = MixerCallback()
        test_rows: Any = TestRows(tasks)
        reward_functions: list[Any] = [self.scores.reward, self.scores.accuracy]
        super().__init__(
            model,
            reward_funcs=reward_functions,
            args=args,
            train_dataset=trl_setup.placeholder_dataset(
                self.streams.values(), self.mixer.batch_size
            ),
            eval_dataset=test_rows if len(test_rows) else None,
            processing_class=processing_class,
            callbacks=[callback, *(callbacks or [])],
            optimizers=optimizers,
            quantization_config=quantization_config,
            peft_config=peft_config,
            tools=tools,
            rollout_func=rollout_func,
            environment_factory=environment_factory,
        )
        callback.trainer = self
        self.check_bank()
        if share_prompts:
            self.share_prompts()
        if run_log is not None and self.is_world_process_zero():
            self._writer = RunLogWriter(run_log)
        self.reward_weights[1] = 0.0  # accuracy is measured, not trained on

    @property
    def num_rollouts(self) -> int:
        """Completions generated for training so far."""
        return self.mixer.num_rollouts + self._num_discarded_rollouts

    # ---- filling a batch -----------------------------------------------------------------------------------
    def _choose_groups(self) -> list[Slot]:
        if self.mixer.batch is not None:  # several generation batches in one policy update
            self._close_step()
        self._keep_owners()
        self._next_uid = self.num_rollouts // self.schedule.group_size
        batch, spare = self.mixer.new_batch(), []
        while request := batch.ask():
            groups, spare = take(spare, request)
            missing = Counter(request)
            missing.subtract(group.task for group in groups)
            missing = {task: n for task, n in missing.items() if n}
            if missing:
                new, beyond = take(self._run_round(missing), missing)
                groups += new
                spare += beyond
            groups = in_order(groups, plan_round(request, 1))  # whatever the number of processes is
            remember_groups(
                self.streams, groups, informative_filter(self.mixer.sampler.group_filter)
            )
            batch.tell(groups)
        for group in spare:  # one process alone would not have drawn them yet
            assert group.draw is not None
            self.streams[group.task].put_back([group.draw])
        self._record_surplus(batch)
        slots = training_slots(batch, self.mixer.batch_size, self._owners)
        self._agree(
            "the groups to train on",
            groups=[[s.group.task, s.group.uid, s.owner, s.trains] for s in slots],
        )
        self._num_discarded_rollouts += len(spare) * self.schedule.group_size
        self._step_counts = {
            "sampler/padded": sum(not slot.trains for slot in slots),
            "sampler/discarded": len(spare),
            **memory_metrics(self.streams),
        }
        return slots

    def _run_round(self, request: Mapping[str, int]) -> list[Group]:
        """Roll out what is asked for; more, if it does not divide over the processes."""
        names = plan_round(request, self.accelerator.num_processes)
        draws = [(name, self.streams[name].draw(1)[0]) for name in names]
        plan = [(name, draw.row) for name, draw in draws]
        self._agree("the prompts to roll out", request=dict(request), prompts=plan)
        # TRL generates a whole generation batch at once, so that much fits; vLLM schedules by itself, and
        # shared prompts are meant for models for which memory is no concern.
        at_once = self.mixer.batch_size
        if self.use_vllm or self.use_transformers_continuous_batching or self.shares_prompts:
            at_once = len(plan)
        groups = [
            g for i in range(0, len(plan), at_once) for g in self.roll_out(plan[i : i + at_once])
        ]
        groups = [replace(group, draw=draw) for group, (_, draw) in zip(groups, draws, strict=True)]
        # Of all processes' groups, so that all of them stop, if one does.
        self.drop_limit.observe(
            ((g.task, math.isnan(g.mean_reward)) for g in groups), self.scores.scorer.reason
        )
        return groups

    def _agree(self, what: str, **decision: Any) -> None:
        # Before anything is done about it: better an error than processes that wait for each other for ever.
        step, weights = self.mixer.step, self.mixer.weighting.weight_array()
        check_agreement(self.accelerator, what, {"step": step, "weights": weights, **decision})

    def _rolled_out(
        self, groups: Sequence[Group], prompts: Sequence[Any], completions: Sequence[Any]
    ) -> None:
        if self._writer is not None:
            self._writer.record(groups, prompts, completions)

    def _loss_targets(self) -> Mapping[str, float]:
        batch = self.mixer.batch
        quotas = None if batch is None else batch.quotas
        return self.mixer.weights() if quotas is None else quotas

    # ---- the end of a step ---------------------------------------------------------------------------------
    def begin_training(self) -> None:
        """Called by the callback."""
        if not self.streams:
            raise ConfigError(
                "MultiTaskGRPOTrainer: no task has rows to train on; give at least one task train rows"
            )
        trl_setup.warn_about_shares(self.schedule)

    def end_policy_update(self) -> None:
        """Called by the callback after each optimizer step, before it is logged and saved."""
        # One mapping per policy update, empty when nothing is measured: some rules move the weights once for each.
        self._improvements.append({} if self.meter is None else self._measure_improvements())
        if self._step % self.schedule.cycle == 0 and self.mixer.batch is not None:
            self._close_step()

    def _close_step(self) -> None:
        if self._writer is not None and self.mixer.batch is not None:
            self._writer.close_step(self.mixer.batch.groups)
        self.mixer.update(self._improvements)
        self._improvements = []
        for name, value in (
            self.mixer.metrics() | self._step_counts | self.scores.scorer.take_metrics()
        ).items():
            self._metrics["train"][name].append(value)
        if (
            self.on_mixer_step is not None
            and self.mixer.report is not None
            and self.is_world_process_zero()
        ):
            self.on_mixer_step(self.mixer.step, self.mixer.report)

    def write_log(self, logs: Mapping[str, Any]) -> None:
        """Called by the callback when TRL logs training metrics."""
        if self._writer is not None:
            self._writer.write_metrics(self.state.global_step, self.num_rollouts, logs)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        output = super().evaluation_loop(*args, **kwargs)
        if self._writer is not None:
            samples = self.schedule.eval_group_size
            self._writer.write_evaluation(
                self.state.global_step, self.num_rollouts, self.evaluation, samples
            )
        return output
