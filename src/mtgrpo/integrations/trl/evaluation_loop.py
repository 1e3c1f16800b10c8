"""TRL's evaluation, turned into one result per task."""

from __future__ import annotations

from typing import Any

from mtgrpo.integrations.trl import setup as trl_setup
from mtgrpo.integrations.trl.evaluation import (
    EvaluationTable,
    RepeatedInOrder,
    TaskResult,
    result_metrics,
    separate_randomness,
)
from mtgrpo.integrations.trl.replay import RolloutReplayTrainer


class TaskEvaluationTrainer(RolloutReplayTrainer):
    """Adds evaluation per task to the replay trainer: the same rows and draws each time, no trace in training."""

    eval_seed: int
    evaluation: dict[str, TaskResult]

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Accuracy on all test rows of all tasks, `num_generations_eval` samples each.

        Returns:
            TRL's figures and ``eval_task/<name>/accuracy|reward|std_error``, ``eval_tasks/worst_accuracy`` and
            ``eval_tasks/mean_accuracy``. The results per task are in `evaluation`.

        Raises:
            ConfigError: A dataset was given, there are no test rows, or batches would cut prompts apart.
        """
        trl_setup.check_evaluation(self.args, self.schedule, eval_dataset, self.eval_dataset)
        return super().evaluate(None, ignore_keys, metric_key_prefix)

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> Any:
        self._table, self._phase = (
            EvaluationTable(self.tasks, self.schedule.eval_group_size),
            "evaluate",
        )
        try:
            with separate_randomness(
                self.eval_seed + self.accelerator.process_index, self.accelerator.device
            ):
                output = super().evaluation_loop(
                    dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
                )
        finally:
            self._phase = ""
        self.evaluation = self._table.results()
        for name, value in result_metrics(self.evaluation).items():
            self._metrics["eval"][name].append(value)  # TRL's `log` puts "eval_" before it
        return output

    def prediction_step(
        self,
        model: Any,
        inputs: Any,
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> Any:
        # TRL would compute a loss as well: one more forward pass for a number that says nothing about a task.
        self._prepare_inputs(inputs)
        return None, None, None

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        return RepeatedInOrder(len(eval_dataset), self.schedule.eval_group_size)
