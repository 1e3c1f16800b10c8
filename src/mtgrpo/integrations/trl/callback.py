"""The moments of TRL's loop at which the mixer and the run log have something to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

if TYPE_CHECKING:
    from mtgrpo.integrations.trl import MultiTaskGRPOTrainer


class MixerCallback(TrainerCallback):
    """Closes the mixer's step before TRL logs and saves it."""

    trainer: MultiTaskGRPOTrainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.begin_training()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.end_policy_update()

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        if logs and "loss" in logs:
            self.trainer.write_log(logs)
