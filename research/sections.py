"""Sections of docs/results.md that are no claims of the paper: our own method, and what the runs cost."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtgrpo.evidence import Interval, StudyResults
from mtgrpo.evidence import tables as t
from mtgrpo.evidence.reach import final_worst, rollouts_ratio, rollouts_to

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


def own_method(studies: Mapping[str, StudyResults]) -> list[str]:
    """`balanced` against DAPO and `released` MT-GRPO in every study that has it; nothing without."""
    chosen = {
        name: results for name, results in studies.items() if results.of(OWN) and results.of("dapo")
    }
    if not chosen:
        return []
    reach: list[tuple[str, ...]] = []
    gains: list[tuple[str, ...]] = []
    verdicts: list[str] = []
    for name, results in chosen.items():
        dapo, level = results.of("dapo"), final_worst(results.of("dapo"))
        released = [m for m in results.finished_methods if _is_released(results.methods[m])]
        best = min(released, key=lambda m: rollouts_to(results.of(m), level), default=None)
        for method in (OWN, "mt_grpo default", *([best] if best else []), "dapo"):
            runs = results.of(method)
            if not runs:
                continue
            whole, curve = (rollouts_ratio(runs, dapo, dapo, whole=w) for w in (True, False))
            other = rollouts_ratio(runs, results.of(best), dapo) if best else None
            cost = rollouts_to(runs, level)
            shown = f"{cost:,.0f}" if math.isfinite(cost) else "not reached"
            cells = (_ratio(whole), _ratio(curve), _ratio(other) if other else t.MISSING)
            reach.append((name, f"{100 * level:.1f}", method, shown, *cells))
            if method == OWN:
                verdicts += [
                    f"* {name}, rollouts against DAPO, at most {TARGETS['dapo']}: {_target(whole, TARGETS['dapo'])} "
                    f"(of its run: {_ratio(whole)}); by the stricter reading {_target(curve, TARGETS['dapo'])} "
                    f"({_ratio(curve)})."
                ]
                if other and best:
                    verdicts.append(
                        f"* {name}, rollouts against `released` MT-GRPO, at most {TARGETS['released']}: "
                        f"{_target(other, TARGETS['released'])} ({_ratio(other)}, best lambda: `{best}`)."
                    )
        for against in ("dapo", *([best] if best else [])):
            for at in ("steps", "rollouts"):
                found = t.comparison(results, OWN, against, at=at)
                if found is None:
                    continue
                gains.append(
                    (
                        name,
                        against,
                        at,
                        f"{found.cost:,.0f}",
                        t.points(found.worst),
                        t.points(found.mean),
                    )
                )
                if against == "dapo":
                    verdicts.append(
                        f"* {name}, final mean not below DAPO's at equal {at}: {_not_below(found.mean)} "
                        f"({t.points(found.mean).strip('*')} points)."
                    )
    heads = (
        "study",
        "level, %",
        "method",
        "rollouts to it",
        "of DAPO's run",
        "of DAPO's curve",
        "of released's curve",
    )
    table = t.Table("Rollouts to the worst-task accuracy that DAPO ends with", heads, tuple(reach))
    columns = ("study", "balanced minus", "at equal", "cost", "worst task, points", "mean, points")
    differences = t.Table(
        "Differences", columns, tuple(gains), "Paired by seed and test prompt; bold: not 0."
    )
    text = ["## Our own method: balanced", "", OWN_TEXT, "", *verdicts]
    return [*text, "", table.markdown(), "", differences.markdown(), ""]


def cost(name: str, results: StudyResults) -> str:
    """The command, the code and the time of a study."""
    seeds, made = sorted({run.seed for run in results.runs}), PROVENANCE[name]
    hours = sum(float(run.seconds[-1]) for run in results.runs) / 3600
    later = {m: commit for m, commit in made["later"].items() if results.of(m)}
    also = "".join(f"; those of `{method}` by commit {commit}" for method, commit in later.items())
    return (
        f"`mtgrpo study {name} --results research/{name}.json`: {len(results.runs)} runs, seeds {seeds[0]} to "
        f"{seeds[-1]}, made by the code at commit {made['commit']}{also}. The runs' own clocks add up to "
        f"{hours:.1f} hours: elapsed time of one-thread processes on a machine of two cores that had other work, so an "
        f"upper bound of the CPU time they need, and about {hours / 2:.1f} hours by two at a time. "
        f"Measured from first start to last end, two at a "
        f"time, start-up and evaluation included: {made['wall_minutes']} minutes for {made['runs_timed']} of them."
    )


def speed() -> list[str]:
    """Where a step's time goes, and what each speed-up gives."""
    steps, overhead = (_read(name) for name in ("step_time", "step_overhead"))
    about, ups, seconds = steps["about"], steps["speed_up_of_a_step"], steps["seconds_per_step"]
    before, after = (
        sum(part[key] for part in steps["sections"].values()) for key in ("before_s", "after_s")
    )
    rows = [
        (
            name,
            *(f"{1000 * part[k]:.0f}" for k in ("before_s", "after_s")),
            f"{100 * part['after_s'] / after:.0f}",
        )
        for name, part in steps["sections"].items()
    ]
    rows.append(("all", f"{1000 * before:.0f}", f"{1000 * after:.0f}", "100"))
    table = t.Table(
        "A training step, milliseconds",
        ("part", "plain TRL", "with all speed-ups", "share, %"),
        tuple(rows),
    )
    named = {
        "generation": "prompts shared by a group prefilled once, finished rows dropped",
        "whole_round": "a whole round of prompts generated at once",
        "loss": "shared prompts in the loss too",
        "all": "all three",
    }
    gains = tuple((what, f"{ups[key]:.2f}") for key, what in named.items())
    sped = t.Table(
        "Speed-ups, each on top of those above it", ("what", "plain step / this step"), gains
    )
    note = (
        f"Medians over {about['num_steps']} steps, all variants side by side in one run of `benchmarks/step_time.py` "
        f"(demo configuration, DAPO, one thread, torch {about['torch']}, TRL {about['trl']}): {seconds['trl']:.2f} s a "
        f"step before, {seconds['loss']:.2f} s after; an evaluation {steps['evaluation']['before_s']:.2f} s before, "
        f"{steps['evaluation']['after_s']:.2f} s after. The trainer costs "
        f"{100 * (overhead['cpu_ratio'] - 1):.1f} % more CPU time "
        "than TRL's plain GRPO trainer doing the same work (`benchmarks/step_overhead.py`)."
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
    return (
        "met, the interval reaching beyond it"
        if value.value <= most
        else f"missed by {value.value - most:.2f}"
    )


def _not_below(value: Interval) -> str:
    if value.low >= 0:
        return "met, for certain"
    if value.high < 0:
        return "missed, for certain"
    return (
        "met, within what the runs can tell"
        if value.value >= 0
        else "missed, within what the runs can tell"
    )
