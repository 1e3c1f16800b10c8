"""The mixer's part of TRL's checkpoints: written with each, sealed, and restored bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from transformers import TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from mtgrpo.core.types import check_same_tasks
from mtgrpo.errors import StateError
from mtgrpo.integrations.trl.saved_rollouts import buffer_file, load_buffer, save_buffer
from mtgrpo.integrations.trl.setup import trained_names
from mtgrpo.integrations.trl.step import TrainingStep
from mtgrpo.runlog import checkpoints, load_state, save_state
from mtgrpo.tasks.task_set import TaskSet

STATE_FILE = "mixer.json"


class BatchInUse(NamedTuple):
    """How far TRL is with its generation batch.

    Attributes:
        forward_passes: TRL's ``_step``: forward passes since its first batch.
        slices: The batch as TRL keeps it, in the inputs of its forward passes; None when it has
            none.
    """

    forward_passes: int
    slices: list[dict[str, Any]] | None


class TrainerCheckpoints:
    """Makes TRL's checkpoints whole and complete.

    Args:
        step: Has the mixer, and the groups that wait for a later step.
        tasks: A checkpoint of other tasks is refused.
    """

    def __init__(self, step: TrainingStep, tasks: TaskSet) -> None:
        self.step, self.banked, self.tasks = step, step.banked, tasks
        self.cycle = step.schedule.cycle

    # ---- writing -------------------------------------------------------------------------------
    @contextmanager
    def writing(
        self,
        output_dir: str,
        args: TrainingArguments,
        state: TrainerState,
        accelerator: Any,
        batch: BatchInUse,
    ) -> Iterator[None]:
        """While TRL writes its part: ours comes before it, the seal after it.

        Args:
            output_dir: The run's directory of checkpoints.
            args: TRL's; say how many checkpoints are kept and whether this process writes.
            state: TRL's; knows the step and the best checkpoint.
            accelerator: accelerate's.
            batch: What is saved of it in the middle of a generation batch; TRL alone would lose it.

        Raises:
            StateError: It cannot be written; names the last good one.
        """
        folder = Path(output_dir, f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}")
        with checkpoints.writing(folder):
            (folder / checkpoints.SEAL_FILE).unlink(missing_ok=True)  # of an earlier attempt

            process = accelerator.process_index
            if self.step.mixer.batch is not None:
                save_buffer(buffer_file(folder, process), batch.slices or [])
            self.banked.save(folder, process)
            if args.should_save:
                save_state(folder / STATE_FILE, self.state_dict(batch.forward_passes))

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
    def restore(self, checkpoint: str | Path, accelerator: Any) -> BatchInUse:
        """Take up a checkpoint. Returns where TRL stood in its generation batch.

        Raises:
            StateError: As `check_resume`, or it was written in the middle of a batch that is used
                otherwise now.
        """
        check_resume(checkpoint, self.tasks)
        folder, state = Path(checkpoint), read_state(checkpoint)
        self.step.load_state_dict(state)
        self.banked.load_state_dict(state, folder, accelerator)

        if self.step.mixer.batch is None:
            return BatchInUse(0, None)

        if state["cycle"] != self.cycle:
            raise StateError(
                f"{folder}: written in the middle of a generation batch used {state['cycle']} "
                f"times, now {self.cycle}; resume with the same steps_per_generation and "
                "num_iterations"
            )
        slices = load_buffer(buffer_file(folder, accelerator.process_index), accelerator.device)
        return BatchInUse(int(state["forward_passes"]), slices)


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


def check_resume(path: str | Path, tasks: TaskSet) -> None:
    """Check that a checkpoint fits the tasks, before a model is loaded.

    Args:
        path: A ``checkpoint-<step>`` directory.
        tasks: The tasks to resume with.

    Raises:
        StateError: No state of ours, a damaged one, or one of other tasks, rows or order.
    """
    state = read_state(path)
    check_same_tasks(str(path), state["mixer"]["tasks"], trained_names(tasks))

    for name, stream in state["streams"].items():
        size = len(tasks[name].train)
        if stream["size"] != size:
            raise StateError(
                f"{path}: task {name!r} had {stream['size']} training rows, now {size}; "
                "resume with the same rows"
            )
