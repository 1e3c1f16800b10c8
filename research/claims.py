"""The paper's claims, and whether the studies bear them out."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mtgrpo.evidence import Interval, StudyResults
from mtgrpo.evidence.table import MISSING, Table, points
from mtgrpo.evidence.tables import comparison

PUBLISHED = json.loads((Path(__file__).parent / "published.json").read_text(encoding="utf-8"))
CONFIRMED, UNDECIDED, NOT_CONFIRMED = VERDICTS = ("confirmed", "undecided", "not confirmed")
HEADS = (
    "study",
    "comparison",
    "difference (95 % interval)",
    "by seed",
    "published",
    "verdict",
)
LEGEND = """A comparison is **confirmed** when its 95 % interval (paired by seed and test prompt) lies on the claimed
side of 0, **not confirmed** when it lies on the other side, **undecided** when it contains 0. Differences are in points
of accuracy; the published difference, a single run, is in brackets."""


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


def claims_section(studies: Mapping[str, StudyResults]) -> list[str]:
    """Lines of the page: claim by claim, its verdicts and the comparisons behind them."""
    lines: list[str] = ["## Claim by claim", "", LEGEND, ""]

    for claim in CLAIMS:
        rows: list[tuple[str, ...]] = []
        for check in claim.checks:
            row = _check(check, studies[check.study]) if check.study in studies else None
            if row is not None:
                rows.append(row)

        if not rows:
            continue

        counts = Counter(row[-1] for row in rows)
        total = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
        table = Table("", HEADS, tuple(rows))
        lines += [f"### {claim.text}", "", f"{total}.", "", table.markdown(), ""]

    return lines


def _check(check: Check, results: StudyResults) -> tuple[str, ...] | None:
    """A row of cells; None where the study lacks one of the two methods."""
    tasks = None
    what = f"{check.method} − {check.other}, {check.of}"
    if check.family:
        tasks = [task for task in results.runs[0].tasks if task.startswith(check.family)]
        what += f" of {check.family}"

    pair = comparison(results, check.method, check.other, at=check.at, tasks=tasks)
    if pair is None:
        return None

    value, seeds = pair.mean, MISSING
    if check.of == "worst":
        value = pair.worst
        seeds = " ".join(f"{100 * v:+.1f}" for v in pair.worst_by_seed)

    published = _published_difference(check)
    return (check.study, what, points(value), seeds, published, _verdict(value, check.sign))


def _verdict(value: Interval, sign: int) -> str:
    if not value.excludes_zero:
        return UNDECIDED
    if math.copysign(1, value.value) == sign:
        return CONFIRMED

    return NOT_CONFIRMED


def _published_difference(check: Check) -> str:
    if check.at != "steps" or check.family:
        return MISSING

    table = PUBLISHED[check.study]
    mine, theirs = table.get(check.method.replace("released ", "")), table.get(check.other)
    if not mine or not theirs:
        return MISSING

    column = 0 if check.of == "worst" else 1
    return f"[{mine[column] - theirs[column]:+.1f}]"
