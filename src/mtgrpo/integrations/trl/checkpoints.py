"""The mixer's part of TRL's checkpoints: written with each, sealed, and restored bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from mtgrpo.core.types import check_same_tasks
from mtgrpo.errors import StateError, counted
from mtgrpo.integrations.trl.saved_rollouts import buffer_file, load_buffer, save_buffer
from mtgrpo.integrations.trl.step import TrainingStep
from mtgrpo.integrations.trl.weights import load_reference, save_reference
from mtgrpo.runlog import checkpoints, load_state, save_state
from mtgrpo.runlog.checkpoints import STATE_FILE
from mtgrpo.tasks.task_set import TaskSet


class TrainerCheckpoints:
    """Makes TRL's checkpoints whole and complete.

    Args:
        step: Has the mixer, and the groups that wait for a later step.
        tasks: The trainer's.
        may_change: Whether a checkpoint of other tasks is taken up; else it is refused.
    """

    def __init__(self, step: TrainingStep, tasks: TaskSet, *, may_change: bool = False) -> None:
        self.may_change = may_change
        self.step, self.banked, self.tasks = step, step.banked, tasks
        self.cycle = step.schedule.cycle

    # ---- writing -------------------------------------------------------------------------------
    @contextmanager
    def writing(self, trainer: Any, trial: Any) -> Iterator[None]:
        """While TRL writes its part: ours comes before it, the seal after it.

        Args:
            trainer: TRL's `GRPOTrainer`.
            trial: TRL's, where hyper-parameters are searched.

        Raises:
            StateError: It cannot be written; names the last good one.
        """
        args, state, accelerator = trainer.args, trainer.state, trainer.accelerator
        folder = Path(
            trainer._get_output_dir(trial=trial), f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        )
        with checkpoints.writing(folder):
            (folder / checkpoints.SEAL_FILE).unlink(missing_ok=True)  # of an earlier attempt

            # In the middle of a generation batch TRL alone would lose it.
            process = accelerator.process_index

            if self.step.mixer.batch is not None:
                save_buffer(buffer_file(folder, process), trainer._buffered_inputs or [])
            self.banked.save(folder, process)

            if args.should_save:
                save_reference(trainer, folder)
                save_state(folder / STATE_FILE, self.state_dict(trainer._step))

            # TRL deletes the oldest checkpoint before this one is known to be whole: that is done
            # here, after it.
            limit, args.save_total_limit = args.save_total_limit, None
            try:
                yield
            finally:
                args.save_total_limit = limit

            accelerator.wait_for_everyone()  # each process writes files of its own
            if args.should_save:
                writer = self.step.writer
                log = None if writer is None else writer.run_log.sync()
                checkpoints.seal(folder, seed=args.seed, log=log)

                if limit:
                    best = state.best_model_checkpoint
                    checkpoints.rotate(folder.parent, limit, Path(best) if best else None)

    def state_dict(self, forward_passes: int) -> dict[str, Any]:
        """What `STATE_FILE` holds, JSON-able."""
        return {
            **self.step.state_dict(),
            "forward_passes": forward_passes % self.cycle,
            "cycle": self.cycle,
            **self.banked.state_dict(),
        }

    # ---- reading -------------------------------------------------------------------------------
    def check(self, checkpoint: str | Path) -> None:
        """Refuse a checkpoint that cannot be taken up; see `check_resume`."""
        check_resume(checkpoint, self.tasks, may_change=self.may_change)

    def restore(self, trainer: Any, checkpoint: str | Path) -> None:
        """Take up a checkpoint, and where TRL stood in its generation batch.

        Raises:
            StateError: As `check_resume`, or groups, batch or reference model do not fit.
        """
        self.check(checkpoint)
        folder, state = Path(checkpoint), read_state(checkpoint)
        accelerator = trainer.accelerator

        load_reference(trainer, folder)
        self.step.load_state_dict(state)
        self._check_group_size(folder)
        self.banked.load_state_dict(state, folder, accelerator)

        trainer._step, trainer._buffered_inputs = 0, None
        if self.step.mixer.batch is None:
            return

        if state["cycle"] != self.cycle:
            raise StateError(
                f"{folder}: written in the middle of a generation batch used "
                f"{counted(state['cycle'], 'time')}, now {self.cycle}; resume with the same "
                "steps_per_generation and "
                "num_iterations"
            )

        file = buffer_file(folder, accelerator.process_index)
        trainer._buffered_inputs = load_buffer(file, accelerator.device)
        trainer._step = int(state["forward_passes"])

    def restore_finished(self, trainer: Any, checkpoint: str | Path) -> None:
        """Take up the counts of a run's last checkpoint; the model was loaded from it."""
        self.restore(trainer, checkpoint)
        trainer.state = TrainerState.load_from_json(str(Path(checkpoint, TRAINER_STATE_NAME)))

    def _check_group_size(self, folder: Path) -> None:
        """Groups of another size could not be shared out and compared as TRL does it."""
        batch = self.step.mixer.batch
        groups = [*self.banked.waiting(), *(batch.groups if batch is not None else ())]
        now = self.step.schedule.group_size

        for group in groups:
            size = len(group.rewards)
            if size != now:
                raise StateError(
                    f"{folder}: groups of {size} completions are still to be trained on, now "
                    f"num_generations={now}; resume with num_generations={size}, or from a "
                    "checkpoint that has none of them"
                )


def read_state(checkpoint: str | Path) -> dict[str, Any]:
    """The mixer's part of a checkpoint, once the whole of it is known to be sound.

    Raises:
        StateError: There is none, or the checkpoint is unfinished or damaged; names the last good
            one.
    """
    folder = Path(checkpoint)
    if not (folder / STATE_FILE).is_file():
        raise StateError(
            f"{checkpoint}: no {STATE_FILE}; a checkpoint written by MultiTaskGRPOTrainer is "
            "needed; start a new run from these weights with model=, instead of resuming"
        )
    if defect := checkpoints.defect(folder):
        raise StateError(f"{checkpoint}: {defect}; {checkpoints.instead_of(folder)}")

    return load_state(folder / STATE_FILE)


def check_resume(path: str | Path, tasks: TaskSet, *, may_change: bool = False) -> None:
    """Check that a checkpoint fits the tasks, before a model is loaded.

    Args:
        path: A ``checkpoint-<step>`` directory.
        tasks: The tasks to resume with.
        may_change: Whether they may be others than those saved, with more or fewer rows.

    Raises:
        StateError: No state of ours, a damaged one, or one of other tasks, rows or order.
    """
    state = read_state(path)
    if may_change:
        return
    check_same_tasks(str(path), state["mixer"]["tasks"], tasks.trained)

    for name, stream in state["streams"].items():
        size = len(tasks[name].train)
        if stream["size"] != size:
            raise StateError(
                f"{path}: task {name!r} had {counted(stream['size'], 'training row')}, now {size}; "
                "resume with the same rows"
            )
