"""A resolved run -> a trained model in a run directory, with TRL."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtgrpo.config import ResolvedRun, origin_with
from mtgrpo.core.budget import TightBudget
from mtgrpo.errors import MtgrpoError
from mtgrpo.jobs.display import Display, Silent, StepNews
from mtgrpo.jobs.named_models import make_model, model_place
from mtgrpo.jobs.resume import check_same_run, checkpoint_to_resume, describe_move
from mtgrpo.jobs.setup import Job, blaming, budget_of, check_chat, prepare
from mtgrpo.jobs.stopping import Stop, stop_on_signals
from mtgrpo.jobs.summary import (
    closing_lines,
    finished_summary,
    logged_evaluation,
    score_rows,
)
from mtgrpo.runlog import RunLog
from mtgrpo.runlog.checkpoints import checkpoint_step
from mtgrpo.runlog.summary import summarize

if TYPE_CHECKING:
    from mtgrpo.integrations.trl import MultiTaskGRPOTrainer


def evaluate(run: ResolvedRun, *, model: str | None = None) -> dict[str, Any]:
    """Test accuracy per task of a model.

    Args:
        run: Its tasks and ``evaluation`` say what is measured.
        model: As in a configuration; by default the run's model, untrained.

    Returns:
        ``{"title", "tasks": {name: {"accuracy", "reward", "std_error", "num_prompts",
        "measure"}}}``.

    Raises:
        ConfigError: As `prepare`, or the model cannot be loaded.
    """
    job = prepare(run)
    if model is not None:
        # The file is still to blame for what else it says, its adapter, say.
        run = replace(run, model=model, origin=origin_with(run.origin, f"model {model}"))
    place = job.model if model is None else model_place(model)

    from mtgrpo.integrations.trl.job import make_trainer

    with tempfile.TemporaryDirectory() as scratch:
        arguments = {**job.trl, "output_dir": scratch, "report_to": "none"}
        with blaming(run):
            make_model(run.model)
            trainer = make_trainer(
                job.run, tasks=job.tasks, arguments=arguments, **adapter_arguments(job, place)
            )
        with contextlib.closing(trainer.step.scorer):
            trainer.evaluate()

    return {
        "title": f"test accuracy in %: {place}",
        "tasks": score_rows(trainer.evaluation.results),
    }


def train(
    run: ResolvedRun, *, resume: bool = False, display: Display | None = None
) -> dict[str, Any]:
    """Train, evaluating before and after; everything is in the run directory.

    Args:
        run: The run.
        resume: Go on with the run in ``run.output`` from its last checkpoint. Starts one if there
            is none, and says so: a job that is started again and again is one command.
        display: Where news go.

    Returns:
        The summary, as written to ``summary.json``, with ``lines`` that say where things are.

    Raises:
        ConfigError: As `prepare`, or the model cannot be loaded.
        RunError: The directory holds another run, or one in use.
        RewardError: A reward failed; the checkpoints so far are kept.
    """
    display = display or Silent()
    job = prepare(run)
    with blaming(job.run):
        check_chat(job)
    out = Path(job.run.output)

    resumes = resume and (out / "config.yaml").is_file()
    if resume and not resumes:
        display.message(f"{out}: no run to resume there; starting one")
    if resumes:
        for change in check_same_run(out, job.run):
            display.message(change)
        if move := describe_move(out):
            display.message(move)

        summary = finished_summary(out, job.run)
        if summary is not None:
            return summary

    with _run_log(job, resumes) as log, stop_on_signals(display.message) as stop:
        return _Training(job, log, stop, display).carry_out(resumes)


def adapter_arguments(job: Job, place: str) -> dict[str, Any]:
    """The arguments of `make_trainer` for weights in a directory: a model, or a model's adapter."""
    from mtgrpo.integrations.trl.adapters import is_adapter

    if place != job.model and is_adapter(place):
        return {"model": job.model, "adapter": place}
    return {"model": place, "adapter": None}


@contextlib.contextmanager
def _run_log(job: Job, resumes: bool) -> Iterator[RunLog | None]:
    """The run's log, held until the end of the block; None on all processes but the main one."""
    if int(os.environ.get("RANK", "0")) != 0:
        yield None
        return

    out = Path(job.run.output)
    log = RunLog.resume(out) if resumes else RunLog.create(out, job.tasks.names)
    with log:
        yield log


class _Training:
    """One run, phase by phase, from its opened directory to its summary."""

    def __init__(self, job: Job, log: RunLog | None, stop: Stop, display: Display) -> None:
        self.job, self.log, self.stop, self.display = job, log, stop, display
        self.out = Path(job.run.output)
        self.news = StepNews(display, TightBudget(budget_of(job.run), job.run.batch_size))

    def carry_out(self, resumes: bool) -> dict[str, Any]:
        """All phases; returns the summary."""
        try:
            # A run that is refused here stays as it is.
            checkpoint = self.find_checkpoint() if resumes else None
        except KeyboardInterrupt:
            return self.close("interrupted")

        try:
            self.open(checkpoint, resumes)
            self.work(checkpoint)
        except KeyboardInterrupt:
            return self.close("interrupted")
        except MtgrpoError as error:
            self.close_failed(error)
            raise

        return self.close("interrupted" if self.stop.requested else "finished")

    def find_checkpoint(self) -> Path | None:
        """Where to go on; None at the start."""
        is_main = self.log is not None
        return checkpoint_to_resume(self.job, self.display.message, tidy=is_main)

    def open(self, checkpoint: Path | None, resumes: bool) -> None:
        """Bring the log to where the run goes on."""
        if self.log is not None:
            if resumes:
                self.log.truncate_after(checkpoint_step(checkpoint) if checkpoint else 0)
            self.log.write_config(self.job.run.as_dict())
            self.log.write_environment(seed=self.job.run.seed)

        self.display.message(f"run directory: {self.out}")
        if checkpoint is not None:
            self.display.message(f"resuming from {checkpoint}")

    def work(self, checkpoint: Path | None) -> None:
        """Load the model, evaluate, train, evaluate again, save the model."""
        from mtgrpo.integrations.trl.reporting import reporting

        trainer = self.load(checkpoint)

        with contextlib.closing(trainer.step.scorer), reporting(trainer, self.job.run.output):
            if checkpoint is None:
                self.evaluate(trainer, "before")
            self.optimize(trainer, checkpoint)
            if self.stop.requested:
                return
            self.evaluate(trainer, "after")
            trainer.save_model(str(self.out / "model"))

    def load(self, checkpoint: Path | None) -> MultiTaskGRPOTrainer:
        """The trainer with its model: that of the last checkpoint, if no step is left."""
        from mtgrpo.integrations.trl.job import make_trainer

        place = self.job.model
        if checkpoint is not None and self.is_trained(checkpoint):
            place = str(checkpoint)

        with blaming(self.job.run):
            make_model(self.job.run.model)
            return make_trainer(
                self.job.run,
                tasks=self.job.tasks,
                arguments=self.job.trl,
                **adapter_arguments(self.job, place),
                run_log=self.log,
                on_mixer_step=self.news,
            )

    def is_trained(self, checkpoint: Path) -> bool:
        """Whether the run was ended between its last step and its summary."""
        return checkpoint_step(checkpoint) >= self.job.plan.optimizer_steps

    def optimize(self, trainer: MultiTaskGRPOTrainer, checkpoint: Path | None) -> None:
        """The steps that are left."""
        if checkpoint is not None and self.is_trained(checkpoint):
            trainer.checkpoints.restore_finished(
                trainer, checkpoint
            )  # TRL would train one step more
            return

        with self.stop.after_the_step(trainer):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)

    def evaluate(self, trainer: MultiTaskGRPOTrainer, when: str) -> None:
        """The accuracies now, measured unless they are in the log already."""
        from mtgrpo.integrations.trl.job import has_evaluation

        if trainer.eval_dataset is None:
            return

        step = trainer.state.global_step
        if not has_evaluation(trainer, self.log, step):
            trainer.evaluate()

        # The log has graded tasks on one scale for the whole run, as the summary and reports do.
        rows = logged_evaluation(self.out, step) or score_rows(trainer.evaluation.results)
        self.display.evaluation(f"test accuracy in %, {when} training", rows)

    def close(self, status: str) -> dict[str, Any]:
        """Write the summary."""
        summary: dict[str, Any] = {"status": status}
        if self.log is not None:
            summary = summarize(self.out, status)
            self.log.write_summary(summary)
        # Again at the end, as nobody reads all of a long log: a task that trained on nothing, say.
        notices = [
            f"after the last step: task {name!r} {text}" for name, text in self.news.notices.items()
        ]
        return {**summary, "lines": notices + closing_lines(self.out, summary)}

    def close_failed(self, error: MtgrpoError) -> None:
        """Write the summary of a run that an error ended, if it can still be written."""
        if self.log is None:
            return
        # On a full disk, say, the first error is the one to show.
        with contextlib.suppress(MtgrpoError):
            self.log.write_summary({**summarize(self.out, "failed"), "error": str(error)})
