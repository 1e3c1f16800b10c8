"""Multi-task GRPO with TRL: `MultiTaskGRPOTrainer` in place of ``trl.GRPOTrainer``.

"Rollout replay": what TRL's data loader yields is ignored. The mixer asks for prompts, TRL's own
`_generate_and_score_completions` rolls them out and is left with the rewards, until the mixer has
its groups. Then it runs on exactly those, with completions and rewards played back: padding, masks,
advantages, losses and metrics are TRL's own. The trainer has parts, which own their state; here
stands only which part TRL meets at which hook.
"""

# TRL exports lazily, which pyright cannot see.
# pyright: reportPrivateImportUsage=false
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from trl import GRPOConfig, GRPOTrainer

from mtgrpo.core.method import Method
from mtgrpo.core.report import StepReport
from mtgrpo.integrations.trl import setup as trl_setup
from mtgrpo.integrations.trl.callback import StepCallback
from mtgrpo.integrations.trl.checkpoints import BatchInUse, TrainerCheckpoints, check_resume
from mtgrpo.integrations.trl.checks import check_arguments, check_evaluation, check_trainer
from mtgrpo.integrations.trl.evaluation import RepeatedInOrder, TaskEvaluation
from mtgrpo.integrations.trl.loss_shares import TaskLossShares
from mtgrpo.integrations.trl.old_log_probs import completion_log_probs, with_recorded
from mtgrpo.integrations.trl.prompt_sharing import PromptSharing
from mtgrpo.integrations.trl.replay import RolloutReplay, environments_done, no_log_probs
from mtgrpo.integrations.trl.rollouts import TASK_KEY, InputRows, RecordedRow, RolledOut
from mtgrpo.integrations.trl.run_log import RunLogWriter
from mtgrpo.integrations.trl.schedule import make_schedule
from mtgrpo.integrations.trl.scores import TaskScores, mark_unscored
from mtgrpo.integrations.trl.slots import mark_rows, own_rows
from mtgrpo.integrations.trl.step import TrainingStep
from mtgrpo.runlog import RunLog
from mtgrpo.tasks.task_set import TaskSet


class MultiTaskGRPOTrainer(GRPOTrainer):
    """TRL's `GRPOTrainer` over several tasks, with adaptive task weights and exact task shares.

    Args:
        model: As TRL takes it: a name, a directory, a model or a PEFT model.
        tasks: Rows and rewards. Tasks without training rows are only evaluated.
        args: TRL's own `GRPOConfig`, with TRL's meaning. A generation batch holds
            ``generation_batch_size / num_generations`` groups: the mixer's batch size B.
        method: What is trained on, and how the task weights move: a `Method`, or the name of a
            preset, such as ``"balanced"``. Default: `ImprovementAware` weights and a
            `RatioPreservingSampler`. Its clip is used where `args` leaves ``epsilon`` and
            ``epsilon_high`` at TRL's defaults.
        share_prompts: Compute each prompt once for all its completions: faster for small models,
            the same distribution, but other draws than TRL's for a seed. See docs/trl.md.
        eval_seed: Seed of the evaluation's own randomness: evaluating never changes training, and
            runs are compared on the same draws.
        run_log: Where metrics, evaluations and completions go, besides TRL's ``report_to``.
        on_mixer_step: Called as ``on_mixer_step(step, report)`` on the main process when a step is
            closed.
        processing_class: Tokenizer; by default the model's own.
        callbacks: Passed to TRL, as are the following.
        optimizers: Optimizer and scheduler of the policy; by default what `args` says.
        quantization_config: How the model is quantized.
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

    accelerator: Any
    model: Any
    _buffered_inputs: Any

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
        self.schedule = schedule = make_schedule(args)
        check_arguments(
            tasks, args, schedule, method.weighting, reward_funcs, train_dataset, eval_dataset
        )

        is_main = args.process_index == 0
        self.tasks, self.rows = tasks, InputRows(tasks)
        self.scores = TaskScores(tasks)
        self.step = TrainingStep(
            tasks,
            method,
            schedule,
            engine=self,
            scorer=self.scores.scorer,
            seed=args.seed,
            writer=RunLogWriter(run_log) if run_log is not None and is_main else None,
            on_mixer_step=on_mixer_step if is_main else None,
        )
        self.mixer, self.streams, self.banked = self.step.mixer, self.step.streams, self.step.banked
        self.replay = RolloutReplay(self.rows, schedule.group_size)
        self.sharing = PromptSharing()
        self.shares = TaskLossShares(tasks.names, args.loss_type, exact=method.loss_shares)
        self.meter = trl_setup.make_meter(tasks, args, method)
        scale = self.mixer.reward_scale
        self.evaluation = TaskEvaluation(self.rows, schedule.eval_group_size, eval_seed, scale)
        self.checkpoints = TrainerCheckpoints(self.step, tasks)

        super().__init__(
            model,
            reward_funcs=self.scores.functions,
            args=args,
            train_dataset=trl_setup.placeholder_dataset(self.streams.values(), schedule.batch_size),
            eval_dataset=self.evaluation.rows,
            processing_class=processing_class,
            callbacks=[StepCallback(self.step), *(callbacks or [])],
            optimizers=optimizers,
            quantization_config=quantization_config,
            peft_config=peft_config,
            tools=tools,
            rollout_func=rollout_func,
            environment_factory=environment_factory,
        )
        check_trainer(self)
        if share_prompts:
            self.sharing.switch_on(self)
        self.reward_weights[1] = 0.0  # accuracy is measured, not trained on

    @property
    def num_rollouts(self) -> int:
        """Completions generated for training so far."""
        return self.step.num_rollouts

    # ---- TRL's methods, in its order -----------------------------------------------------------
    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        return RepeatedInOrder(len(eval_dataset), self.schedule.eval_group_size)

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Any,
        attention_mask: Any,
        logits_to_keep: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        # While collecting, most rows will not be trained on; an evaluation has no loss. With vLLM,
        # TRL's metrics of an evaluation compare these numbers with vLLM's, so they must be real.
        if self.replay.collects or (self.evaluation.is_running and not self.use_vllm):
            return no_log_probs(input_ids, logits_to_keep)

        given = (model, input_ids, attention_mask, logits_to_keep, *args)
        with self.sharing.prefix(model, logits_to_keep, self.accelerator):
            log_probs, *others = super()._get_per_token_logps_and_entropies(*given, **kwargs)

        if self.use_vllm and self.vllm_importance_sampling_correction:
            log_probs = self.banked.of_the_sampler(log_probs)
        self.banked.fill(log_probs)
        self.meter.record(given, kwargs, log_probs)
        return (log_probs, *others)

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)

        if self.model.training and self._buffered_inputs is not before:
            targets = self.step.loss_targets()
            figures = self.shares.settle(self._buffered_inputs, targets, self.accelerator)
            self.step.figures |= figures
        return inputs  # one of those buffered

    def _calculate_rewards(
        self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any
    ) -> Any:
        if self.replay.rewards is not None:
            return self.replay.rewards

        collects, schedule = self.replay.collects, self.schedule
        size = schedule.group_size if collects else schedule.eval_group_size
        first = self.accelerator.process_index * len(inputs)
        self.scores.compute(
            inputs, completions, self.environments, group_size=size, first=first, timed=collects
        )
        # TRL reads the columns' names from the first row; ours differ from task to task.
        bare = [{"prompt": row.get("prompt")} for row in inputs]
        rewards = super()._calculate_rewards(bare, prompts, completions, completion_ids_list)
        rewards = mark_unscored(rewards)

        self.replay.record_rewards(rewards, completions)  # leaves here if it collects
        self.evaluation.add(inputs, rewards, self.accelerator)
        return rewards

    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.sharing.on:
            return super()._generate_single_turn(prompt_ids, *args, **kwargs)

        model = self.accelerator.unwrap_model(self.model)
        return self.sharing.generate(model, prompt_ids, self.generation_config), None

    def _generate(self, prompts: Any) -> Any:
        if self.replay.generation is not None:
            return self.replay.generation

        generation = super()._generate(prompts)
        self.replay.record_generation(generation, prompts)
        return generation

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        if not self.model.training:
            return super()._generate_and_score_completions(inputs)

        slots = self.step.choose_groups()
        return self._replay(own_rows(slots, self.accelerator))

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        with self.meter.recording(inputs):  # before scaling: I_k is the paper's
            inputs = self.shares.scaled(inputs)

            with self.banked.ratios(inputs) as inputs:
                return super().compute_loss(model, inputs, *args, **kwargs)

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        # TRL would compute a loss as well: one more pass for a number that says nothing of a task.
        self._prepare_inputs(inputs)
        return None, None, None

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        batch = BatchInUse(self._step, self._buffered_inputs)
        folder = self._get_output_dir(trial)
        with self.checkpoints.writing(folder, self.args, self.state, self.accelerator, batch):
            super()._save_checkpoint(model, trial)

    def _load_optimizer_and_scheduler(self, checkpoint: Any) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self._step, self._buffered_inputs = self.checkpoints.restore(
                checkpoint, self.accelerator
            )

    # ---- transformers' methods, in its order ---------------------------------------------------
    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Accuracy on all test rows of all tasks, `num_generations_eval` samples each.

        Returns:
            TRL's figures and those of `result_metrics`; `evaluation.results` has them as objects.

        Raises:
            ConfigError: A dataset was given, test rows are missing, or batches cut prompts apart.
        """
        check_evaluation(self.args, self.schedule, eval_dataset, self.eval_dataset)
        return super().evaluate(None, ignore_keys, metric_key_prefix)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        with self.evaluation.running(self.accelerator):
            output = super().evaluation_loop(*args, **kwargs)

        for name, value in self.evaluation.metrics().items():
            self._metrics["eval"][name].append(value)  # TRL's `log` puts "eval_" before it
        self.step.write_evaluation(self.state.global_step, self.evaluation)
        return output

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        check_resume(resume_from_checkpoint, self.tasks)  # before anything of it is loaded
        super()._load_from_checkpoint(resume_from_checkpoint, model)

    # ---- what a step needs, see `step.Engine` --------------------------------------------------
    @property
    def generates_whole_rounds(self) -> bool:
        """Whether a round of any size may be generated at once."""
        return self.use_vllm or self.use_transformers_continuous_batching or self.sharing.on

    @property
    def batch_is_used_up(self) -> bool:
        """Whether the next forward pass takes a new generation batch."""
        return self._step % self.schedule.cycle == 0

    def roll_out(self, plan: Sequence[tuple[str, int]], first_uid: int) -> RolledOut:
        """One group per (task, training row), in order, by TRL's own method."""
        method = super()._generate_and_score_completions
        observed = self.environment_factories is not None
        rolled_out = self.replay.roll_out(plan, first_uid, method, self.accelerator, observed)
        self._pending_extra_logs.clear()  # logged again on replay, for the rows that are trained on
        return rolled_out

    def _replay(self, rows: Sequence[RecordedRow]) -> Any:
        """TRL's own method on rows that were rolled out."""
        if self.log_completions:
            self._pending_extra_logs["task"].extend(row.inputs[TASK_KEY] for row in rows)

        with (
            self.banked.recorded(rows) as recorded,
            self.replay.playing(rows, self.accelerator),
            environments_done(self),
        ):
            output = super()._generate_and_score_completions([row.inputs for row in rows])

        mark_rows(output, rows, self.tasks.names, self.schedule.group_size)
        return with_recorded(output, recorded)

    def log_probs(self, rows: Sequence[RecordedRow]) -> list[torch.Tensor]:
        """Those of the rows' completions under the current policy, tensors of shape (tokens,)."""
        return completion_log_probs(rows, self)

    def measure_improvements(self) -> dict[str, float]:
        """I_k of the optimizer step just done; empty when it is not measured."""
        return self.meter.measure(self._get_per_token_logps_and_entropies, self.accelerator.reduce)

    def log_step(self, metrics: Mapping[str, float]) -> None:
        """Hand a closed step's figures to TRL's log."""
        for name, value in metrics.items():
            self._metrics["train"][name].append(value)

    # ---- resuming ------------------------------------------------------------------------------
    def restore_finished(self, checkpoint: str | Path) -> None:
        """Take up the counts of a run's last checkpoint; the model was loaded from it."""
        self._step, self._buffered_inputs = self.checkpoints.restore(checkpoint, self.accelerator)
        self.state = TrainerState.load_from_json(str(Path(checkpoint, TRAINER_STATE_NAME)))
