"""Writes the tables of docs/balanced.md: what the committed benchmarks say of the preset `balanced` and of its parts.

    python research/balanced.py

A table stands between `<!-- name -->` and `<!-- /name -->` in the page, and comes from benchmarks/name.json; the text
around it is left alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BENCHMARKS = HERE.parent / "benchmarks"
PAGE = HERE.parent / "docs" / "balanced.md"


def table(head: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)]) + "\n"


def sampler_cost(record: Mapping[str, Any]) -> str:
    rows: list[list[Any]] = []
    for title, setting in record["settings"].items():
        least = setting["least_possible_groups"]
        released = setting["samplers"]["released"]["groups_per_step"]
        for name, found in setting["samplers"].items():
            rows.append(
                [
                    title,
                    name,
                    f"{found['groups_per_step']:.0f}",
                    f"{found['ratio_to_released']:.2f}",
                    f"{least:.0f} ({least / released:.2f})",
                    f"{found['rounds_per_step']:.2f}",
                    f"{100 * found['quotas_met_rate']:.0f} %",
                    f"{100 * found['stale_share']:.0f} %",
                ]
            )
    head = [
        "setting",
        "sampler",
        "groups",
        "of released",
        "least",
        "rounds",
        "quotas met",
        "stale groups",
    ]
    return table(head, rows)


def worlds(record: Mapping[str, Any]) -> str:
    ours = record["balanced"]
    rows: list[list[Any]] = [
        ["**balanced**", f"{ours['worst']:.1f}", f"{ours['mean']:.1f}", "", "", "", ""]
    ]
    for name, row in record["methods"].items():
        low, high = row["interval"]
        rows.append(
            [
                name,
                f"{row['worst']:.1f}",
                f"{row['mean']:.1f}",
                f"{row['worst_difference']:+.1f} ({low:+.1f} to {high:+.1f})",
                f"{row['mean_difference']:+.1f}",
                f"{row['lower_in']} of {record['worlds']}",
                f"{row['rollouts_ratio']:.2f}",
            ]
        )
    head = [
        "method",
        "worst",
        "mean",
        "worst, balanced minus it",
        "mean, same",
        "worse in",
        "rollouts, of its",
    ]
    quantiles = ", ".join(
        f"{value:+.1f} ({level} %)" for level, value in record["quantiles"].items()
    )
    return (
        table(head, rows)
        + f"\nQuantiles of the difference to *{record['against']}*: {quantiles}.\n"
    )


def unlearnable(record: Mapping[str, Any]) -> str:
    rows: list[list[Any]] = []
    for method, found in record["methods"].items():
        for kind in ("hopeless", "stuck"):
            row = found[kind]
            changes = " / ".join(f"{value:+.1f}" for value in row["difference_at_1.25x_rollouts"])
            within = "yes" if row["within_two_points"] else "no"
            cost, weight = row["rollouts_of_as_many_steps"], row["weight_of_the_barren_task"]
            rows.append([method, kind, changes, within, f"{cost:.2f}", f"{weight:.2f}"])
    head = [
        "method",
        "fourth task",
        "change of the three",
        "within 2 points",
        "rollouts of as many steps",
        "its weight",
    ]
    return table(head, rows)


def ablation(record: Mapping[str, Any]) -> str:
    parts: list[str] = []
    for title in ("as they are", "with a barren task"):
        rows: list[list[Any]] = []
        for part, row in record[title].items():
            changes = [
                f"{row[key][0]:+.1f} ({row[key][1]:.1f})" for key in ("worst_change", "mean_change")
            ]
            rows.append(
                [part, *changes, f"{row['cost_ratio']:.2f}", f"{row['rounds_per_step']:.2f}"]
            )
        parts += [
            f"Worlds {title}:\n",
            table(["without", "worst", "mean", "groups", "rounds a step"], rows),
        ]
    return "\n".join(parts)


TABLES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "sampler_cost": sampler_cost,
    "worlds": worlds,
    "unlearnable": unlearnable,
    "ablation": ablation,
}


def written(page: str) -> str:
    """The page with its tables as the committed benchmarks have them."""
    for name, write in TABLES.items():
        record = json.loads((BENCHMARKS / f"{name}.json").read_text(encoding="utf-8"))
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = page.partition(begin)
        page = before + begin + "\n" + write(record) + "\n" + end + rest.partition(end)[2]
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
