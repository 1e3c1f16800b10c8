"""The moments of TRL's loop at which the mixer and the run log have something to do."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from accelerate import Accelerator
from transformers import TrainerCallback

from mtgrpo.core.mixer import TaskMixer
from mtgrpo.integrations.trl.script_config import script_config
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
        if self.step.writer is not None:
            about = (args, state.max_steps, self.step.method, self.step.schedule)
            config = script_config(kwargs.get("model"), *about)
            self.step.writer.script.begin(config, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for listener in self.step.listeners:
            ended = getattr(listener, "training_ended", None)
            if ended is not None:
                ended()

        if self.step.writer is not None:
            self.step.writer.script.end()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.step.end_policy_update()

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        if logs and "loss" in logs:
            self.step.write_log(state.global_step, logs)


class StopRequest(Protocol):
    """What asks a run to stop: `mtgrpo.jobs.stopping.Stop`."""

    requested: bool

    def check_parent(self) -> None:
        """Ask to stop when the process that started this run is gone."""


class StopCallback(TrainerCallback):
    """Asks the trainer to save and stop once a batch is used up.

    Args:
        stop: What was asked for; its `requested` is set on all processes when it is on one.
        mixer: The trainer's mixer.
        accelerator: The trainer's accelerator.
    """

    def __init__(self, stop: StopRequest, mixer: TaskMixer, accelerator: Accelerator) -> None:
        self.stop, self.mixer, self.accelerator = stop, mixer, accelerator

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        self.stop.check_parent()
        self._agree()

        # Between two batches the checkpoint is complete; within one, rollouts would be lost.
        is_between = self.mixer.batch is None
        if self.stop.requested and is_between and state.global_step < state.max_steps:
            control.should_save = True
            control.should_training_stop = True
        return control

    def _agree(self) -> None:
        # A signal reaches the processes at different steps.
        if self.accelerator.num_processes > 1:
            mine = torch.tensor([self.stop.requested], device=self.accelerator.device)
            everyones: Any = self.accelerator.gather(mine)
            self.stop.requested = bool(everyones.any())
