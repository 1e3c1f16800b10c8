"""A configuration -> a trained model in a run directory, with TRL."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mtgrpo.config import ResolvedRun
from mtgrpo.core.metrics import mean_accuracy, worst_accuracy
from mtgrpo.core.report import StepReport
from mtgrpo.errors import ConfigError, MtgrpoError, require
from mtgrpo.jobs.resume import (
    check_same_run,
    checkpoint_to_resume,
    finished_summary,
    logged_evaluation,
)
from mtgrpo.jobs.setup import Job, prepare
from mtgrpo.runlog import RunLog, read_run
from mtgrpo.runlog.checkpoints import checkpoint_step, newest

if TYPE_CHECKING:
    from mtgrpo.jobs.stopping import Stop

SMOOTHING = 24
"""Groups that the shown accuracy of a task is smoothed over: one step may have only one group of it."""


class Display(Protocol):
    """What a job tells whoever watches it."""

    def message(self, text: str) -> None:
        """One line of news."""

    def step(
        self, step: int, metrics: Mapping[str, float], accuracies: Mapping[str, float]
    ) -> None:
        """A step is over; `accuracies` are those of the tasks' last few dozen training groups."""

    def evaluation(self, title: str, tasks: Mapping[str, Mapping[str, float]]) -> None:
        """An evaluation is over."""


class Silent:
    """A display that shows nothing."""

    def message(self, text: str) -> None:
        """Nothing."""

    def step(
        self, step: int, metrics: Mapping[str, float], accuracies: Mapping[str, float]
    ) -> None:
        """Nothing."""

    def evaluation(self, title: str, tasks: Mapping[str, Mapping[str, float]]) -> None:
        """Nothing."""


def evaluate(config: ResolvedRun, *, model: str | None = None) -> dict[str, Any]:
    """Test accuracy per task of a model.

    Args:
        config: Resolved configuration; its tasks and ``evaluation`` say what is measured.
        model: Directory or hub name; by default the configuration's model.

    Returns:
        ``{"title", "tasks": {name: {"accuracy", "reward", "std_error", "num_prompts"}}}``.

    Raises:
        ConfigError: As `prepare`, or the model cannot be loaded.
    """
    import tempfile

    job = prepare(config)
    job = replace(job, model=model or job.model)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = _trainer(replace(job, trl={**job.trl, "output_dir": scratch}), None, Silent())
        trainer.evaluate()
    return {"title": f"test accuracy in %: {job.model}", "tasks": _rows(trainer)}


def train(
    config: ResolvedRun, *, resume: bool = False, display: Display | None = None
) -> dict[str, Any]:
    """Train, evaluating before and after; everything is in the run directory.

    Args:
        config: Resolved configuration.
        resume: Continue the run in ``config.output`` from its last checkpoint. Starts one if there is none.
        display: Who watches.

    Returns:
        The summary, as written to ``summary.json``, with ``lines`` that say where things are.

    Raises:
        ConfigError: As `prepare`, or the model cannot be loaded.
        RunError: The directory holds another run, or one in use.
        RewardError: A reward failed; the checkpoints so far are kept.
    """
    from mtgrpo.jobs.stopping import stop_on_signals

    display = display or Silent()
    job = prepare(config)
    config, out = job.config, Path(job.config.output)
    if resume and (finished := finished_summary(out, config)) is not None:
        return finished
    resume = resume and (out / "config.yaml").is_file()
    if resume:
        check_same_run(out, config)
    main = int(os.environ.get("RANK", "0")) == 0
    log = None
    if main:
        log = RunLog.resume(out) if resume else RunLog.create(out, job.tasks.names)
    begun = False
    try:
        with stop_on_signals(display.message) as stop:
            try:
                tidy = log is not None
                checkpoint = (
                    checkpoint_to_resume(out, job.tasks, display.message, tidy=tidy)
                    if resume
                    else None
                )
                begun = True
                _train(job, log, stop, display, resume, checkpoint)
                status = "interrupted" if stop.requested else "finished"
            except KeyboardInterrupt:
                status = "interrupted"
        summary: dict[str, Any] = {"status": status}
        if log is not None:
            summary = summarize(out, status)
            log.write_summary(summary)
        return {**summary, "lines": _closing_lines(out, status)}
    except MtgrpoError as error:
        if log is not None and begun:  # who is refused changes nothing
            with contextlib.suppress(
                MtgrpoError
            ):  # a full disk, say: the first error is the one to show
                log.write_summary({**summarize(out, "failed"), "error": str(error)})
        raise
    finally:
        if log is not None:
            log.close()


def _train(
    job: Job,
    log: RunLog | None,
    stop: Stop,
    display: Display,
    resume: bool,
    checkpoint: Path | None,
) -> None:
    """Everything between opening the run directory and closing it; returns early when asked to stop."""
    config, out = job.config, Path(job.config.output)
    step = checkpoint_step(checkpoint) if checkpoint else 0
    if log is not None:
        if resume:
            log.truncate_after(step)
        log.write_config(config.as_dict())
        log.write_environment(seed=config.seed)
    if checkpoint is not None:
        display.message(f"resuming from {checkpoint}")
    trained = checkpoint is not None and step >= job.plan.optimizer_steps
    trainer = _trainer(replace(job, model=str(checkpoint)) if trained else job, log, display)
    with contextlib.closing(trainer.scores.scorer):
        evaluates = trainer.eval_dataset is not None
        if evaluates and checkpoint is None and not _has_evaluation(trainer, log, 0):
            trainer.evaluate()
            display.evaluation("test accuracy in %, before training", _rows(trainer))
        if trained:  # killed between its last step and its end; TRL would train one step more
            trainer.restore_finished(checkpoint)
        else:
            with stop.after_the_step(trainer):
                trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if stop.requested:
            return
        if evaluates:
            if not _has_evaluation(trainer, log, trainer.state.global_step):
                trainer.evaluate()
            rows = _rows(trainer) or logged_evaluation(out, trainer.state.global_step)
            display.evaluation("test accuracy in %, after training", rows)
        trainer.save_model(str(out / "model"))


def summarize(out: Path, status: str) -> dict[str, Any]:
    """The summary of a run from its own log: accuracy before and after, cost, how often the shares were met."""
    run = read_run(out)
    evaluations = sorted(run.evaluations, key=lambda e: e.step)
    before = {name: t.accuracy for name, t in evaluations[0].tasks.items()} if evaluations else {}
    after = (
        {name: t.accuracy for name, t in evaluations[-1].tasks.items()}
        if len(evaluations) > 1
        else {}
    )
    met = [m.values["sampler/shares_met"] for m in run.metrics if "sampler/shares_met" in m.values]
    summary: dict[str, Any] = {
        "status": status,
        "steps": run.metrics[-1].step if run.metrics else 0,
        "rollouts": run.metrics[-1].rollouts if run.metrics else 0,
        "elapsed_s": run.metrics[-1].elapsed_s if run.metrics else 0.0,
        "shares_met_rate": sum(v or 0.0 for v in met) / len(met) if met else None,
        "accuracy_before": before,
        "accuracy_after": after,
    }
    for when, accuracy in (("before", before), ("after", after)):
        if accuracy:
            summary[f"worst_accuracy_{when}"] = worst_accuracy(accuracy)
            summary[f"mean_accuracy_{when}"] = mean_accuracy(accuracy)
    return summary


def _trainer(job: Job, log: RunLog | None, display: Display) -> Any:
    torch, trl = require("torch", "trl"), require("trl", "trl")
    from transformers import PrinterCallback
    from transformers.utils import logging

    from mtgrpo.integrations.trl import MultiTaskGRPOTrainer

    torch.set_num_threads(job.config.threads)
    logging.set_verbosity_error()
    logging.disable_progress_bar()  # a bar for each file of a checkpoint would bury the lines of the steps

    smoothed: dict[str, float] = {}
    told: dict[str, str] = {}

    def on_step(step: int, report: StepReport) -> None:
        for name, accuracy in report.totals.mean_accuracies().items():
            share = report.totals.num_scored[name] / (report.totals.num_scored[name] + SMOOTHING)
            smoothed[name] = smoothed.get(name, accuracy) + share * (
                accuracy - smoothed.get(name, accuracy)
            )
        display.step(step, report.metrics(), smoothed)
        for name in sorted(report.notices.keys() | told.keys()):
            now = report.notices.get(name, "can be trained again")
            if told.get(name) != report.notices.get(name):
                display.message(f"step {step}: task {name!r} {now}")
        told.clear()
        told.update(report.notices)

    try:
        arguments = trl.GRPOConfig(**job.trl)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"trl: {' '.join(str(error).split())}") from error
    config = job.config
    try:
        trainer = MultiTaskGRPOTrainer(
            job.model,
            job.tasks,
            args=arguments,
            method=config.method,
            share_prompts=not torch.cuda.is_available()
            if config.share_prompts is None
            else config.share_prompts,
            eval_seed=config.evaluation.seed,
            run_log=log,
            on_mixer_step=on_step,
        )
    except OSError as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"model: {job.model!r} cannot be loaded ({reason}); give a directory or a hub name"
        ) from error
    trainer.remove_callback(
        PrinterCallback
    )  # prints every metric of every step; `display` shows the few that matter
    return trainer


def _has_evaluation(trainer: Any, log: RunLog | None, step: int) -> bool:
    """Whether this evaluation is in the log, which only the main process reads; all processes act alike."""
    from accelerate.utils import broadcast_object_list

    found = [log is not None and log.has_evaluation(step)]
    if trainer.accelerator.num_processes > 1:
        broadcast_object_list(found)
    return found[0]


def _rows(trainer: Any) -> dict[str, dict[str, float]]:
    return {
        name: {
            "accuracy": result.accuracy,
            "reward": result.reward,
            "std_error": result.std_error,
            "num_prompts": result.num_prompts,
        }
        for name, result in trainer.evaluation.items()
    }


def _closing_lines(out: Path, status: str) -> list[str]:
    if status == "interrupted":
        found = newest(out / "checkpoints").path
        where = (
            "from the start: no step was saved yet"
            if found is None
            else f"from step {checkpoint_step(found)}"
        )
        return [
            f"interrupted; continue with the same command and --resume ({where}; {out / 'checkpoints'})"
        ]
    return [
        f"model: {out / 'model'}",
        f"log: {out / 'metrics.jsonl'}",
        f"report: mtgrpo report {out}",
    ]
