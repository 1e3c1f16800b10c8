"""Sections of docs/results-archive.md apart from the paper's claims: our own method, and what runs cost."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtgrpo.evidence import Interval, StudyResults
from mtgrpo.evidence.reach import final_worst, rollouts_ratio, rollouts_to
from mtgrpo.evidence.table import MISSING, Table, points
from mtgrpo.evidence.tables import comparison

HERE = Path(__file__).parent
BENCHMARKS = HERE.parent / "benchmarks"
PROVENANCE = json.loads((HERE / "provenance.json").read_text(encoding="utf-8"))
OWN = "balanced"
TARGETS = {"dapo": 0.5, "released": 0.7}
OWN_TEXT = """`balanced` is this library's own preset ([what it is](balanced.md)), no published method, with the
same values in both studies. Its temperature and windows were chosen on forty simulated worlds; whether to switch its
parts on, on those and on a few runs of the same embedded tasks with other train and test rows (data seed 1), so the
kind of task is not new to it, the prompts are. The targets: to the worst-task accuracy that DAPO ends with, at most 0.5
times DAPO's rollouts and at most 0.7 times those of `released` MT-GRPO with its best lambda, and a final mean not
below DAPO's. *Best lambda*: the one of those run that needs the fewest rollouts, which a user cannot know beforehand.

Rollouts are read off the mean curve over seeds, straight between evaluations. *Of DAPO's run*: of all rollouts of
DAPO's run, since its end is the level asked for. *Of DAPO's curve*: of the rollouts at which DAPO's own mean curve
first gets there, which noise can make earlier than its end: the stricter reading. 95 % intervals over seeds, paired;
those of three seeds are too narrow. An end is infinite where the mean curve does not get there."""
REACH_HEADS = (
    "study",
    "level, %",
    "method",
    "rollouts to it",
    "of DAPO's run",
    "of DAPO's curve",
    "of released's curve",
)
GAIN_HEADS = ("study", "balanced minus", "at equal", "cost", "worst task, points", "mean, points")
SPEED_UPS = {
    "generation": "prompts shared by a group prefilled once, finished rows dropped",
    "whole_round": "a whole round of prompts generated at once",
    "loss": "shared prompts in the loss too",
    "all": "all three",
}


def own_method(studies: Mapping[str, StudyResults]) -> list[str]:
    """`balanced` against DAPO and `released` MT-GRPO in every study that has it; nothing without."""
    reach: list[tuple[str, ...]] = []
    gains: list[tuple[str, ...]] = []
    verdicts: list[str] = []

    for name, results in studies.items():
        if not results.of(OWN) or not results.of("dapo"):
            continue

        best = _best_released(results)
        for method in (OWN, "mt_grpo default", best, "dapo"):
            if method and results.of(method):
                reach.append((name, *_reach(results, method, best)))

        verdicts += _reach_verdicts(name, results, best)

        for against in ("dapo", best):
            for at in ("steps", "rollouts"):
                pair = comparison(results, OWN, against, at=at) if against else None
                if pair is None:
                    continue

                differences = (points(pair.worst), points(pair.mean))
                gains.append((name, against, at, f"{pair.cost:,.0f}", *differences))

                if against == "dapo":
                    verdicts.append(
                        f"* {name}, final mean not below DAPO's at equal {at}: "
                        f"{_not_below(pair.mean)} ({points(pair.mean).strip('*')} points)."
                    )

    if not reach:
        return []

    title = "Rollouts to the worst-task accuracy that DAPO ends with"
    rollouts = Table(title, REACH_HEADS, tuple(reach)).markdown()
    note = "Paired by seed and test prompt; bold: not 0."
    differences = Table("Differences", GAIN_HEADS, tuple(gains), note).markdown()
    text = ["## Our own method: balanced", "", OWN_TEXT, "", *verdicts]

    return [*text, "", rollouts, "", differences, ""]


def _best_released(results: StudyResults) -> str:
    """`released` MT-GRPO with the lambda that gets to DAPO's end at the fewest rollouts, or ""."""
    level = final_worst(results.of("dapo"))
    released = [m for m in results.finished_methods if _is_released(results.methods[m])]
    return min(released, key=lambda m: rollouts_to(results.of(m), level), default="")


def _reach(results: StudyResults, method: str, best: str) -> tuple[str, ...]:
    """A row of cells: what a method needs to the accuracy that DAPO ends with."""
    dapo, runs = results.of("dapo"), results.of(method)
    level = final_worst(dapo)
    needed = rollouts_to(runs, level)
    shown = f"{needed:,.0f}" if math.isfinite(needed) else "not reached"

    of_run = _ratio(rollouts_ratio(runs, dapo, dapo, whole=True))
    of_curve = _ratio(rollouts_ratio(runs, dapo, dapo))
    of_released = _ratio(rollouts_ratio(runs, results.of(best), dapo)) if best else MISSING

    return (f"{100 * level:.1f}", method, shown, of_run, of_curve, of_released)


def _reach_verdicts(name: str, results: StudyResults, best: str) -> list[str]:
    """Whether our own method meets its targets."""
    dapo, runs = results.of("dapo"), results.of(OWN)
    whole, curve = rollouts_ratio(runs, dapo, dapo, whole=True), rollouts_ratio(runs, dapo, dapo)

    most = TARGETS["dapo"]
    verdicts = [
        f"* {name}, rollouts against DAPO, at most {most}: {_target(whole, most)} "
        f"(of its run: {_ratio(whole)}); by the stricter reading {_target(curve, most)} "
        f"({_ratio(curve)})."
    ]

    if best:
        most = TARGETS["released"]
        other = rollouts_ratio(runs, results.of(best), dapo)
        verdicts.append(
            f"* {name}, rollouts against `released` MT-GRPO, at most {most}: "
            f"{_target(other, most)} ({_ratio(other)}, best lambda: `{best}`)."
        )

    return verdicts


def cost(name: str, results: StudyResults) -> str:
    """The command, the code and the time of a study."""
    made = PROVENANCE[name]
    seeds = sorted({run.seed for run in results.runs})
    hours = sum(float(run.seconds[-1]) for run in results.runs) / 3600

    also = ""
    for method, commit in made["later"].items():
        if results.of(method):
            also += f"; those of `{method}` by commit {commit}"

    return (
        f"`mtgrpo study {name} --results research/{name}.json`: {len(results.runs)} runs, seeds "
        f"{seeds[0]} to {seeds[-1]}, made by the code at commit {made['commit']}{also}. The runs' "
        f"own clocks add up to {hours:.1f} hours: elapsed time of one-thread processes on a "
        f"machine of two cores that had other work, so an upper bound of the CPU time they need, "
        f"and about {hours / 2:.1f} hours by two at a time. Measured from first start to last end, "
        f"two at a time, start-up and evaluation included: {made['wall_minutes']} minutes for "
        f"{made['runs_timed']} of them."
    )


def speed() -> list[str]:
    """Where a step's time goes, and what each speed-up gives."""
    steps, overhead = _read("step_time"), _read("step_overhead")
    about, seconds, evaluation = steps["about"], steps["seconds_per_step"], steps["evaluation"]
    before = sum(part["before_s"] for part in steps["sections"].values())
    after = sum(part["after_s"] for part in steps["sections"].values())

    rows: list[tuple[str, ...]] = []
    for name, part in steps["sections"].items():
        milliseconds = [f"{1000 * part[key]:.0f}" for key in ("before_s", "after_s")]
        rows.append((name, *milliseconds, f"{100 * part['after_s'] / after:.0f}"))
    rows.append(("all", f"{1000 * before:.0f}", f"{1000 * after:.0f}", "100"))

    heads = ("part", "plain TRL", "with all speed-ups", "share, %")
    table = Table("A training step, milliseconds", heads, tuple(rows))

    ratios = steps["speed_up_of_a_step"]
    gains = tuple((what, f"{ratios[key]:.2f}") for key, what in SPEED_UPS.items())
    heads = ("what", "plain step / this step")
    sped = Table("Speed-ups, each on top of those above it", heads, gains)

    note = (
        f"Medians over {about['num_steps']} steps, all variants side by side in one run of "
        f"`benchmarks/step_time.py` (demo configuration, DAPO, one thread, torch {about['torch']}, "
        f"TRL {about['trl']}): {seconds['trl']:.2f} s a step before, {seconds['loss']:.2f} s after; "
        f"an evaluation {evaluation['before_s']:.2f} s before, {evaluation['after_s']:.2f} s after. "
        f"The trainer costs {100 * (overhead['cpu_ratio'] - 1):.1f} % more CPU time than TRL's "
        "plain GRPO trainer doing the same work (`benchmarks/step_overhead.py`)."
    )

    return ["## Where the time goes", "", note, "", table.markdown(), "", sped.markdown()]


def _read(name: str) -> dict[str, Any]:
    return json.loads((BENCHMARKS / f"{name}.json").read_text(encoding="utf-8"))


def _is_released(keys: Mapping[str, Any]) -> bool:
    return keys.get("preset") == "mt_grpo" and keys.get("variant") == "released"


def _ratio(value: Interval) -> str:
    return f"{value.value:.2f} ({value.low:.2f} to {value.high:.2f})".replace("inf", "∞")


def _target(value: Interval, most: float) -> str:
    if value.high <= most:
        return "met, and the whole interval with it"
    if value.value <= most:
        return "met, the interval reaching beyond it"

    return f"missed by {value.value - most:.2f}"


def _not_below(value: Interval) -> str:
    if value.low >= 0:
        return "met, for certain"
    if value.high < 0:
        return "missed, for certain"
    if value.value >= 0:
        return "met, within what the runs can tell"

    return "missed, within what the runs can tell"
