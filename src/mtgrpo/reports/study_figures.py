"""Figures of a study: every method over its seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from mtgrpo.evidence import RunResult, StudyResults
from mtgrpo.evidence.tables import level_groups
from mtgrpo.reports.spread_figure import Figure, spread_figure
from mtgrpo.reports.study_panels import dots_figure, panels_figure
from mtgrpo.reports.study_spread import spread_of
from mtgrpo.reports.study_trade_off import trade_off_figure

Named = tuple[str, Figure, str]
Planned = tuple[str, Callable[[], Figure], str]
CURVES = {
    "worst": "Worst-task accuracy",
    "mean": "Mean accuracy",
    "change": "Relative change against {baseline}",
}
COSTS = {"steps": "training steps", "rollouts": "completions generated for training"}


DOTS = "A dot per seed, a bar at their mean."
TRADE_OFF = (
    "Mean against worst-task accuracy at the end: points at the means, bars from lowest to highest "
    "over seeds. A line joins the values of one parameter of one rule, written beside the points; "
    "grey: other methods."
)


def study_figures(results: StudyResults, only: Sequence[str] | None = None) -> list[Named]:
    """Identifier, figure and caption of every figure of a study's report.

    Args:
        results: Results of the study.
        only: Identifiers of the figures to draw; all by default.
    """
    figures: list[Named] = []
    for name, draw, caption in (*_ends(results), *_courses(results)):
        if only is None or name in only:
            figures.append((name, draw(), caption))

    return figures


def _courses(results: StudyResults) -> Iterator[Planned]:
    """What happened on the way."""
    families = method_families(results)
    for family, methods in families.items():
        yield from _spread_figures(results, family, methods)

    yield "trade-off", partial(trade_off_figure, results), TRADE_OFF

    panels = partial(panels_figure, results)
    for family, methods in families.items():
        caption = f"Accuracy of every task: {family}, mean over seeds."
        yield f"tasks-{family}", partial(panels, methods, "accuracy", "accuracy"), caption

    moving = families.get("multi-task", results.finished_methods)

    caption = "Task weights, mean over seeds."
    yield "weights", partial(panels, moving, "weight", "task weight"), caption

    caption = "Share of the groups trained on (line) and its target (dashed), mean over seeds."
    shares = partial(panels, moving, "realized_ratio", "share", dashed="target_ratio")
    yield "shares", shares, caption

    caption = "Acceptance rate: informative groups / generated groups, mean over seeds."
    yield "acceptance", partial(panels, moving, "acceptance_rate", "acceptance rate"), caption


def _spread_figures(
    results: StudyResults, family: str, methods: Sequence[str]
) -> Iterator[Planned]:
    """Every curve of a family of methods over every cost."""
    for x, cost in COSTS.items():
        for of, what in CURVES.items():
            if of == "change" and not results.of(results.baseline):
                continue

            title = what.format(baseline=results.baseline)
            caption = f"{title} over {cost}: {family}. "
            caption += "Line: mean over seeds; band: lowest to highest."
            yield f"{of}-{x}-{family}", partial(_spread_figure, results, methods, of, x), caption


def _spread_figure(results: StudyResults, methods: Sequence[str], of: str, x: str) -> Figure:
    spreads = [spread_of(results, method, of, x) for method in methods]
    return spread_figure([spread for spread in spreads if len(spread.steps)], x=x, of=of)


def _ends(results: StudyResults) -> Iterator[Planned]:
    """What the runs came to, a dot per seed."""
    tasks = results.runs[0].tasks
    dots = partial(dots_figure, results)

    final = [
        ("worst task: accuracy at the end (%)", _of_runs(results, lambda r: 100 * r.worst[-1])),
        ("mean of tasks (%)", _of_runs(results, lambda r: 100 * r.mean[-1])),
    ]
    yield "final", partial(dots, final), f"Every run at its last evaluation. {DOTS}"

    by_task = [(f"{task} (%)", _accuracies(results, [k])) for k, task in enumerate(tasks)]
    yield "final-tasks", partial(dots, by_task), f"Accuracy of every task at the end. {DOTS}"

    if groups := level_groups(tasks):
        by_level = [(f"{name} (%)", _accuracies(results, ks)) for name, ks in groups.items()]
        caption = f"Accuracy by difficulty and by family at the end, mean over their tasks. {DOTS}"
        yield "final-levels", partial(dots, by_level), caption

    effort = [
        ("rounds per step", _means(results, "sampler/rounds")),
        ("groups generated per step", _means(results, "sampler/groups_generated")),
    ]
    yield "effort", partial(dots, effort), f"What a step costs. {DOTS}"

    lost = _of_runs(results, lambda r: 100 * r.forgotten.mean())
    caption = "Forgetting: best accuracy of each task so far minus its last one, mean over tasks. "
    yield "forgetting", partial(dots, [("forgotten (points)", lost)]), caption + DOTS


def _of_runs(
    results: StudyResults, measure: Callable[[RunResult], float]
) -> dict[str, list[float]]:
    """A measure of every run, by method."""
    return {m: [float(measure(run)) for run in results.of(m)] for m in results.finished_methods}


def _accuracies(results: StudyResults, columns: Sequence[int]) -> dict[str, list[float]]:
    """Mean accuracy of some tasks at the end, in percent, of every run by method."""
    return _of_runs(results, lambda run: 100 * run.accuracy[-1, columns].mean())


def _means(results: StudyResults, name: str) -> dict[str, list[float]]:
    """Mean of a metric over the steps, of every run that has it by method."""
    means: dict[str, list[float]] = {}
    for method in results.finished_methods:
        runs = [run for run in results.of(method) if name in run.series]
        means[method] = [run.mean_of(name) for run in runs]

    return means


def method_families(results: StudyResults) -> dict[str, list[str]]:
    """Methods that are drawn together; the baseline stands in every family for comparison."""
    families: dict[str, list[str]] = {"baselines": [], "multi-task": [], "sequential": []}

    for method in results.finished_methods:
        preset = str(results.methods[method].get("preset", method))

        if preset.startswith("seq_"):
            families["sequential"].append(method)
        elif is_baseline(preset):
            families["baselines"].append(method)
        else:
            families["multi-task"].append(method)

    has_baseline = bool(results.of(results.baseline))
    for members in families.values():
        if members and has_baseline and results.baseline not in members:
            members.insert(0, results.baseline)

    return {family: members for family, members in families.items() if members}


def is_baseline(preset: str) -> bool:
    """Whether a preset lacks the method's weights or its sampler."""
    return preset in (
        *("grpo", "sec_grpo", "dapo", "sec_dapo", "grpo_iwu", "grpo_rps"),
        *("sfl", "thompson", "dump", "drats"),
    )
