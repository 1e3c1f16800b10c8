"""What a step needs of TRL: rounds rolled out, chosen rows made into a batch, figures logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from mtgrpo.integrations.trl.costs import with_costs
from mtgrpo.integrations.trl.old_log_probs import completion_log_probs, with_recorded
from mtgrpo.integrations.trl.replay import environments_done
from mtgrpo.integrations.trl.rollouts import RecordedRow, RolledOut, task_of, with_all_images
from mtgrpo.integrations.trl.slots import mark_rows


class TRLEngine:
    """TRL's trainer as `step_engine.Engine` wants it.

    Args:
        trainer: Ours; its parts are looked up when they are needed.
        generate_and_score: TRL's own ``_generate_and_score_completions``, bound to the trainer.
    """

    def __init__(
        self, trainer: Any, generate_and_score: Callable[[list[dict[str, Any]]], Any]
    ) -> None:
        self.trainer, self.generate_and_score = trainer, generate_and_score

    def run(self, inputs: list[dict[str, Any]]) -> Any:
        """TRL's method on rows, each sampled as its task asks for."""
        with self.trainer.sampling.of_rows(inputs, self.trainer):
            return self.generate_and_score(inputs)

    @property
    def accelerator(self) -> Any:
        """accelerate's."""
        return self.trainer.accelerator

    @property
    def generates_whole_rounds(self) -> bool:
        """Whether a round of any size may be generated at once."""
        trainer = self.trainer
        schedules = trainer.use_vllm or trainer.use_transformers_continuous_batching
        return schedules or trainer.sharing.on

    @property
    def batch_is_used_up(self) -> bool:
        """Whether the next forward pass takes a new generation batch."""
        return self.trainer._step % self.trainer.schedule.cycle == 0

    def roll_out(
        self, plan: Sequence[tuple[str, int]], first_uid: int, size: int | None = None
    ) -> RolledOut:
        """One group per (task, training row), in order, by TRL's own method; with their costs."""
        trainer = self.trainer
        with trainer.replay.in_groups_of(size, trainer):
            rolled_out = trainer.replay.roll_out(plan, first_uid, self.run, trainer)

        # Logged again on replay, for the rows that are trained on.
        trainer._pending_extra_logs.clear()
        return with_costs(rolled_out, trainer.replay.generation_seconds, self.accelerator)

    def replay(self, rows: Sequence[RecordedRow]) -> dict[str, Any]:
        """TRL's batch of rows that were rolled out, by its own method."""
        trainer = self.trainer
        self._log_extra_again(rows)
        inputs = with_all_images([row.inputs for row in rows])

        with (
            trainer.banked.recorded(rows) as recorded,
            trainer.replay.playing(rows, self.accelerator),
            environments_done(trainer),
        ):
            output = self.run(inputs)

        mark_rows(output, rows, trainer.tasks.names, trainer.schedule.group_size)
        self._log_no_advantage(rows)
        trainer.sampling.mark(output, inputs, trainer)
        return with_recorded(output, recorded)

    def _log_extra_again(self, rows: Sequence[RecordedRow]) -> None:
        """What reward functions logged of the rows that are trained on, and their tasks."""
        trainer = self.trainer
        pending = trainer._pending_extra_logs
        if trainer.data.of_datasets:
            for name in dict.fromkeys(name for row in rows for name in row.extra):
                pending[name].extend(row.extra.get(name) for row in rows)

        if trainer.log_completions and len(trainer.tasks) > 1:
            pending["task"] = [task_of(row.inputs) for row in rows]

    def _log_no_advantage(self, rows: Sequence[RecordedRow]) -> None:
        """Correct TRL's log of completions: rows that fill up the batch have no advantage."""
        trains = torch.tensor([row.trains for row in rows], device=self.accelerator.device)
        trains = self.accelerator.gather(trains).tolist()  # rows of all processes

        logged = self.trainer._logs["advantages"]
        start = len(logged) - len(trains)
        for i, is_trained in enumerate(trains):
            if not is_trained:
                logged[start + i] = 0.0

    def log_probs(self, rows: Sequence[RecordedRow]) -> list[torch.Tensor]:
        """Those of the rows' completions under the current policy, tensors of shape (tokens,)."""
        with self.trainer.sampling.of_rows([row.inputs for row in rows], self.trainer):
            return completion_log_probs(rows, self.trainer)

    def measure_improvements(self) -> dict[str, float]:
        """I_k of the optimizer step just done; empty when it is not measured."""
        forward = self.trainer._get_per_token_logps_and_entropies
        meter, sampling = self.trainer.meter, self.trainer.sampling
        return meter.measure(forward, self.accelerator.reduce, sampling.of_inputs)

    def log_step(self, metrics: Mapping[str, float]) -> None:
        """Hand a closed step's figures to TRL's log."""
        for name, value in metrics.items():
            self.trainer._metrics["train"][name].append(value)
