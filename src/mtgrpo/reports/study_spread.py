"""A method's curve over its seeds, from the results of a study."""

from __future__ import annotations

import numpy as np

from mtgrpo.evidence import RunResult, StudyResults
from mtgrpo.reports.compare import Spread
from mtgrpo.reports.curves import Floats


def spread_of(results: StudyResults, method: str, of: str, x: str = "steps") -> Spread:
    """A method's curve over its seeds, at the evaluations that all of them have.

    Args:
        results: Results of the study.
        method: Name of the method.
        of: ``"worst"``, ``"mean"``, or ``"change"``: the relative change, as a fraction, against
            the baseline's mean over seeds at equal cost. Evaluations whose cost the baseline
            never reached are then left out.
        x: Cost that the change refers to: ``"steps"`` or ``"rollouts"``.
    """
    runs = results.of(method)
    common = set(runs[0].steps.tolist())
    for run in runs[1:]:
        common &= set(run.steps.tolist())

    steps = np.array(sorted(common))
    rows = [np.searchsorted(run.steps, steps) for run in runs]
    pairs = list(zip(runs, rows, strict=True))

    values = np.array([_values(results, run, of, x)[row] for run, row in pairs])  # (runs, T)
    known = ~np.isnan(values).any(axis=0)  # (T,)
    rollouts = np.mean([run.rollouts[row] for run, row in pairs], axis=0)
    seconds = np.mean([run.seconds[row] for run, row in pairs], axis=0)

    return Spread(
        label=method,
        num_runs=len(runs),
        steps=steps[known],
        rollouts=rollouts[known],
        seconds=seconds[known],
        mean=values[:, known].mean(axis=0),
        low=values[:, known].min(axis=0),
        high=values[:, known].max(axis=0),
    )


def _values(results: StudyResults, run: RunResult, of: str, x: str) -> Floats:
    """What is drawn of one run at each of its evaluations, shape (T,)."""
    if of == "worst":
        return run.worst
    if of == "mean":
        return run.mean

    theirs = _baseline_at(results, run, x)
    theirs = np.where(theirs > 0, theirs, np.nan)

    return ((run.accuracy - theirs) / theirs).mean(axis=1)


def _baseline_at(results: StudyResults, run: RunResult, x: str) -> Floats:
    """The baseline's mean accuracy over seeds when it had cost as much as the run, shape (T, K).

    NaN beyond what the baseline spent.
    """
    costs = getattr(run, x)  # (T,)
    baselines = results.of(results.baseline)
    total = np.zeros(run.accuracy.shape)

    for base in baselines:
        for k, task in enumerate(run.tasks):
            theirs = base.accuracy[:, base.tasks.index(task)]
            total[:, k] += np.interp(costs, getattr(base, x), theirs, right=np.nan)

    if not baselines:
        return np.full(run.accuracy.shape, np.nan)

    return total / len(baselines)
