"""Writes docs/results.md from the committed results of the studies: our tables, the published ones, claim by claim.

    python research/results.py

Reads research/three_tasks.json and research/nine_tasks.json (`mtgrpo study NAME --results FILE`), and
research/published.json, research/provenance.json and benchmarks/*.json. Nothing in the page is typed by hand but the
claims themselves and what the sections of research/sections.py say.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sections

from mtgrpo.evidence import Interval, StudyResults, load_results
from mtgrpo.evidence import tables as t
from mtgrpo.reports.figures import save
from mtgrpo.reports.study_figures import study_figures

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "results.md"
IMAGES = HERE.parent / "docs" / "images"
PUBLISHED = json.loads((HERE / "published.json").read_text(encoding="utf-8"))
VERDICTS = ("confirmed", "undecided", "not confirmed")
FIGURES = ("final", "trade-off", "worst-rollouts-multi-task", "worst-steps-multi-task", "weights")


@dataclass(frozen=True)
class Check:
    """One comparison a claim stands or falls with: `method` minus `other` should have the sign."""

    study: str
    method: str
    other: str
    of: str = "worst"
    sign: int = 1
    at: str = "steps"
    family: str = ""


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper (or one it suggests), and what it means here."""

    text: str
    checks: tuple[Check, ...]


THREE_MT = (
    "mt_grpo lam=0.2",
    "mt_grpo lam=0.25",
    "mt_grpo released lam=0.2",
    "mt_grpo released lam=0.25",
)
NINE_MT = ("mt_grpo lam=0.9", "mt_grpo lam=1.2", "mt_grpo released lam=1.2")


def versus(other: str, of: str = "worst", sign: int = 1, at: str = "steps") -> tuple[Check, ...]:
    """Every MT-GRPO of both studies against another method."""
    three = (Check("three_tasks", method, other, of, sign, at) for method in THREE_MT)
    return (*three, *(Check("nine_tasks", method, other, of, sign, at) for method in NINE_MT))


def both(method: str, other: str, of: str = "worst", sign: int = 1) -> tuple[Check, ...]:
    """The same comparison in both studies."""
    return tuple(Check(study, method, other, of, sign) for study in ("three_tasks", "nine_tasks"))


CLAIMS = (
    Claim("MT-GRPO has a higher worst-task accuracy than DAPO, at equal steps.", versus("dapo")),
    Claim(
        "The same at equal rollouts (not claimed, but what a user pays).",
        versus("dapo", at="rollouts"),
    ),
    Claim("DAPO has a higher worst-task accuracy than GRPO, at equal steps.", both("dapo", "grpo")),
    Claim(
        "The same at equal rollouts (not claimed).",
        tuple(
            Check(study, "dapo", "grpo", at="rollouts") for study in ("three_tasks", "nine_tasks")
        ),
    ),
    Claim(
        "On three tasks the sampler alone (GRPO_RPS) has a higher worst-task accuracy than DAPO.",
        (Check("three_tasks", "grpo_rps", "dapo"),),
    ),
    Claim(
        "On nine tasks the sampler alone has a lower one than DAPO.",
        (Check("nine_tasks", "grpo_rps", "dapo", sign=-1),),
    ),
    Claim(
        "The sampler is what makes reweighting pay: MT-GRPO beats its weights alone (GRPO_IWU).",
        versus("grpo_iwu"),
    ),
    Claim(
        "Weights alone cost average accuracy: GRPO_IWU has a lower mean than GRPO.",
        both("grpo_iwu", "grpo", "mean", -1),
    ),
    Claim(
        "On nine tasks a larger lambda raises worst-task accuracy (1.2 against 0.1).",
        (Check("nine_tasks", "mt_grpo lam=1.2", "mt_grpo lam=0.1"),),
    ),
    Claim(
        "On nine tasks a larger lambda lowers mean accuracy (1.2 against 0.1).",
        (Check("nine_tasks", "mt_grpo lam=1.2", "mt_grpo lam=0.1", "mean", -1),),
    ),
    Claim(
        "Subroutine 1 beats Subroutine 2 (eta 5e-4) on the hard family, ARC, in mean accuracy.",
        (
            Check(
                "three_tasks",
                "mt_grpo released lam=0.2",
                "mt_grpo_reg eta=5e-4",
                "mean",
                family="arc",
            ),
            Check(
                "nine_tasks",
                "mt_grpo released lam=1.2",
                "mt_grpo_reg eta=5e-4",
                "mean",
                family="arc",
            ),
        ),
    ),
    Claim(
        "On nine tasks eta = 1e-2 has a lower worst-task accuracy than eta = 5e-4.",
        (Check("nine_tasks", "mt_grpo_reg eta=1e-2", "mt_grpo_reg eta=5e-4", sign=-1),),
    ),
    Claim(
        "Strict worst-task optimisation (eta 0) costs mean accuracy against DAPO.",
        both("worst_task", "dapo", "mean", -1),
    ),
    Claim(
        "Training one family after the other has a lower worst-task accuracy than MT-GRPO.",
        tuple(
            Check(study, mt, f"seq_dapo {order}")
            for study, mt in (("three_tasks", THREE_MT[0]), ("nine_tasks", NINE_MT[1]))
            for order in ("CZA", "ZAC")
        ),
    ),
)


def main() -> None:
    studies = {
        path.stem: load_results(path)
        for path in (HERE / "three_tasks.json", HERE / "nine_tasks.json")
        if path.is_file()
    }
    lines = [
        INTRO,
        "## Claim by claim",
        "",
        LEGEND,
        "",
        *_claims(studies),
        *sections.own_method(studies),
    ]
    lines += sections.speed()
    for name, results in studies.items():
        lines += ["", f"## {name}", "", sections.cost(name, results)]
        kept = study_figures(results, FIGURES)
        figures = {f"{name}-{key}": figure for key, figure, _ in kept}
        captions = {f"{name}-{key}": caption for key, _, caption in kept}
        save(figures, IMAGES, suffixes=("svg",))
        for key in figures:
            lines += ["", f"![{captions[key]}](images/{key}.svg)"]
        lines += ["", _published(name, results)]
        for table in t.all_tables(results)[1:]:
            lines += ["", table.markdown()]
        simulated = HERE / f"{name}_simulated.json"
        if simulated.is_file():
            lines += ["", _simulated(json.loads(simulated.read_text(encoding="utf-8")))]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(PAGE)


INTRO = """# Results

Every method of the paper on the embedded model: measured on CPU with a tiny model (0.5 M parameters), 8 completions
per prompt, less than a hundred steps of four policy updates. The published figures are from Qwen2.5-3B, 720 steps,
one seed. What holds at one scale need not hold at the other; the same experiment files with another `model:` and
tasks of kind `paper:` are the reproduction on GPUs, which has not been run. Nothing was tuned for a method of the
paper: all share one learning rate, and the weights' own parameters are the published ones; our own method is apart,
below. With three seeds (nine tasks) intervals are somewhat too narrow. Written by `python research/results.py`.
"""
LEGEND = """A comparison is **confirmed** when its 95 % interval (paired by seed and test prompt) lies on the claimed
side of 0, **not confirmed** when it lies on the other side, **undecided** when it contains 0. Differences are in points
of accuracy; the published difference, a single run, is in brackets."""


def _claims(studies: dict[str, StudyResults]) -> list[str]:
    lines: list[str] = []
    for claim in CLAIMS:
        found = [
            _check(check, studies[check.study]) for check in claim.checks if check.study in studies
        ]
        rows = [row for row in found if row is not None]
        if not rows:
            continue
        counts = Counter(row[-1] for row in rows)
        total = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
        lines += [f"### {claim.text}", "", f"{total}.", ""]
        heads = (
            "study",
            "comparison",
            "difference (95 % interval)",
            "by seed",
            "published",
            "verdict",
        )
        lines += [t.Table("", heads, tuple(rows)).markdown(), ""]
    return lines


def _check(check: Check, results: StudyResults) -> tuple[str, ...] | None:
    tasks = (
        [task for task in results.runs[0].tasks if task.startswith(check.family)]
        if check.family
        else None
    )
    found = t.comparison(results, check.method, check.other, at=check.at, tasks=tasks)
    if found is None:
        return None
    value: Interval = found.worst if check.of == "worst" else found.mean
    seeds = (
        " ".join(f"{100 * v:+.1f}" for v in found.worst_by_seed)
        if check.of == "worst"
        else t.MISSING
    )
    what = f"{check.method} − {check.other}, {check.of}" + (
        f" of {check.family}" if check.family else ""
    )
    return (
        check.study,
        what,
        t.points(value),
        seeds,
        _published_difference(check),
        _verdict(value, check.sign),
    )


def _verdict(value: Interval, sign: int) -> str:
    if not value.excludes_zero:
        return VERDICTS[1]
    return VERDICTS[0] if math.copysign(1, value.value) == sign else VERDICTS[2]


def _published_difference(check: Check) -> str:
    table = PUBLISHED[check.study]
    mine, theirs = table.get(check.method.replace("released ", "")), table.get(check.other)
    column = 0 if check.of == "worst" else 1
    if not mine or not theirs or check.at != "steps" or check.family:
        return t.MISSING
    return f"[{mine[column] - theirs[column]:+.1f}]"


def _published(name: str, results: StudyResults) -> str:
    table = t.final_table(results)
    heads = (*table.heads, *(f"published: {column}" for column in PUBLISHED[name]["columns"]))
    rows = []
    for row in table.rows:
        published: Sequence[float | None] = PUBLISHED[name].get(
            row[0].replace("released ", ""), (None,) * 3
        )
        rows.append(
            (*row, *(t.MISSING if value is None else f"{value:.1f}" for value in published))
        )
    return t.Table(table.title, heads, tuple(rows), table.note).markdown()


def _simulated(found: Mapping[str, Any]) -> str:
    rows = [
        (method, *(f"{100 * v:.1f}" for v in values)) for method, values in found["methods"].items()
    ]
    heads = (
        "method",
        "simulated worst, %",
        "trained worst, %",
        "simulated mean, %",
        "trained mean, %",
    )
    return t.Table("How well the simulator predicts", heads, tuple(rows), found["note"]).markdown()


if __name__ == "__main__":
    main()
