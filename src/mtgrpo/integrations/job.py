"""A configuration -> a trained model in a run directory, with TRL."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

from mtgrpo import tiny
from mtgrpo.build import build_sampler, build_weighting
from mtgrpo.config import RunConfig, parse_config
from mtgrpo.core.metrics import mean_accuracy, worst_accuracy
from mtgrpo.core.report import StepReport
from mtgrpo.errors import ConfigError, MtgrpoError, RunError, require, unknown
from mtgrpo.plan import Plan, make_plan
from mtgrpo.runlog import RunLog, read_run
from mtgrpo.tasks import TaskSet, build_tasks

# Keys of a configuration that may differ when a run is resumed: how long it goes on and how closely it is watched.
RESUMABLE = frozenset({"steps", "evaluation", "checkpoint", "threads", "output"})


class Display(Protocol):
    """What a job tells whoever watches it."""

    def message(self, text: str) -> None:
        """One line of news."""

    def step(self, step: int, metrics: Mapping[str, float], worst: str, accuracy: float) -> None:
        """A step is over; `worst` is the task with the lowest accuracy seen so far."""

    def evaluation(self, title: str, tasks: Mapping[str, Mapping[str, float]]) -> None:
        """An evaluation is over."""


class Silent:
    """A display that shows nothing."""

    def message(self, text: str) -> None:
        """Nothing."""

    def step(self, step: int, metrics: Mapping[str, float], worst: str, accuracy: float) -> None:
        """Nothing."""

    def evaluation(self, title: str, tasks: Mapping[str, Mapping[str, float]]) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Job:
    """A configuration made concrete, before a model is loaded.

    Attributes:
        config: Resolved configuration.
        tasks: Its tasks, with test rows cut to ``evaluation.prompts_per_task``.
        plan: Batch arithmetic for this number of processes.
        model: Directory or hub name.
        trl: Arguments of TRL's ``GRPOConfig``.
    """

    config: RunConfig
    tasks: TaskSet
    plan: Plan
    model: str
    trl: Mapping[str, Any]


def prepare(config: RunConfig) -> Job:
    """Check everything that can be checked without a model.

    Raises:
        ConfigError: Tasks, batch arithmetic or TRL's fields cannot work.
    """
    tasks = build_tasks(config.tasks, "tasks")
    tasks.check_disjoint()
    limit = config.evaluation.prompts_per_task
    if limit is not None:
        tasks = TaskSet(*(replace(t, test=[t.test[i] for i in range(min(limit, len(t.test)))]) for t in tasks))
    weighting = dict(config.weighting)
    if weighting["rule"] == "sequential" and not weighting["phases"]:
        weighting["phases"] = _families(tasks)
        weighting["steps_per_phase"] = -(-config.steps // len(weighting["phases"]))
    config = replace(config, weighting=weighting)
    build_weighting(config.weighting).bind(tasks.names)
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    plan = make_plan(config, world_size=world_size, num_test_prompts=sum(len(t.test) for t in tasks))
    model = str(tiny.model_path()) if config.model == "tiny" else config.model
    return Job(config, tasks, plan, model, _grpo_arguments(config, plan))


def _families(tasks: TaskSet) -> list[list[str]]:
    families: dict[str, list[str]] = {}
    for task in tasks:
        families.setdefault(task.family or task.name, []).append(task.name)
    return list(families.values())


def _grpo_arguments(config: RunConfig, plan: Plan) -> dict[str, Any]:
    torch, trl = require("torch", "trl"), require("trl", "trl")
    on_cpu = not torch.cuda.is_available()
    updates, samples = config.updates_per_step, config.evaluation.samples_per_prompt
    managed = {
        "output_dir": str(Path(config.output) / "checkpoints"),
        "per_device_train_batch_size": plan.micro_batch_size,
        "gradient_accumulation_steps": plan.gradient_accumulation_steps,
        "steps_per_generation": plan.steps_per_generation,
        "num_generations": config.group_size,
        "num_generations_eval": samples,
        "max_steps": plan.optimizer_steps,
        "learning_rate": config.learning_rate,
        "max_completion_length": config.max_completion_length,
        "seed": config.seed,
        "save_strategy": "steps",
        "save_steps": (config.checkpoint.every or config.steps) * updates,
        "save_total_limit": config.checkpoint.keep,
        "eval_strategy": "steps" if config.evaluation.every else "no",
        "eval_steps": (config.evaluation.every or config.steps) * updates,
        "logging_steps": updates,
    }
    defaults = {
        # Whole groups per process, and about as many rows as a training forward pass takes.
        "per_device_eval_batch_size": max(1, max(plan.micro_batch_size, 64) // samples) * samples,
        "lr_scheduler_type": "constant",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": on_cpu,
        "bf16": not on_cpu,
        "gradient_checkpointing": not on_cpu,
    }
    known = {f.name for f in fields(trl.GRPOConfig)}
    for key in config.trl:
        if key in managed:
            raise ConfigError(f"trl.{key}: derived from this configuration's own keys; change those instead")
        if key not in known:
            raise ConfigError(unknown("trl", "GRPOConfig field", key, known))
    return {**defaults, **config.trl, **managed}


def describe_job(config: RunConfig) -> dict[str, list[tuple[str, str]]]:
    """The resolved plan, in sections of lines, for ``--dry-run``. Loads no weights.

    Raises:
        ConfigError: As `prepare`.
    """
    from mtgrpo.integrations.memory import describe_memory

    job = prepare(config)
    config, plan = job.config, job.plan
    trained = {f.removeprefix("_"): str(v) for f, v in sorted(job.trl.items())}
    return {
        "run": [
            ("model", job.model),
            ("method", f"{config.preset} ({config.variant}, {config.setting})"),
            ("output", config.output),
        ],
        "tasks": [(t.name, f"{len(t.train):,} train, {len(t.test):,} test rows") for t in job.tasks],
        "weighting": [(k, str(v)) for k, v in config.weighting.items()],
        "sampler": [(k, str(v)) for k, v in config.sampler.items()],
        "batch": [
            ("steps", f"{config.steps:,} ({plan.optimizer_steps:,} policy updates)"),
            (
                "groups per step",
                f"{config.batch_size} of {config.group_size} completions = {plan.rows_per_step:,} rows",
            ),
            (
                "rows per update",
                f"{plan.rows_per_update:,} = {plan.world_size} processes x {plan.gradient_accumulation_steps} "
                f"accumulation steps x {plan.micro_batch_size} rows",
            ),
            ("rollouts per step", f"{plan.min_rollouts:,} to {plan.max_rollouts:,} (the budget of rounds)"),
            ("rollouts per evaluation", f"{plan.num_evaluation_rollouts:,}"),
        ],
        "memory": describe_memory(config, plan, job.model),
        "GRPOConfig": list(trained.items()),
    }


def evaluate(config: RunConfig, *, model: str | None = None) -> dict[str, Any]:
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


def train(config: RunConfig, *, resume: bool = False, display: Display | None = None) -> dict[str, Any]:
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
    from mtgrpo.integrations.stopping import graceful_stop

    display = display or Silent()
    job = prepare(config)
    config, out = job.config, Path(job.config.output)
    if resume and (finished := _finished(out, config)) is not None:
        return finished
    resume = resume and (out / "config.yaml").is_file()
    if resume:
        _check_same_run(out, config)
    main = int(os.environ.get("RANK", "0")) == 0
    log = None
    if main:
        log = RunLog.resume(out) if resume else RunLog.create(out, job.tasks.names)
    try:
        checkpoint = _last_checkpoint(out, job.tasks) if resume else None
        step = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
        if log is not None:
            if resume:
                log.truncate_after(step)
            log.write_config(config.as_dict())
            log.write_environment(seed=config.seed)
        trainer = _trainer(job, log, display)
        if checkpoint is not None:
            display.message(f"resuming from {checkpoint}")
        evaluates = trainer.eval_dataset is not None
        if evaluates and checkpoint is None and (log is None or not log.has_evaluation(0)):
            trainer.evaluate()
            display.evaluation("test accuracy in %, before training", _rows(trainer))
        with graceful_stop(trainer, display.message) as stopped:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if not stopped() and evaluates:
            if log is None or not log.has_evaluation(trainer.state.global_step):
                trainer.evaluate()
            display.evaluation("test accuracy in %, after training", _rows(trainer))
        if not stopped():
            trainer.save_model(str(out / "model"))
        summary: dict[str, Any] = {}
        if log is not None:
            summary = summarize(out, "interrupted" if stopped() else "finished")
            log.write_summary(summary)
        return {**summary, "lines": _closing_lines(out, stopped())}
    except MtgrpoError as error:
        if log is not None:
            log.write_summary({**summarize(out, "failed"), "error": str(error)})
        raise
    finally:
        if log is not None:
            log.close()


def summarize(out: Path, status: str) -> dict[str, Any]:
    """The summary of a run from its own log: accuracy before and after, cost, how often the shares were met."""
    run = read_run(out)
    evaluations = sorted(run.evaluations, key=lambda e: e.step)
    before = {name: t.accuracy for name, t in evaluations[0].tasks.items()} if evaluations else {}
    after = {name: t.accuracy for name, t in evaluations[-1].tasks.items()} if len(evaluations) > 1 else {}
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

    def on_step(step: int, report: StepReport) -> None:
        worst = min(report.last_accuracy, key=lambda name: report.last_accuracy[name])
        display.step(step, report.metrics(), worst, report.last_accuracy[worst])

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
            weighting=build_weighting(config.weighting),
            sampler=build_sampler(config.sampler),
            task_reward=config.task_reward or "accuracy",
            observe=config.observe or "step",
            surrogate=config.surrogate or "mean",
            eval_seed=config.evaluation.seed,
            run_log=log,
            on_mixer_step=on_step,
        )
    except OSError as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"model: {job.model!r} cannot be loaded ({reason}); give a directory or a hub name"
        ) from error
    trainer.remove_callback(PrinterCallback)  # prints every metric of every step; `display` shows the few that matter
    return trainer


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


def _finished(out: Path, config: RunConfig) -> dict[str, Any] | None:
    """The summary of a run that has nothing left to do, None otherwise."""
    if not (out / "summary.json").is_file():
        return None
    run = read_run(out)
    summary = dict(run.summary or {})
    if summary.get("status") != "finished" or summary.get("steps", 0) < config.steps * config.updates_per_step:
        return None
    _check_same_run(out, config)
    return {**summary, "lines": [f"already finished: {out}; remove it or choose another --output to train again"]}


def _check_same_run(out: Path, config: RunConfig) -> None:
    yaml = require("yaml", "cli")
    where = out / "config.yaml"
    saved = parse_config(yaml.safe_load(where.read_text(encoding="utf-8")), str(where)).as_dict()
    now = parse_config(config.as_dict(), "configuration").as_dict()
    differing = sorted(key for key in now if key not in RESUMABLE and now[key] != saved.get(key))
    if differing:
        key = differing[0]
        raise RunError(
            f"{out}: started with {key}={saved.get(key)!r}, now {now[key]!r} "
            f"({len(differing)} keys differ: {', '.join(differing)}); resume with the same configuration, "
            "or choose another --output"
        )


def _last_checkpoint(out: Path, tasks: TaskSet) -> Path | None:
    """The newest checkpoint that can be resumed; one torn by a crash is passed over."""
    from mtgrpo.integrations.trl_setup import check_resume

    found = sorted(
        (p for p in (out / "checkpoints").glob("checkpoint-*") if (p / "trainer_state.json").is_file()),
        key=lambda p: int(p.name.rpartition("-")[2]),
    )
    if not found:
        return None
    check_resume(str(found[-1]), tasks)
    return found[-1]


def _closing_lines(out: Path, stopped: bool) -> list[str]:
    if stopped:
        return [f"interrupted; continue with the same command and --resume (state in {out / 'checkpoints'})"]
    return [f"model: {out / 'model'}", f"log: {out / 'metrics.jsonl'}", f"report: mtgrpo report {out}"]
