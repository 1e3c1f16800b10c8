"""Figures of a study: every method over its seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from mtgrpo.evidence import RunResult, StudyResults
from mtgrpo.evidence.tables import level_groups
from mtgrpo.reports.compare import Spread
from mtgrpo.reports.curves import Floats
from mtgrpo.reports.figures import Figure, comparison_figure
from mtgrpo.reports.study_panels import dots_figure, panels_figure, trade_off_figure

Named = tuple[str, Figure, str]
Planned = tuple[str, Callable[[], Figure], str]
CURVES = {
    "worst": "Worst-task accuracy",
    "mean": "Mean accuracy",
    "change": "Relative change against {baseline}",
}
COSTS = {"steps": "training steps", "rollouts": "completions generated for training"}


def study_figures(results: StudyResults, only: Sequence[str] | None = None) -> list[Named]:
    """Identifier, figure and caption of every figure of a study's report.

    Args:
        results: Of the study.
        only: Identifiers of the figures to draw; all by default.
    """
    planned = [*_ends(results), *_courses(results)]
    return [
        (name, draw(), caption) for name, draw, caption in planned if only is None or name in only
    ]


def _courses(results: StudyResults) -> Iterator[Planned]:
    """What happened on the way."""
    families = method_families(results)
    for family, methods in families.items():
        for x, cost in COSTS.items():
            for of, what in CURVES.items():
                if of == "change" and not results.of(results.baseline):
                    continue
                caption = f"{what.format(baseline=results.baseline)} over {cost}: {family}. "
                caption += "Line: mean over seeds; band: lowest to highest."
                yield (
                    f"{of}-{x}-{family}",
                    partial(_spread_figure, results, methods, of, x),
                    caption,
                )
    caption = "Mean against worst-task accuracy at the end: points at the means, bars from lowest to highest over "
    caption += "seeds. A line joins the values of one parameter of one rule, written beside the points; grey: other "
    caption += "methods."
    yield "trade-off", partial(trade_off_figure, results), caption
    panels = partial(panels_figure, results)
    for family, methods in families.items():
        caption = f"Accuracy of every task: {family}, mean over seeds."
        yield f"tasks-{family}", partial(panels, methods, "accuracy", "accuracy"), caption
    moving = families.get("multi-task", results.finished_methods)
    yield (
        "weights",
        partial(panels, moving, "weight", "task weight"),
        "Task weights, mean over seeds.",
    )
    caption = "Share of the groups trained on (line) and its target (dashed), mean over seeds."
    yield (
        "shares",
        partial(panels, moving, "realized_ratio", "share", dashed="target_ratio"),
        caption,
    )
    caption = "Acceptance rate: informative groups / generated groups, mean over seeds."
    yield "acceptance", partial(panels, moving, "acceptance_rate", "acceptance rate"), caption


def _spread_figure(results: StudyResults, methods: Sequence[str], of: str, x: str) -> Figure:
    spreads = [s for m in methods if len((s := spread_of(results, m, of, x)).steps)]
    return comparison_figure(spreads, x=x, of=of)


def _ends(results: StudyResults) -> Iterator[Planned]:
    """What the runs came to, a dot per seed."""

    def accuracies(columns: Sequence[int]) -> dict[str, list[float]]:
        return {
            m: [100 * float(run.accuracy[-1, columns].mean()) for run in results.of(m)]
            for m in methods
        }

    def means(name: str) -> dict[str, list[float]]:
        return {
            m: [float(np.nanmean(run.series[name])) for run in results.of(m) if name in run.series]
            for m in methods
        }

    methods, tasks = results.finished_methods, results.runs[0].tasks
    dots, figure = "A dot per seed, a bar at their mean.", partial(dots_figure, results)
    worst, mean = (
        {m: [100 * float(getattr(run, of)[-1]) for run in results.of(m)] for m in methods}
        for of in ("worst", "mean")
    )
    final = [("worst task: accuracy at the end (%)", worst), ("mean of tasks (%)", mean)]
    yield "final", partial(figure, final), f"Every run at its last evaluation. {dots}"
    by_task = [(f"{task} (%)", accuracies([k])) for k, task in enumerate(tasks)]
    yield "final-tasks", partial(figure, by_task), f"Accuracy of every task at the end. {dots}"
    if groups := level_groups(tasks):
        by_level = [(f"{name} (%)", accuracies(columns)) for name, columns in groups.items()]
        caption = f"Accuracy by difficulty and by family at the end, mean over their tasks. {dots}"
        yield "final-levels", partial(figure, by_level), caption
    effort = [
        ("rounds per step", means("sampler/rounds")),
        ("groups generated per step", means("sampler/groups_generated")),
    ]
    yield "effort", partial(figure, effort), f"What a step costs. {dots}"
    lost = {m: [100 * float(run.forgotten.mean()) for run in results.of(m)] for m in methods}
    caption = (
        f"Forgetting: best accuracy of each task so far minus its last one, mean over tasks. {dots}"
    )
    yield "forgetting", partial(figure, [("forgotten (points)", lost)]), caption


def method_families(results: StudyResults) -> dict[str, list[str]]:
    """Methods that are drawn together; the baseline stands in every family for comparison."""
    families: dict[str, list[str]] = {"baselines": [], "multi-task": [], "sequential": []}
    for method in results.finished_methods:
        preset = str(results.methods[method].get("preset", method))
        kind = (
            "sequential"
            if preset.startswith("seq_")
            else "baselines"
            if is_baseline(preset)
            else "multi-task"
        )
        families[kind].append(method)
    for members in families.values():
        if members and results.baseline not in members and results.of(results.baseline):
            members.insert(0, results.baseline)
    return {family: members for family, members in families.items() if members}


def is_baseline(preset: str) -> bool:
    """Whether a preset lacks the method's weights or its sampler."""
    return preset in ("grpo", "sec_grpo", "dapo", "sec_dapo", "grpo_iwu", "grpo_rps")


def spread_of(results: StudyResults, method: str, of: str, x: str = "steps") -> Spread:
    """A method's curve over its seeds, at the evaluations all of them have.

    Args:
        results: Of the study.
        method: Its name.
        of: ``"worst"``, ``"mean"``, or ``"change"``: the relative change, as a fraction, against the baseline's mean
            over seeds when it had cost as much; without the evaluations whose cost the baseline never reached.
        x: ``"steps"`` or ``"rollouts"``, for the change alone.
    """
    runs = results.of(method)
    common = sorted(set.intersection(*(set(run.steps.tolist()) for run in runs)))
    rows = [[run.steps.tolist().index(step) for step in common] for run in runs]
    values = np.array(
        [_values(results, run, of, x)[row] for run, row in zip(runs, rows, strict=True)]
    )
    known = ~np.isnan(values).any(axis=0)

    def cost(name: str) -> Floats:
        return np.mean(
            [getattr(run, name)[row] for run, row in zip(runs, rows, strict=True)], axis=0
        )[known]

    return Spread(
        label=method,
        num_runs=len(runs),
        steps=np.array(common)[known],
        rollouts=cost("rollouts"),
        seconds=cost("seconds"),
        mean=values[:, known].mean(axis=0),
        low=values[:, known].min(axis=0),
        high=values[:, known].max(axis=0),
    )


def _values(results: StudyResults, run: RunResult, of: str, x: str) -> Floats:
    if of != "change":
        return run.worst if of == "worst" else run.mean
    costs = getattr(run, x)
    curves = [
        [
            np.interp(
                costs, getattr(base, x), base.accuracy[:, base.tasks.index(task)], right=np.nan
            )
            for task in run.tasks
        ]
        for base in results.of(results.baseline)
    ]
    theirs = np.mean(curves, axis=0).T if curves else np.full(run.accuracy.shape, np.nan)
    theirs = np.where(theirs > 0, theirs, np.nan)
    return ((run.accuracy - theirs) / theirs).mean(axis=1)
