"""Writes docs/results-archive.md from the committed results of the studies: our tables beside the published.

    python research/results.py

Reads research/three_tasks.json and research/nine_tasks.json (`mtgrpo study NAME --results FILE`),
research/published.json, research/provenance.json and benchmarks/*.json. Nothing in the page is
typed by hand but the claims themselves (research/claims.py) and what research/sections.py says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sections
from claims import PUBLISHED, claims_section

from mtgrpo.evidence import StudyResults, load_results
from mtgrpo.evidence.table import MISSING, Table
from mtgrpo.evidence.tables import all_tables, final_table
from mtgrpo.reports.figure_files import save
from mtgrpo.reports.study_figures import study_figures

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "results-archive.md"
IMAGES = HERE.parent / "docs" / "images"
STUDIES = ("three_tasks", "nine_tasks")
FIGURES = ("final", "trade-off", "worst-rollouts-multi-task", "worst-steps-multi-task", "weights")
INTRO = """# Results, claim by claim

The archive: every method, claim and interval of the recorded studies. [Results](results.md) has what matters of it.

Every method of the paper on the embedded model: measured on CPU with a tiny model (0.5 M parameters), 8 completions
per prompt, less than a hundred steps of four policy updates. The published figures are from Qwen2.5-3B, 720 steps,
one seed. What holds at one scale need not hold at the other; the same experiment files with another `model:` and
tasks of kind `paper:` are the reproduction on GPUs, which has not been run. Nothing was tuned for a method of the
paper: all share one learning rate, and the weights' own parameters are the published ones; our own method is apart,
below. With three seeds (nine tasks) intervals are somewhat too narrow. Written by `python research/results.py`.
"""


def main() -> None:
    studies: dict[str, StudyResults] = {}
    for name in STUDIES:
        path = HERE / f"{name}.json"
        if path.is_file():
            studies[name] = load_results(path)

    lines = [INTRO, *claims_section(studies), *sections.own_method(studies), *sections.speed()]
    for name, results in studies.items():
        lines += _study(name, results)

    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(PAGE)


def _study(name: str, results: StudyResults) -> list[str]:
    """Lines about one study; its figures become files."""
    lines = ["", f"## {name}", "", sections.cost(name, results)]

    figures = study_figures(results, FIGURES)
    save({f"{name}-{key}": figure for key, figure, _ in figures}, IMAGES, suffixes=("svg",))
    for key, _, caption in figures:
        lines += ["", f"![{caption}](images/{name}-{key}.svg)"]

    lines += ["", _published(name, results)]
    for table in all_tables(results)[1:]:
        lines += ["", table.markdown()]

    simulated = HERE / f"{name}_simulated.json"
    if simulated.is_file():
        lines += ["", _simulated(json.loads(simulated.read_text(encoding="utf-8")))]

    return lines


def _published(name: str, results: StudyResults) -> str:
    """The final table with the published values beside ours."""
    table = final_table(results)
    published = PUBLISHED[name]
    heads = (*table.heads, *(f"published: {column}" for column in published["columns"]))

    rows: list[tuple[str, ...]] = []
    for row in table.rows:
        cells = list(row)
        for value in published.get(row[0].replace("released ", ""), (None,) * 3):
            cells.append(MISSING if value is None else f"{value:.1f}")
        rows.append(tuple(cells))

    return Table(table.title, heads, tuple(rows), table.note).markdown()


def _simulated(record: Mapping[str, Any]) -> str:
    """Simulated beside trained accuracies, method by method."""
    heads = ["method"]
    for of in ("worst", "mean"):
        heads += [f"simulated {of}, %", f"trained {of}, %"]

    rows: list[tuple[str, ...]] = []
    for method, values in record["methods"].items():
        rows.append((method, *(f"{100 * value:.1f}" for value in values)))

    title = "How well the simulator predicts"
    return Table(title, tuple(heads), tuple(rows), record["note"]).markdown()


if __name__ == "__main__":
    main()
