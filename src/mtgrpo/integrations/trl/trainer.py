"""Multi-task GRPO with TRL: `MultiTaskGRPOTrainer` in place of ``trl.GRPOTrainer``.

"Rollout replay": TRL's own `_generate_and_score_completions` rolls out the prompts that the mixer
asks for and is left with the rewards, until the mixer has its groups. Then it runs on exactly
those: padding, masks, advantages, losses and metrics are TRL's own. What TRL's loader yields is
ignored, unless there is one dataset, one task and no `method`. The trainer has parts, which own
their state; here stands only which part TRL meets at which hook.
"""

# TRL exports lazily, which pyright cannot see.
# pyright: reportPrivateImportUsage=false
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from mtgrpo.core.method import Method
from mtgrpo.core.report import StepReport
from mtgrpo.integrations.trl.adopted import adopt_tasks
from mtgrpo.integrations.trl.callback import StepCallback
from mtgrpo.integrations.trl.checks import check_evaluation, check_trainer
from mtgrpo.integrations.trl.engine import TRLEngine
from mtgrpo.integrations.trl.eval_rows import RepeatedInOrder
from mtgrpo.integrations.trl.packing import is_empty, no_loss
from mtgrpo.integrations.trl.parts import make_parts
from mtgrpo.integrations.trl.prompt_sharing import PromptSharing
from mtgrpo.integrations.trl.replay import no_log_probs
from mtgrpo.integrations.trl.reward_columns import AccuracyRule
from mtgrpo.integrations.trl.rollouts import with_all_images
from mtgrpo.integrations.trl.setup import default_args
from mtgrpo.integrations.trl.slots import own_rows
from mtgrpo.integrations.trl.task_generation import TaskGeneration
from mtgrpo.integrations.trl.trainer_arguments import Arguments
from mtgrpo.integrations.trl.weights import load_renamed
from mtgrpo.runlog import RunLog
from mtgrpo.tasks.task_set import TaskSet


class MultiTaskGRPOTrainer(GRPOTrainer):
    """TRL's `GRPOTrainer` over several tasks, with adaptive task weights and shares to match.

    The arguments are TRL's, and mean what they mean there; those after the star are ours. A script
    with a `GRPOTrainer` needs another class and the name of the column that names each row's task.

    Args:
        model: A name, a directory, a model or a PEFT model.
        reward_funcs: Functions, reward models and their names, one or a list of them; or a mapping
            from each task to its own.
        args: TRL's own `GRPOConfig`. A generation batch holds
            ``generation_batch_size / num_generations`` groups: the mixer's batch size B.
        train_dataset: A dataset, with or without a length, whose `task_column` names the task of
            each row; or a mapping with a dataset for each task. Without the column it is one task,
            "default": with no `method`, that is plain GRPO, in TRL's own order.
        eval_dataset: As TRL takes it; results are by task.
        processing_class: Tokenizer or processor; by default the model's own.
        reward_processing_classes: Tokenizers of the reward models.
        callbacks: Callbacks of the trainer.
        optimizers: Optimizer and scheduler of the policy; by default what `args` says.
        quantization_config: How the model is quantized.
        peft_config: Adapter to train.
        tools: Functions the model may call.
        rollout_func: Custom generation.
        environment_factory: Environments; rewards get them, or their ``get_reward`` is one.
        tasks: Instead of rewards and datasets: a task set, each task of which has its own rows and
            reward. Tasks without training rows are only evaluated.
        task_column: Column that names a row's task.
        accuracy: What says how right a completion is: the name of a reward function whose values
            are in [0, 1], or a function of a completion's rewards by name; for all or some tasks.
            Tasks without it, and without `correct_at`, are graded by their rewards alone.
        correct_at: A completion is right from this value on, of what `accuracy` says or else of
            its rewards' weighted sum; for all tasks or by task.
        reward_range: Lowest and highest reward of graded tasks, for all of them or by task; by
            default it is learnt. See `Task`.
        method: What is trained on, and how the task weights move: a `Method`, or the name of a
            preset, such as ``"balanced"``. Its clip is used where `args` leaves ``epsilon`` and
            ``epsilon_high`` at TRL's defaults. Default: the preset ``"grpo_fair"`` without its
            clip, at GRPO's cost; ``"grpo"`` for a dataset that is one task.
        share_prompts: Compute each prompt once for all its completions: faster for small models,
            the same distribution, but other draws than TRL's for a seed. See docs/trl.md.
        skip_zero_advantages: Leave rows whose advantage is 0 out of the loss's passes wherever the
            gradient is the same without them, up to rounding. False for TRL's gradient bit for bit.
        eval_seed: Seed of the evaluation's own randomness, so that it never changes training.
        run_log: Where metrics, evaluations and completions go, besides TRL's ``report_to``.
        on_mixer_step: Called as ``on_mixer_step(step, report)`` on the main process when a step is
            closed. What there is to say of a task is logged besides (``mtgrpo.notices``).

    Raises:
        ConfigError: Arguments that cannot work, before a model is loaded.
    """

    accelerator: Any
    _buffered_inputs: Any
    model: Any
    # TRL's methods work on an instance that no constructor made, too.
    replay: Any = None
    sharing, sampling = PromptSharing(), TaskGeneration()

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: GRPOConfig | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        reward_processing_classes: Any = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[Any, Any] = (None, None),
        quantization_config: Any = None,
        peft_config: Any = None,
        tools: list[Callable[..., Any]] | None = None,
        rollout_func: Any = None,
        environment_factory: Any = None,
        *,
        tasks: TaskSet | None = None,
        task_column: str = "task",
        accuracy: AccuracyRule | Mapping[str, AccuracyRule] | None = None,
        correct_at: float | Mapping[str, float] | None = None,
        reward_range: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None,
        method: Method | str | None = None,
        share_prompts: bool = False,
        skip_zero_advantages: bool = True,
        eval_seed: int = 1234,
        run_log: RunLog | None = None,
        on_mixer_step: Callable[[int, StepReport], None] | None = None,
    ) -> None:
        self.engine = TRLEngine(self, super()._generate_and_score_completions)
        given = Arguments(
            args=default_args(model) if args is None else args,
            reward_funcs=reward_funcs,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            tasks=tasks,
            task_column=task_column,
            accuracy=accuracy,
            correct_at=correct_at,
            reward_range=reward_range,
            method=method,
            environment_factory=environment_factory,
            tools=tools,
            rollout_func=rollout_func,
            share_prompts=share_prompts,
            skip_zero_advantages=skip_zero_advantages,
            eval_seed=eval_seed,
            run_log=run_log,
            on_mixer_step=on_mixer_step,
        )
        parts = make_parts(given, self.engine)
        self.method, self.schedule, self.scores = parts.method, parts.schedule, parts.scores
        self.data, self.tasks, self.rows = parts.data, parts.data.tasks, parts.rows
        self.step, self.replay, self.banked = parts.step, parts.replay, parts.step.banked
        self.mixer, self.streams = parts.step.mixer, parts.step.streams
        self.shares, self.meter, self.packing = parts.shares, parts.meter, parts.packing
        self.sharing, self.sampling = PromptSharing(), parts.sampling
        self.evaluation, self.checkpoints = parts.evaluation, parts.checkpoints

        super().__init__(
            model,
            reward_funcs=self.scores.functions,
            args=parts.args,
            train_dataset=parts.train_dataset,
            eval_dataset=parts.eval_dataset,
            processing_class=processing_class,
            reward_processing_classes=reward_processing_classes,
            callbacks=[StepCallback(self.step), *(callbacks or [])],
            optimizers=optimizers,
            quantization_config=quantization_config,
            peft_config=peft_config,
            tools=tools,
            rollout_func=rollout_func,
            environment_factory=environment_factory,
        )
        self.scores.bind(self.reward_func_names, self.reward_weights)
        check_trainer(self)
        if share_prompts:
            self.sharing.switch_on(self)
        if skip_zero_advantages:
            self.packing.switch_on(self)

    @property
    def num_rollouts(self) -> int:
        """Completions generated for training so far."""
        return self.step.num_rollouts

    def change_tasks(self, tasks: TaskSet) -> None:
        """Train on these tasks from the next step on; on all processes. See `adopt_tasks`."""
        adopt_tasks(self, tasks)

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
        # Most rows collected are not trained on; evaluations have a loss for comparison with vLLM.
        has_no_loss = not self.data.of_datasets and not self.use_vllm
        if self.replay.collects or (self.evaluation.is_running and has_no_loss):
            return no_log_probs(input_ids, logits_to_keep)

        given = (model, input_ids, attention_mask, logits_to_keep, *args)
        prefix = self.sharing.prefix(model, logits_to_keep, self.accelerator)
        with prefix, self.sampling.scaled(model, self):
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
            self.step.settle_shares(self.shares, self._buffered_inputs)
            self.step.figures |= self.packing.pack(self._buffered_inputs, self.accelerator)
        return inputs  # one of those buffered

    def _calculate_rewards(
        self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any
    ) -> Any:
        if self.replay.rewards is not None:
            return self.replay.rewards

        given = (prompts, completions, completion_ids_list)
        rows = self.scores.rows_for_trl(self, inputs, completions)
        with self.scores.watched(self, inputs):
            rewards = super()._calculate_rewards(rows, *given)
        rewards = self.scores.marked(rewards)

        self.replay.record_rewards(rewards, completions)  # leaves here if it collects
        self.evaluation.add(inputs, rewards, self.accelerator, self.scores.measure)
        return rewards

    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
        method = super()._generate_single_turn
        return self.sampling.generate(self, method, prompt_ids, *args, **kwargs)

    def _generate(self, prompts: Any) -> Any:
        if self.replay is None:
            return super()._generate(prompts)
        if self.replay.generation is not None:
            return self.replay.generation

        generation = super()._generate(prompts)
        self.replay.record_generation(generation, prompts)
        return generation

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        if not self.model.training:
            if self.data.column is not None:
                inputs = self.evaluation.numbered(inputs, self.data.column, self.accelerator)
            return self.engine.run(with_all_images(inputs))

        if self.data.loader is not None:
            prompts = inputs[:: self.schedule.group_size]
            self.data.loader.take(prompts, self.accelerator.process_index)
        slots = self.step.choose_groups()
        return self.engine.replay(own_rows(slots, self.accelerator))

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.model.training:
            return super().compute_loss(model, inputs, *args, **kwargs)
        if is_empty(inputs):
            return no_loss(self.accelerator.device)

        # Recorded before scaling: I_k is the paper's.
        with self.sampling.of_inputs(inputs), self.meter.recording(inputs):
            inputs = self.shares.scaled(inputs)
            with self.banked.ratios(inputs) as inputs:
                return super().compute_loss(model, inputs, *args, **kwargs)

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if self.data.of_datasets:
            return super().prediction_step(model, inputs, *args, **kwargs)

        # TRL would compute a loss as well: one more pass for a number that says nothing of a task.
        self._prepare_inputs(inputs)
        return None, None, None

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with self.checkpoints.writing(self, trial):
            super()._save_checkpoint(model, trial)

    def _load_optimizer_and_scheduler(self, checkpoint: Any) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self.checkpoints.restore(self, checkpoint)

    # ---- transformers' methods, in its order ---------------------------------------------------
    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Accuracy, or score, of each task: `num_generations_eval` samples of each test row.

        Args:
            eval_dataset: Instead of the trainer's own: a dataset, or a mapping of several, each of
                which is a task of its own unless its rows name theirs. Not for tasks that bring
                their own test rows.
            ignore_keys: As TRL takes it.
            metric_key_prefix: As TRL takes it.

        Returns:
            TRL's figures and ``eval_task/<name>/accuracy|reward|std_error`` (``score`` in place of
            ``accuracy`` for graded tasks), ``eval_tasks/worst_accuracy`` and
            ``eval_tasks/mean_accuracy`` (``..._score`` where a task is graded);
            `evaluation.results` has those of the tasks as objects.

        Raises:
            ConfigError: Test rows are missing, or batches cut prompts apart.
        """
        check_evaluation(self, eval_dataset)

        metrics = self.evaluation.of_each(
            super().evaluate, eval_dataset, self.eval_dataset, ignore_keys, metric_key_prefix
        )
        self.step.write_evaluation(self.state.global_step, self.evaluation)
        return metrics

    def evaluation_loop(self, dataloader: Any, description: str, *args: Any, **kwargs: Any) -> Any:
        predicts = description == "Prediction"
        with self.evaluation.running(self.accelerator, dataloader.dataset, predicts):
            output = super().evaluation_loop(dataloader, description, *args, **kwargs)

        prefix = kwargs.get("metric_key_prefix", "eval")
        self.evaluation.hand_on(self._metrics["eval"], output.metrics or {}, predicts, prefix)
        return output

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.checkpoints.check(resume_from_checkpoint)  # before anything of it is loaded
        if not load_renamed(self, resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        if not load_renamed(self, self.state.best_model_checkpoint):
            super()._load_best_model()
