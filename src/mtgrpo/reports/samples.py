"""Sample completions of a report: the first and the last of each task."""

from __future__ import annotations

from collections.abc import Sequence

from mtgrpo.errors import counted
from mtgrpo.reports import page
from mtgrpo.reports.task_rows import task_table
from mtgrpo.runlog import Completion, Run

MOST_TASKS = 12
MOST_PER_STEP = 2
EXPLANATION = (
    "What the model was asked in training and what it wrote, as logged. Right and wrong are by "
    "accuracy; “trained on” says whether the completion's group was part of a batch."
)


def samples_section(run: Run) -> str:
    """Completions of every task at its first and its last logged step, right and wrong marked.

    Of many tasks, those with the lowest accuracy are shown.
    """
    by_task: dict[str, list[Completion]] = {}
    for sample in run.completions:
        by_task.setdefault(sample.task, []).append(sample)

    if not by_task:
        return page.section("Sample completions", page.paragraph("No completions were logged."))

    tasks = list(by_task)
    if len(tasks) > MOST_TASKS:
        tasks = _hardest_first(run, tasks)[:MOST_TASKS]

    parts = [page.paragraph(EXPLANATION)]
    for task in tasks:
        parts.append(page.details(page.name(task), *_first_and_last(by_task[task])))

    num_more = len(by_task) - len(tasks)
    if num_more:
        parts.append(page.paragraph(f"{counted(num_more, 'more task')} in completions.jsonl."))

    return page.section("Sample completions", *parts)


def _hardest_first(run: Run, tasks: list[str]) -> list[str]:
    """Tasks by their latest accuracy, lowest first; those never evaluated come last."""
    latest: dict[str, float] = {}
    for row in task_table(run):
        accuracy = row.after if row.after == row.after else row.before
        if accuracy == accuracy:
            latest[row.task] = accuracy

    return sorted(tasks, key=lambda task: latest.get(task, float("inf")))


def _first_and_last(samples: Sequence[Completion]) -> list[str]:
    """A block for the first logged step, and one for the last if that is another."""
    first, last = samples[0].step, samples[-1].step
    blocks = [_step("First", [s for s in samples if s.step == first])]

    if last != first:
        blocks.append(_step("Last", [s for s in samples if s.step == last]))

    return blocks


def _step(when: str, samples: Sequence[Completion]) -> str:
    shown = "".join(_sample(sample) for sample in samples[:MOST_PER_STEP])
    return f"<h3>{when}: step {samples[0].step:,}</h3>{shown}"


def _sample(sample: Completion) -> str:
    if sample.reward != sample.reward:
        mark = '<span class="tag soft">not scored</span>'
    elif sample.accuracy != sample.accuracy:
        mark = '<span class="tag soft">graded</span>'
    elif sample.accuracy >= 1:
        mark = '<span class="tag good">✓ right</span>'
    else:
        mark = '<span class="tag bad">✗ wrong</span>'

    reward, accuracy = page.number(sample.reward, 2), page.number(sample.accuracy, 2)
    kept = "trained on" if sample.kept else "not trained on"
    remark = f'<span class="soft">reward {reward}, accuracy {accuracy}, {kept}</span>'

    return (
        f"<p>{mark} {remark}</p>"
        f'<p class="soft">prompt</p>{page.pre(sample.prompt)}'
        f'<p class="soft">completion</p>{page.pre(sample.completion)}'
    )
