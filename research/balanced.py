"""Writes the tables of docs/balanced.md: what the benchmarks say of `balanced` and of its parts.

    python research/balanced.py

A table stands between `<!-- name -->` and `<!-- /name -->` in the page, and comes from
benchmarks/name.json; the text around it is left alone.
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
    for row in rows:
        lines.append("| " + " | ".join(map(str, row)) + " |")

    return "\n".join(lines) + "\n"


def sampler_cost(record: Mapping[str, Any]) -> str:
    rows: list[list[Any]] = []
    for title, setting in record["settings"].items():
        least = setting["least_possible_groups"]
        released = setting["samplers"]["released"]["groups_per_step"]

        for name, sampler in setting["samplers"].items():
            rows.append(
                [
                    title,
                    name,
                    f"{sampler['groups_per_step']:.0f}",
                    f"{sampler['ratio_to_released']:.2f}",
                    f"{least:.0f} ({least / released:.2f})",
                    f"{sampler['rounds_per_step']:.2f}",
                    f"{100 * sampler['quotas_met_rate']:.0f} %",
                    f"{100 * sampler['stale_share']:.0f} %",
                ]
            )

    head = ["setting", "sampler", "groups", "of released", "least", "rounds"]
    return table([*head, "quotas met", "stale groups"], rows)


def worlds(record: Mapping[str, Any]) -> str:
    ours = record["balanced"]
    own_row = ["**balanced**", f"{ours['worst']:.1f}", f"{ours['mean']:.1f}", "", "", "", ""]

    rows: list[list[Any]] = [own_row]
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

    head = ["method", "worst", "mean", "worst, balanced minus it", "mean, same", "worse in"]
    quantiles = [f"{value:+.1f} ({level} %)" for level, value in record["quantiles"].items()]
    note = f"Quantiles of the difference to *{record['against']}*: {', '.join(quantiles)}."

    return table([*head, "rollouts, of its"], rows) + f"\n{note}\n"


def unlearnable(record: Mapping[str, Any]) -> str:
    rows: list[list[Any]] = []
    for method, kinds in record["methods"].items():
        for kind in ("hopeless", "stuck"):
            row = kinds[kind]
            differences = [f"{value:+.1f}" for value in row["difference_at_1.25x_rollouts"]]
            rows.append(
                [
                    method,
                    kind,
                    " / ".join(differences),
                    "yes" if row["within_two_points"] else "no",
                    f"{row['rollouts_of_as_many_steps']:.2f}",
                    f"{row['weight_of_the_barren_task']:.2f}",
                ]
            )

    head = ["method", "fourth task", "change of the three", "within 2 points"]
    return table([*head, "rollouts of as many steps", "its weight"], rows)


def ablation(record: Mapping[str, Any]) -> str:
    head = ["without", "worst", "mean", "groups", "rounds a step"]

    parts: list[str] = []
    for title in ("as they are", "with a barren task"):
        rows: list[list[Any]] = []
        for part, row in record[title].items():
            worst, mean = row["worst_change"], row["mean_change"]
            changes = [f"{value:+.1f} ({error:.1f})" for value, error in (worst, mean)]
            groups, rounds = f"{row['cost_ratio']:.2f}", f"{row['rounds_per_step']:.2f}"
            rows.append([part, *changes, groups, rounds])

        parts += [f"Worlds {title}:\n", table(head, rows)]

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
