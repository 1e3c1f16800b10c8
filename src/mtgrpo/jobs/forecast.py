"""What a run will take, from a run of the same configuration that was recorded beside it."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mtgrpo.config import ResolvedRun, load_config
from mtgrpo.core.filters import keep_all
from mtgrpo.errors import MtgrpoError
from mtgrpo.jobs.prices import MeasuredSteps, compare_rounds, measure_steps
from mtgrpo.plan import Plan
from mtgrpo.runlog import Run, read_run
from mtgrpo.runlog.progress import in_words, total_steps
from mtgrpo.runlog.reading import is_run

COSTLY = (
    "tasks",
    "model",
    "batch_size",
    "group_size",
    "updates_per_step",
    "micro_batch_size",
    "max_completion_length",
    "threads",
    "share_prompts",
    "sampler",
    "prompt_memory",
    "loss_shares",
)
"""Keys that must agree for the costs of a step to be alike."""
MOST = 50
"""Directories looked into, the newest."""
MIN_LINES = 2


@dataclass(frozen=True)
class StepCost:
    """What steps took in a recorded run.

    Attributes:
        path: The run.
        step_s: Seconds per policy update, the median.
        rollouts: Completions generated per policy update, the mean.
        evaluation_s: Seconds of an evaluation, the median; 0 where none was made after a step.
        start_s: Seconds before the first step, its evaluation included.
        steps: What the parts of its steps took; None where its log does not say enough.
    """

    path: Path
    step_s: float
    rollouts: float
    evaluation_s: float
    start_s: float
    steps: MeasuredSteps | None


def find_cost(run: ResolvedRun) -> StepCost | None:
    """The costs of the newest run of the same configuration beside the output; None without one."""
    wanted = run.as_dict()

    for path in _beside(Path(run.output)):
        try:
            recorded = load_config(str(path)).as_dict()
            is_alike = all(recorded[key] == wanted[key] for key in COSTLY)
            cost = _cost(read_run(path)) if is_alike else None
        except MtgrpoError:  # another one's damaged run is not this one's matter
            continue
        if cost is not None:
            return cost

    return None


def describe_forecast(run: ResolvedRun, plan: Plan) -> list[tuple[str, str]]:
    """Rollouts and time of the whole run, in words."""
    bounds = f"{plan.min_rollouts * run.steps:,} to {plan.max_rollouts * run.steps:,}"
    cost = find_cost(run)
    if cost is None:
        unknown = "unknown: no run of this configuration beside the output"
        return [("rollouts", bounds), ("time", unknown)]

    updates = total_steps({"steps": run.steps, "updates_per_step": run.updates_per_step}) or 0
    num_evaluations = 0
    if plan.num_evaluation_rollouts:
        between = (run.steps - 1) // run.evaluation.every if run.evaluation.every else 0
        num_evaluations = 1 + between  # that before the first step belongs to the start

    seconds = cost.start_s + updates * cost.step_s + num_evaluations * cost.evaluation_s
    per_step = cost.step_s * run.updates_per_step
    lines = [
        ("rollouts", f"about {round(updates * cost.rollouts):,} ({bounds})"),
        ("time", f"about {in_words(seconds)} ({per_step:.2g} s a step in {cost.path})"),
    ]
    if cost.steps is not None and run.method.sampler.group_filter is not keep_all:
        lines.append(("rounds", compare_rounds(cost.steps)))
    return lines


def _beside(output: Path) -> Iterator[Path]:
    """The output itself, if it is a run, and the runs beside it, newest first."""
    try:
        folder = output.parent
        others = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
        others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return

    for path in others[:MOST]:
        if is_run(path):
            yield path


def _cost(run: Run) -> StepCost | None:
    lines = run.metrics
    if len(lines) < MIN_LINES:
        return None

    steps: list[float] = []
    for a, b in itertools.pairwise(lines):
        if b.step > a.step:
            steps.append((b.elapsed_s - a.elapsed_s) / (b.step - a.step))
    if not steps:
        return None

    ends = {line.step: line.elapsed_s for line in lines}
    evaluations = [e.elapsed_s - ends[e.step] for e in run.evaluations if e.step in ends]
    step_s = statistics.median(steps)

    return StepCost(
        path=run.path,
        step_s=step_s,
        rollouts=lines[-1].rollouts / lines[-1].step,
        evaluation_s=statistics.median(evaluations) if evaluations else 0.0,
        start_s=max(0.0, lines[0].elapsed_s - lines[0].step * step_s),
        steps=measure_steps(run),
    )
