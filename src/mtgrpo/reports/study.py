"""The report of a study, from its results alone: a page, figures as files, tables as Markdown."""

from __future__ import annotations

import os
from pathlib import Path

from mtgrpo.errors import counted
from mtgrpo.evidence import StudyResults
from mtgrpo.evidence.table import Table, as_markdown
from mtgrpo.evidence.tables import all_tables
from mtgrpo.reports import page
from mtgrpo.reports.figure_files import save
from mtgrpo.reports.page_files import write_page
from mtgrpo.reports.study_figures import study_figures
from mtgrpo.runlog.files import write_text


def write_study_report(results: StudyResults, folder: str | os.PathLike[str]) -> Path:
    """Write ``report.html``, ``tables.md`` and ``figures/*.svg|png`` into a folder.

    Args:
        results: From `mtgrpo.evidence.load_results`.
        folder: Folder for the files, made when missing.

    Returns:
        The HTML file.

    Raises:
        RunError: The folder cannot be written.
        MissingExtra: matplotlib is not installed.
    """
    out = Path(folder)
    tables = all_tables(results)
    figures = study_figures(results)

    seeds = ", ".join(map(str, sorted({run.seed for run in results.runs})))
    title = f"Study: {results.name}"
    intro = (
        f"{counted(len(results.finished_methods), 'method')}, {counted(len(results.runs), 'run')}, "
        f"seeds {seeds}. Every method with the same seed sees the same base model, prompts and "
        "test prompts."
    )

    save({name: figure for name, figure, _ in figures}, out / "figures")

    markdown = [f"# {as_markdown(title)}", intro, *(table.markdown() for table in tables)]
    write_text(out / "tables.md", "\n\n".join(markdown) + "\n")

    parts = [
        f"<h1>{page.text(title)}</h1>",
        page.paragraph(intro),
        page.section("Figures", page.figure_grid(figures)),
        *map(_section, tables),
    ]
    return write_page(out / "report.html", title, "\n".join(parts))


def _section(table: Table) -> str:
    rows = [[page.name(row[0]), *map(_cell, row[1:])] for row in table.rows]
    note = page.paragraph(table.note) if table.note else ""
    return page.section(table.title, page.table(table.heads, rows), note)


def _cell(text: str) -> str:
    if text.startswith("**") and text.endswith("**"):
        return f"<b>{page.text(text[2:-2])}</b>"

    return page.text(text)
