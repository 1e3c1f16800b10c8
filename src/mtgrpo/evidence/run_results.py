"""Runs as results of a study has them, read from their directories: what `compare` takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mtgrpo.errors import RunError
from mtgrpo.evidence.results import Floats, RunResult
from mtgrpo.runlog import Evaluation, Run
from mtgrpo.runlog.evaluation_settings import settings_changes
from mtgrpo.runlog.reading import on_one_scale


def results_of(runs: Sequence[Run], methods: Sequence[str]) -> list[RunResult]:
    """The evaluations of runs that are to be compared; scores of graded tasks on one scale for all.

    Of a run that was evaluated under other settings on the way, those under the last ones count.

    Args:
        runs: The runs.
        methods: The method of each.

    Raises:
        RunError: A run without an evaluation, or one that lacks a task; two runs of a method with
            one seed.
    """
    every = on_one_scale([evaluation for run in runs for evaluation in run.evaluations])

    results: list[RunResult] = []
    taken: dict[tuple[str, int], Run] = {}
    start = 0

    for run, method in zip(runs, methods, strict=True):
        end = start + len(run.evaluations)
        result = _result(replace(run, evaluations=every[start:end]), method)
        start = end

        twin = taken.setdefault((method, result.seed), run)
        if twin is not run:
            raise RunError(
                f"comparison: {twin.path} and {run.path} are both {method!r} with seed "
                f"{result.seed}; give one of them, or other labels"
            )
        results.append(result)

    return results


def _result(run: Run, method: str) -> RunResult:
    changes = settings_changes(run.evaluations, run.tasks)
    evaluations = run.evaluations[changes[-1].row if changes else 0 :]
    if not evaluations:
        raise RunError(f"{run.path}: no evaluation in the log; evaluate before comparing")

    for task in run.tasks:
        if not all(task in evaluation.tasks for evaluation in evaluations):
            raise RunError(f"{run.path}: an evaluation lacks task {task!r}; nothing to compare")

    seed = run.config.get("seed", run.environment.get("seed"))

    return RunResult(
        method=method,
        seed=seed if isinstance(seed, int) else 0,
        tasks=run.tasks,
        steps=np.array([e.step for e in evaluations], dtype=float),
        rollouts=np.array([e.rollouts for e in evaluations], dtype=float),
        seconds=np.array([e.elapsed_s for e in evaluations], dtype=float),
        accuracy=np.array([[e.tasks[task].accuracy for task in run.tasks] for e in evaluations]),
        prompts=_prompts(run.tasks, evaluations),
        series={},
        shares_met_rate=None,
        num_samples=evaluations[-1].num_samples,
        evaluation_changes=tuple(f"{c.what}, before step {c.step}" for c in changes),
    )


def _prompts(tasks: Sequence[str], evaluations: Sequence[Evaluation]) -> dict[str, Floats]:
    """Accuracy of each test prompt, shape (T, prompts), of the tasks whose log has them."""
    prompts: dict[str, Floats] = {}
    for task in tasks:
        rows = [evaluation.tasks[task].prompt_accuracies for evaluation in evaluations]
        if all(rows) and len({len(row) for row in rows}) == 1:
            prompts[task] = np.array(rows, dtype=float)
    return prompts
