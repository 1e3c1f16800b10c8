"""The moments of TRL's loop at which the mixer and the run log have something to do."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from mtgrpo.integrations.trl.step import TrainingStep


class StepCallback(TrainerCallback):
    """Closes the mixer's step before TRL logs and saves it.

    Args:
        step: The trainer's.
    """

    def __init__(self, step: TrainingStep) -> None:
        self.step = step

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.step.begin_training()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.step.end_policy_update()

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        if logs and "loss" in logs:
            self.step.write_log(state.global_step, logs)
