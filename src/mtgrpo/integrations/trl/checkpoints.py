"""The mixer's part of TRL's checkpoints: written with each, sealed, and restored bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.prompts import PromptStream
from mtgrpo.errors import StateError
from mtgrpo.integrations.trl import setup as trl_setup
from mtgrpo.integrations.trl.evaluation_loop import TaskEvaluationTrainer
from mtgrpo.integrations.trl.saved_rollouts import buffer_file, load_buffer, save_buffer
from mtgrpo.integrations.trl.setup import check_resume
from mtgrpo.runlog import checkpoints, save_state
from mtgrpo.tasks.scoring.drop_limit import DropLimit


class CheckpointTrainer(TaskEvaluationTrainer):
    """Adds whole and complete checkpoints to the trainer."""

    mixer: TaskMixer
    streams: dict[str, PromptStream]
    drop_limit: DropLimit
    _improvements: list[dict[str, float]]
    _step_counts: dict[str, float]
    _num_discarded_rollouts: int

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        runs = Path(self._get_output_dir(trial=trial))
        folder = runs / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        with checkpoints.writing(folder):
            (folder / checkpoints.SEAL_FILE).unlink(missing_ok=True)  # of an earlier attempt
            if (
                self.mixer.batch is not None
            ):  # in the middle of a generation batch; TRL alone would lose it
                save_buffer(
                    buffer_file(folder, self.accelerator.process_index), self._buffered_inputs or []
                )
            self._save_bank(folder)
            if self.args.should_save:
                save_state(folder / trl_setup.STATE_FILE, self._mixer_state())
            # TRL deletes the oldest checkpoint before this one is known to be whole: that is done here, after it.
            limit, self.args.save_total_limit = self.args.save_total_limit, None
            try:
                super()._save_checkpoint(model, trial)
            finally:
                self.args.save_total_limit = limit
            self.accelerator.wait_for_everyone()  # each process writes files of its own
            if self.args.should_save:
                checkpoints.seal(folder)
                best = self.state.best_model_checkpoint
                if limit:
                    checkpoints.rotate(runs, limit, Path(best) if best else None)

    def _mixer_state(self) -> dict[str, Any]:
        return {
            "mixer": self.mixer.state_dict(),
            "streams": {name: stream.state_dict() for name, stream in self.streams.items()},
            "dropped": self.drop_limit.state_dict(),
            "num_discarded_rollouts": self._num_discarded_rollouts,
            "improvements": self._improvements,
            "step_counts": self._step_counts,
            "forward_passes": self._step % self.schedule.cycle,
            "cycle": self.schedule.cycle,
            **self._bank_state(),
        }

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        check_resume(resume_from_checkpoint, self.tasks)  # before anything of it is loaded
        super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: Any) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self._restore(checkpoint)

    def restore_finished(self, checkpoint: str | Path) -> None:
        """Take up the counts of a run's last checkpoint, where no step is left; the model was loaded from it."""
        self._restore(checkpoint)
        self.state = TrainerState.load_from_json(str(Path(checkpoint) / TRAINER_STATE_NAME))

    def _restore(self, checkpoint: str | Path) -> None:
        check_resume(checkpoint, self.tasks)
        state = trl_setup.read_state(checkpoint)
        self.mixer.load_state_dict(state["mixer"])
        for name, stream in self.streams.items():
            stream.load_state_dict(state["streams"][name])
        self.drop_limit.load_state_dict(state["dropped"])
        self._load_bank(Path(checkpoint), state)
        self._num_discarded_rollouts = int(state["num_discarded_rollouts"])
        self._improvements, self._step_counts = state["improvements"], state["step_counts"]
        self._step, self._buffered_inputs = 0, None
        if self.mixer.batch is not None:
            if state["cycle"] != self.schedule.cycle:
                raise StateError(
                    f"{checkpoint}: written in the middle of a generation batch used {state['cycle']} times, now "
                    f"{self.schedule.cycle}; resume with the same steps_per_generation and num_iterations"
                )
            file = buffer_file(Path(checkpoint), self.accelerator.process_index)
            self._buffered_inputs = load_buffer(file, self.accelerator.device)
            self._step = int(state["forward_passes"])
