"""Where TRL's loop meets the trainer's parts: which of them has something to do at which hook.

"Rollout replay": what TRL's data loader yields is ignored, unless there is one task alone. The
mixer asks for prompts, TRL's own `_generate_and_score_completions` rolls them out and is left with
the rewards, until the mixer has its groups. Then it runs on exactly those, with completions and
rewards played back: padding, masks, advantages, losses and metrics are TRL's own. The trainer has
parts, which own their state; here stands only which part TRL meets at which hook.
"""

# TRL exports lazily, which pyright cannot see.
# pyright: reportPrivateImportUsage=false
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from trl import GRPOTrainer

from mtgrpo.core.mixer import TaskMixer
from mtgrpo.integrations.trl.banked import BankedGroups
from mtgrpo.integrations.trl.checkpoints import TrainerCheckpoints, check_resume
from mtgrpo.integrations.trl.checks import check_eval_batches, check_test_rows
from mtgrpo.integrations.trl.datasets import Data
from mtgrpo.integrations.trl.evaluation import RepeatedInOrder, TaskEvaluation
from mtgrpo.integrations.trl.loss_shares import TaskLossShares
from mtgrpo.integrations.trl.old_log_probs import completion_log_probs, with_recorded
from mtgrpo.integrations.trl.prompt_sharing import PromptSharing
from mtgrpo.integrations.trl.replay import RolloutReplay, environments_done, no_log_probs
from mtgrpo.integrations.trl.reward_columns import RewardColumns
from mtgrpo.integrations.trl.rollouts import (
    InputRows,
    RecordedRow,
    RolledOut,
    task_of,
    with_all_images,
)
from mtgrpo.integrations.trl.schedule import Schedule
from mtgrpo.integrations.trl.scores import TaskScores, mark_unscored
from mtgrpo.integrations.trl.slots import mark_rows, own_rows
from mtgrpo.integrations.trl.step import TrainingStep
from mtgrpo.integrations.trl.surrogate import SurrogateMeter
from mtgrpo.integrations.trl.weights import load_renamed
from mtgrpo.tasks.task_set import TaskSet


class TrainerHooks(GRPOTrainer):
    """TRL's trainer with the parts of a multi-task run, which a constructor has to make."""

    accelerator: Any
    model: Any
    _buffered_inputs: Any

    data: Data
    tasks: TaskSet
    schedule: Schedule
    rows: InputRows
    scores: TaskScores | RewardColumns
    step: TrainingStep
    mixer: TaskMixer
    banked: BankedGroups
    shares: TaskLossShares
    meter: SurrogateMeter
    evaluation: TaskEvaluation
    checkpoints: TrainerCheckpoints
    replay: RolloutReplay
    sharing: PromptSharing = PromptSharing()  # off

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
        # While collecting, most rows will not be trained on; an evaluation of tasks has no loss.
        # With vLLM, TRL's metrics of an evaluation compare these numbers with vLLM's, so they must
        # be real.
        has_no_loss = not self.data.of_datasets and not self.use_vllm
        if self.replay.collects or (self.evaluation.is_running and has_no_loss):
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
            self.step.settle_shares(self.shares, self._buffered_inputs)
        return inputs  # one of those buffered

    def _calculate_rewards(
        self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any
    ) -> Any:
        if self.replay.rewards is not None:
            return self.replay.rewards

        if isinstance(self.scores, TaskScores):
            self._score_tasks(self.scores, inputs, completions)
            # TRL reads the columns' names from the first row; ours differ from task to task.
            rows = [{"prompt": row.get("prompt")} for row in inputs]
            rewards = super()._calculate_rewards(rows, prompts, completions, completion_ids_list)
            rewards = mark_unscored(rewards)
        else:
            rows = self.scores.as_columns(inputs)
            rewards = super()._calculate_rewards(rows, prompts, completions, completion_ids_list)

        self.replay.record_rewards(rewards, completions)  # leaves here if it collects
        self.evaluation.add(inputs, rewards, self.accelerator, self.scores.measure)
        return rewards

    def _score_tasks(self, scores: TaskScores, inputs: Any, completions: Any) -> None:
        collects, schedule = self.replay.collects, self.schedule
        size = schedule.group_size if collects else schedule.eval_group_size
        first = self.accelerator.process_index * len(inputs)
        scores.compute(
            inputs, completions, self.environments, group_size=size, first=first, timed=collects
        )

    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.sharing.on:
            return super()._generate_single_turn(prompt_ids, *args, **kwargs)

        model = self.accelerator.unwrap_model(self.model)
        return self.sharing.generate(model, prompt_ids, self.generation_config), None

    def _generate(self, prompts: Any) -> Any:
        replay: RolloutReplay | None = self.__dict__.get("replay")
        if replay is None:  # TRL's method works on an instance that no constructor made, too
            return super()._generate(prompts)
        if replay.generation is not None:
            return replay.generation

        generation = super()._generate(prompts)
        replay.record_generation(generation, prompts)
        return generation

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        if not self.model.training:
            if self.data.column is not None:
                inputs = self.evaluation.numbered(inputs, self.data.column, self.accelerator)
            return super()._generate_and_score_completions(with_all_images(inputs))

        if self.data.loader is not None:
            prompts = inputs[:: self.schedule.group_size]
            self.data.loader.take(prompts, self.accelerator.process_index)
        slots = self.step.choose_groups()
        return self._replay(own_rows(slots, self.accelerator))

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.model.training:
            return super().compute_loss(model, inputs, *args, **kwargs)

        with self.meter.recording(inputs):  # before scaling: I_k is the paper's
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
        if not self.data.of_datasets:
            check_test_rows(eval_dataset, self.eval_dataset)
        check_eval_batches(self.args, self.schedule)

        self.evaluation.begin()
        parts = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(parts, Mapping):
            by_name = eval_dataset is None  # TRL knows its own by their names
            metrics = self._evaluate_parts(parts, by_name, ignore_keys, metric_key_prefix)
        else:
            metrics = super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)

        self.step.write_evaluation(self.state.global_step, self.evaluation)
        return metrics

    def _evaluate_parts(
        self, parts: Mapping[str, Any], by_name: bool, ignore_keys: list[str] | None, prefix: str
    ) -> dict[str, float]:
        metrics: dict[str, float] = {}
        for name, part in parts.items():
            self.evaluation.part = name
            given: Any = name if by_name else part
            metrics |= super().evaluate(given, ignore_keys, f"{prefix}_{name}")
        return metrics

    def evaluation_loop(self, dataloader: Any, *args: Any, **kwargs: Any) -> Any:
        dataset = dataloader.dataset if self.data.of_datasets else None
        with self.evaluation.running(self.accelerator, dataset):
            output = super().evaluation_loop(dataloader, *args, **kwargs)

        for name, value in self.evaluation.metrics().items():
            self._metrics["eval"][name].append(value)  # TRL's `log` puts "eval_" before it
        return output

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        check_resume(resume_from_checkpoint, self.tasks)  # before anything of it is loaded
        if not load_renamed(self, resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        if not load_renamed(self, self.state.best_model_checkpoint):
            super()._load_best_model()

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
        rolled_out = self.replay.roll_out(plan, first_uid, method, self)
        self._pending_extra_logs.clear()  # logged again on replay, for the rows that are trained on
        return rolled_out

    def _replay(self, rows: Sequence[RecordedRow]) -> Any:
        """TRL's own method on rows that were rolled out."""
        self._log_extra_again(rows)
        inputs = with_all_images([row.inputs for row in rows])
        with (
            self.banked.recorded(rows) as recorded,
            self.replay.playing(rows, self.accelerator),
            environments_done(self),
        ):
            output = super()._generate_and_score_completions(inputs)

        mark_rows(output, rows, self.tasks.names, self.schedule.group_size)
        return with_recorded(output, recorded)

    def _log_extra_again(self, rows: Sequence[RecordedRow]) -> None:
        """What reward functions logged of the rows that are trained on, and their tasks."""
        pending = self._pending_extra_logs
        if self.data.of_datasets:
            for name in dict.fromkeys(name for row in rows for name in row.extra):
                pending[name].extend(row.extra.get(name) for row in rows)

        if self.log_completions and len(self.tasks) > 1:
            pending["task"] = [task_of(row.inputs) for row in rows]

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
        self.checkpoints.restore(self, checkpoint)
        self.state = TrainerState.load_from_json(str(Path(checkpoint, TRAINER_STATE_NAME)))
