"""Sample completions of a report: the first and the last of each task."""

from __future__ import annotations

from collections.abc import Sequence

from mtgrpo.reports import page
from mtgrpo.reports.curves import task_table
from mtgrpo.runlog import Completion, Run

MOST_TASKS = 12
MOST_PER_STEP = 2


def samples_section(run: Run) -> str:
    """Completions of every task at its first and its last logged step, right and wrong marked.

    Of many tasks, those with the lowest accuracy are shown.
    """
    by_task: dict[str, list[Completion]] = {}
    for sample in run.completions:
        by_task.setdefault(sample.task, []).append(sample)
    if not by_task:
        return page.section("Sample completions", page.paragraph("No completions were logged."))
    shown = (
        _hardest_first(run, list(by_task))[:MOST_TASKS]
        if len(by_task) > MOST_TASKS
        else list(by_task)
    )
    parts = [
        page.paragraph(
            "What the model was asked in training and what it wrote, as logged. Right and wrong are by accuracy; "
            "“trained on” says whether the completion's group was part of a batch."
        )
    ]
    for task in shown:
        samples = by_task[task]
        first, last = samples[0].step, samples[-1].step
        blocks = [_step("First", [s for s in samples if s.step == first])]
        if last != first:
            blocks.append(_step("Last", [s for s in samples if s.step == last]))
        parts.append(page.details(page.name(task), *blocks))
    if len(by_task) > len(shown):
        parts.append(
            page.paragraph(f"{len(by_task) - len(shown)} more tasks in completions.jsonl.")
        )
    return page.section("Sample completions", *parts)


def _hardest_first(run: Run, tasks: list[str]) -> list[str]:
    rows = {
        row.task: row.before if row.after != row.after else row.after for row in task_table(run)
    }
    known = [task for task in tasks if rows.get(task, float("nan")) == rows.get(task)]
    return sorted(known, key=lambda task: rows[task]) + [
        task for task in tasks if task not in set(known)
    ]


def _step(when: str, samples: Sequence[Completion]) -> str:
    return f"<h3>{when}: step {samples[0].step:,}</h3>" + "".join(
        _sample(s) for s in samples[:MOST_PER_STEP]
    )


def _sample(sample: Completion) -> str:
    if sample.accuracy != sample.accuracy:
        mark = '<span class="tag soft">not scored</span>'
    elif sample.accuracy >= 1:
        mark = '<span class="tag good">✓ right</span>'
    else:
        mark = '<span class="tag bad">✗ wrong</span>'
    kept = "trained on" if sample.kept else "not trained on"
    figures = f"reward {page.number(sample.reward, 2)}, accuracy {page.number(sample.accuracy, 2)}, {kept}"
    head = f'<p>{mark} <span class="soft">{figures}</span></p>'
    return head + "".join(
        f'<p class="soft">{what}</p>{page.pre(written)}'
        for what, written in (("prompt", sample.prompt), ("completion", sample.completion))
    )
