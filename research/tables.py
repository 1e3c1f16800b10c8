"""Writes the short tables people read, in README.md and docs/, from the committed records.

    python research/tables.py

A table stands between `<!-- table: name -->` and `<!-- /table -->`; the text around it is left alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mtgrpo.evidence import load_results
from mtgrpo.evidence.paired import Interval, compare
from mtgrpo.evidence.reach import rollouts_to
from mtgrpo.evidence.results import RunResult, StudyResults
from mtgrpo.evidence.table import Table, spread

HERE = Path(__file__).parent
ROOT = HERE.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MARKED = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- /table -->)", re.DOTALL)

SHOWN = {
    "grpo": "`grpo`",
    "dapo": "`dapo`",
    "mt_grpo released lam=0.2": "`mt_grpo` released, best lambda",
    "mt_grpo released lam=1.2": "`mt_grpo` released, best lambda",
    "mt_grpo default": "`mt_grpo` default",
    "mt_grpo": "`mt_grpo` released",
    "balanced": "`balanced`",
    "grpo_fair": "`grpo_fair`",
    "balanced, one round": "`balanced`, one round",
    "grpo, two passes": "`grpo`, two passes over each batch",
    "grpo_fair, temperature 0.15": "`grpo_fair` at `temperature: 0.15`",
    "grpo_fair, temperature 0.2": "`grpo_fair` at `temperature: 0.2`",
    "grpo, longer": "`grpo`, longer",
    "grpo at 2.5e-5, longer": "`grpo` at 2.5e-5, longer",
    "grpo in batches of 16, longer": "`grpo` in batches of 16, longer",
    "grpo_fair, longer": "`grpo_fair`, longer",
}
FAIR = "three_tasks_fair"
BRIEF = ("grpo", "grpo_fair", "balanced, one round", "dapo")
IN_TRLS_TIME = "grpo_fair, in the time of TRL's grpo"
SIZES = {  # rows of Countdown, Zebra and ARC in the datasets that are concatenated
    "grpo, sizes 16 4 1": "16 : 4 : 1",
    "grpo, sizes 1 16 4": "1 : 16 : 4",
    "grpo, sizes 4 1 16": "4 : 1 : 16",
}
STEPS = (  # the name in the study of three tasks, and in that of nine
    ("grpo", "grpo"),
    ("dapo", "dapo"),
    ("mt_grpo released lam=0.2", "mt_grpo released lam=1.2"),
    ("mt_grpo default", "mt_grpo default"),
    ("balanced", "balanced"),
)


def written(page: str) -> str:
    """The page with its tables as the records have them."""
    return MARKED.sub(lambda match: match[1] + TABLES[match[2]]() + "\n" + match[3], page)


def equal_cost(name: str, *, brief: bool = False) -> str:
    """Each method at its own learning rate and batch, against `grpo`, after the same rollouts."""
    results = load_results(HERE / "equal_cost" / f"{name}.json")
    plain = results.of("grpo")
    rows: list[tuple[str, ...]] = []

    aside = (*SIZES, IN_TRLS_TIME)
    shown = BRIEF if brief else [m for m in results.finished_methods if m not in aside]
    for method in shown:
        runs, gains = results.of(method), ["", ""]
        if method != "grpo":
            pair = compare(runs, plain, at="rollouts")
            gains = [_points(pair.worst), _points(pair.mean)]

        cells = [spread(values, brief=brief) for values in _ends(runs)]
        rows.append((SHOWN.get(method, method), *cells, *gains))

    heads = ("method", "worst task, %", "mean, %", "worst minus `grpo`'s", "mean minus `grpo`'s")
    return Table("", heads, tuple(rows)).markdown()


def long() -> str:
    """As `equal_cost`, after 38,400 rollouts; seeds 0 to 2 of `balanced` are of runs that went on."""
    results = load_results(HERE / "equal_cost" / "three_tasks_long.json")
    further = load_results(HERE / "equal_cost" / "three_tasks_flat.json").of("balanced")
    plain = results.of("grpo")
    rows: list[tuple[str, ...]] = []

    for method in results.methods:
        runs = [*further, *results.of(method)] if method == "balanced" else results.of(method)
        gains = ["", ""]
        if method != "grpo":
            pair = compare(runs, plain, at="rollouts")
            gains = [_points(pair.worst), _points(pair.mean)]

        ends = [_at(run, plain[0].rollouts[-1]) for run in runs]
        cells = [spread([end[i] for end in ends]) for i in (0, 1)]

        # Mean curves need evaluations after the same steps.
        curve = further if method == "balanced" else runs
        to_half = f"{rollouts_to(curve, 0.5):,.0f}"
        rows.append((SHOWN[method], f"{len(runs)}", *cells, *gains, to_half))

    heads = ("method", "seeds", "worst task, %", "mean, %")
    gains = ("worst minus `grpo`'s", "mean minus `grpo`'s", "rollouts to a worst task of 50 %")
    return Table("", (*heads, *gains), tuple(rows)).markdown()


def hard_tasks() -> str:
    """One hard task beside two easy ones: `grpo_fair` and `grpo`, each at its better learning rate."""
    rows: list[tuple[str, ...]] = []
    for name in ("countdown", "zebra", "arc"):
        results = load_results(HERE / "equal_cost" / f"hard_{name}.json")
        fair, plain = results.of("grpo_fair"), results.of("grpo")
        pair = compare(fair, plain, at="rollouts")

        ends = [_ends(runs) for runs in (plain, fair)]
        cells = [f"{np.mean(worst):.1f} / {np.mean(mean):.1f}" for worst, mean in ends]
        shown = {"arc": "ARC"}.get(name, name.capitalize())
        rows.append((shown, *cells, _points(pair.worst), _points(pair.mean)))

    heads = ("hard", "`grpo`, worst / mean, %", "`grpo_fair`, worst / mean, %")
    gains = ("worst minus `grpo`'s", "mean minus `grpo`'s")
    return Table("", (*heads, *gains), tuple(rows)).markdown()


def unequal_sizes() -> str:
    """GRPO on datasets of unequal size in one pile, and `grpo_fair`, which weighs tasks, not rows."""
    results = load_results(HERE / "equal_cost" / f"{FAIR}.json")
    fair = results.of("grpo_fair")
    rows: list[tuple[str, ...]] = []

    for method, sizes in SIZES.items():
        runs = results.of(method)
        pair = compare(fair, runs, at="rollouts")
        cells = [spread(values, brief=True) for values in _ends(runs)]
        rows.append((sizes, *cells, _points(pair.worst), _points(pair.mean)))

    heads = ("rows", "worst task, %", "mean, %", "`grpo_fair`'s worst minus it", "mean minus it")
    return Table("", heads, tuple(rows)).markdown()


def equal_time() -> str:
    """`grpo_fair` for as long as plain GRPO takes with TRL's own trainer, in processor time."""
    results = load_results(HERE / "equal_cost" / f"{FAIR}.json")
    record = json.loads((ROOT / "benchmarks" / "equal_time.json").read_text(encoding="utf-8"))
    parts = record["of_trl"]

    def timed(method: str, trainer: str) -> list[RunResult]:
        # Processor time in units of what TRL's trainer takes for the rollouts of plain GRPO.
        runs, whole = results.of(method), results.of("grpo")[0].rollouts[-1]
        return [replace(run, seconds=parts[trainer] * run.rollouts / whole) for run in runs]

    plain = timed("grpo", "trl")
    rows: list[tuple[str, ...]] = []
    for title, runs in (
        ("`grpo`, TRL's `GRPOTrainer`", plain),
        ("`grpo`", timed("grpo", "grpo")),
        ("`grpo_fair`", timed("grpo_fair", "grpo_fair")),
        ("`grpo_fair`, longer", timed(IN_TRLS_TIME, "grpo_fair")),
    ):
        cells = [f"{runs[0].rollouts[-1]:,.0f}", f"{runs[0].seconds[-1]:.2f}"]
        cells += [spread(values, brief=True) for values in _ends(runs)]
        gains = ["", ""]
        if title == "`grpo_fair`, longer":
            pair = compare(runs, plain, at="seconds")
            gains = [_points(pair.worst), _points(pair.mean)]
        rows.append((title, *cells, *gains))

    heads = ("method", "rollouts", "processor time", "worst task, %", "mean, %")
    gains = ("worst minus `grpo`'s", "mean minus `grpo`'s")
    return Table("", (*heads, *gains), tuple(rows)).markdown()


def one_rate() -> str:
    """`balanced` minus `grpo` at `grpo`'s rollouts, at the one learning rate of the studies."""
    rows: list[tuple[str, ...]] = []
    for study, tasks in (("three_tasks", "three"), ("nine_tasks", "nine")):
        results = _study(study)
        pair = compare(results.of("balanced"), results.of("grpo"), at="rollouts")
        rows.append((tasks, f"{pair.cost:,.0f}", _points(pair.worst), _points(pair.mean)))

    heads = ("tasks", "rollouts", "worst task, points", "mean, points")
    return Table("", heads, tuple(rows)).markdown()


def equal_steps() -> str:
    """Worst and mean accuracy after the same number of steps, and what they cost."""
    studies = [_study("three_tasks"), _study("nine_tasks")]
    rows: list[tuple[str, ...]] = []

    for pair in STEPS:
        cells = [SHOWN[pair[0]]]
        for results, name in zip(studies, pair, strict=True):
            runs = results.of(name)
            cells.append(" / ".join(spread(values, brief=True) for values in _ends(runs)))
            cells.append(f"{np.mean([run.rollouts[-1] for run in runs]):,.0f}")
        rows.append(tuple(cells))

    heads = ("method", "three: worst / mean", "rollouts", "nine: worst / mean", "rollouts")
    return Table("", heads, tuple(rows)).markdown()


def simulated() -> str:
    """`grpo_fair` minus `grpo` after the same rollouts, in random simulated worlds."""
    record = json.loads((ROOT / "benchmarks" / "equal_rollouts.json").read_text(encoding="utf-8"))
    rows: list[tuple[str, ...]] = []

    for name, title in (("worst", "worst task"), ("mean", "mean")):
        part = record[name]
        low, high = part["interval"]
        ahead = f"{part['higher_in']} of {record['worlds']}"
        rows.append((title, f"{part['difference']:+.1f} ({low:+.1f} to {high:+.1f})", ahead))

    heads = ("of simulated worlds", "`grpo_fair` minus `grpo`, points", "ahead in")
    return Table("", heads, tuple(rows)).markdown()


def group_sizes() -> str:
    """`grpo` and `grpo_fair` by group size, after the same rollouts."""
    results = load_results(HERE / "equal_cost" / "three_tasks_group_sizes.json")
    plain = results.of("grpo G=8")
    rows: list[tuple[str, ...]] = []

    for size in (2, 4, 8, 16, 32):
        cells = [f"{size}"]
        for method in ("grpo", "grpo_fair"):
            worst, mean = _ends(results.of(f"{method} G={size}"))
            cells.append(f"{np.mean(worst):.1f} / {np.mean(mean):.1f}")
        for method in ("grpo", "grpo_fair"):
            pair = compare(results.of(f"{method} G={size}"), plain, at="rollouts")
            is_plain = (method, size) == ("grpo", 8)
            cells.append("" if is_plain else f"{_points(pair.worst)}, {_points(pair.mean)}")
        rows.append(tuple(cells))

    ends = ("`grpo`, worst / mean, %", "`grpo_fair`, worst / mean, %")
    heads = ("G", *ends, "`grpo` minus its G = 8", "`grpo_fair` minus `grpo`'s G = 8")
    return Table("", heads, tuple(rows)).markdown()


def groups_of_four() -> str:
    """Groups of 4 against groups of 8 after the same rollouts, on test rows."""
    eight = load_results(HERE / "equal_cost" / f"{FAIR}.json")
    four = load_results(HERE / "equal_cost" / "three_tasks_groups_of_four.json")
    plain = eight.of("grpo")
    rows: list[tuple[str, ...]] = []

    for size, results in ((8, eight), (4, four)):
        for method in ("grpo", "grpo_fair"):
            runs, gains = results.of(method), ["", ""]
            if (method, size) != ("grpo", 8):
                pair = compare(runs, plain, at="rollouts")
                gains = [_points(pair.worst), _points(pair.mean)]

            cells = [spread(values, brief=True) for values in _ends(runs)]
            rows.append((f"{SHOWN[method]}, G = {size}", *cells, *gains))

    heads = ("method", "worst task, %", "mean, %", "worst minus `grpo`'s, G = 8", "mean minus it")
    return Table("", heads, tuple(rows)).markdown()


def paper_shape() -> str:
    """720 steps of each method, and longer ones of plain GRPO; one seed, worst / mean in percent."""
    results = load_results(HERE / "equal_cost" / "three_tasks_paper_shape.json")
    rows: list[tuple[str, ...]] = []

    for run in results.runs:
        made = run.rollouts[-1]
        cells = [f"{run.steps[-1]:,.0f}", f"{made:,.0f}"]
        for rollouts in (46_080, 92_160, made):
            worst, mean = _at(run, rollouts)
            cells.append(f"{worst:.1f} / {mean:.1f}" if rollouts <= made else "")
        rows.append((SHOWN[run.method], *cells))

    heads = ("method", "steps", "rollouts", "after 46,080", "after 92,160", "at the end")
    return Table("", heads, tuple(rows)).markdown()


def smollm2() -> str:
    """Test accuracy of each task before and after, on SmolLM2: mean, lowest and highest of seeds."""
    results = load_results(HERE / "smollm2" / "study.json")
    tasks = results.runs[0].tasks
    before = 100 * results.runs[0].accuracy[0]  # (tasks,), of the same model for all
    after = {
        method: np.array([100 * run.accuracy[-1] for run in results.of(method)])  # (seeds, tasks)
        for method in ("grpo", "grpo_fair")
    }

    rows: list[tuple[str, ...]] = []
    for k, task in enumerate(tasks):
        ends = [spread(list(values[:, k])) for values in after.values()]
        rows.append((f"`{task}`", f"{before[k]:.1f}", *ends))
    for name, over_tasks in (("worst", np.min), ("mean", np.mean)):
        ends = [spread(list(over_tasks(values, axis=1))) for values in after.values()]
        rows.append((name, f"{over_tasks(before):.1f}", *ends))

    pair = compare(results.of("grpo_fair"), results.of("grpo"), at="rollouts")
    for name, gain in (("worst", pair.worst), ("mean", pair.mean)):
        rows.append((f"`grpo_fair` minus `grpo`, {name}", "", "", _points(gain)))

    heads = ("task", "before, %", *(f"{SHOWN[method]}, %" for method in after))
    return Table("", heads, tuple(rows)).markdown()


def smollm2_methods() -> str:
    """Each method on SmolLM2 against `grpo`, after the completions and the processor time of `grpo`."""
    results = load_results(HERE / "smollm2" / "study.json")
    record = json.loads((ROOT / "benchmarks" / "smollm2_time.json").read_text(encoding="utf-8"))

    def timed(method: str) -> list[RunResult]:
        # Machines that do other work make wall time no measure: completions times their price.
        price = record["methods"][method]["processor_s_a_rollout"]
        return [replace(run, seconds=price * run.rollouts) for run in results.of(method)]

    plain = timed("grpo")
    rows: list[tuple[str, ...]] = []
    for method in results.methods:
        runs = timed(method)
        price = record["methods"][method]["processor_s_a_rollout"]
        made = np.mean([run.rollouts[-1] for run in runs])
        cells = [f"{made:,.0f}", f"{price:.2f}"]
        cells += [spread(values, brief=True) for values in _ends(runs)]
        gains = ["", ""]
        if method != "grpo":
            at = [compare(runs, plain, at=axis) for axis in ("rollouts", "seconds")]
            gains = [f"{_points(pair.worst)}, {_points(pair.mean)}" for pair in at]
        rows.append((SHOWN[method], *cells, *gains))

    heads = ("method", "completions", "seconds each", "worst, %", "mean, %")
    gains = ("minus `grpo`, equal completions: worst, mean", "equal processor time: worst, mean")
    return Table("", (*heads, *gains), tuple(rows)).markdown()


def _study(name: str) -> StudyResults:
    return load_results(HERE / f"{name}.json")


def _ends(runs: Sequence[RunResult]) -> tuple[list[float], list[float]]:
    """Worst and mean accuracy at the end of each run, in percent."""
    ends = [100 * run.accuracy[-1] for run in runs]
    return [float(end.min()) for end in ends], [float(end.mean()) for end in ends]


def _at(run: RunResult, rollouts: float) -> tuple[float, float]:
    """Worst and mean accuracy after that many rollouts, in percent."""
    worst, mean = (np.interp(rollouts, run.rollouts, part) for part in (run.worst, run.mean))
    return 100 * float(worst), 100 * float(mean)


def _points(interval: Interval) -> str:
    value, low, high = (f"{100 * v:+.1f}" for v in (interval.value, interval.low, interval.high))
    return f"{value} ({low} to {high})"


TABLES: dict[str, Callable[[], str]] = {
    "equal-cost-brief": lambda: equal_cost(FAIR, brief=True),
    "equal-cost-short": lambda: equal_cost(FAIR),
    "unequal-sizes": unequal_sizes,
    "equal-cost-long": long,
    "hard-tasks": hard_tasks,
    "equal-cost-flat": lambda: equal_cost("three_tasks_flat"),
    "equal-cost-nine-long": lambda: equal_cost("nine_tasks_long"),
    "groups-of-four": groups_of_four,
    "paper-shape": paper_shape,
    "equal-cost-nine": lambda: equal_cost("nine_tasks_fair"),
    "equal-time": equal_time,
    "one-rate": one_rate,
    "equal-steps": equal_steps,
    "simulated": simulated,
    "group-sizes": group_sizes,
    "smollm2": smollm2,
    "smollm2-methods": smollm2_methods,
}


def main() -> None:
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        new = written(page)
        if new != page:
            path.write_text(new, encoding="utf-8")
            print(path)


if __name__ == "__main__":
    main()
