"""Under which settings tests were evaluated, and where in a run these changed.

A resumed run may be evaluated otherwise than before: on more prompts, with more samples of each.
Accuracies under different settings are not comparable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mtgrpo.errors import counted
from mtgrpo.runlog.records import Evaluation


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """A place in a run from which on tests were evaluated otherwise.

    Attributes:
        row: Index of the first evaluation under the new settings.
        step: Its step.
        what: What changed, in words.
    """

    row: int
    step: int
    what: str


def settings_changes(
    evaluations: Sequence[Evaluation], tasks: Sequence[str]
) -> list[SettingsChange]:
    """Where the settings of the evaluations changed, oldest first.

    Args:
        evaluations: Evaluations of a run, in order.
        tasks: Tasks that count; others may come and go.
    """
    changes: list[SettingsChange] = []
    for row in range(1, len(evaluations)):
        what = settings_difference(evaluations[row - 1], evaluations[row], tasks)
        if what:
            changes.append(SettingsChange(row, evaluations[row].step, what))

    return changes


def settings_difference(one: Evaluation, other: Evaluation, tasks: Sequence[str]) -> str:
    """In what two evaluations were made differently, in words; empty when they were made alike."""
    parts: list[str] = []
    if one.num_samples != other.num_samples:
        parts.append(f"{one.num_samples} → {counted(other.num_samples, 'sample')} per prompt")

    prompts: dict[tuple[int, int], list[str]] = {}
    for task in tasks:
        before, after = _num_prompts(one, task), _num_prompts(other, task)
        if before != after and None not in (before, after):
            prompts.setdefault((before or 0, after or 0), []).append(task)

    for (before, after), names in prompts.items():
        parts.append(f"{before:,} → {counted(after, 'prompt')} of {_listed(names)}")

    return "; ".join(parts)


def _num_prompts(evaluation: Evaluation, task: str) -> int | None:
    """Test prompts of a task: 0 where it was not evaluated, None where they were not written.

    Those that could not be scored are among them.
    """
    if task not in evaluation.tasks:
        return 0

    result = evaluation.tasks[task]
    return len(result.prompt_accuracies) or result.num_prompts or None


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:3])
    if len(names) <= 3:
        return shown

    return f"{shown} and {len(names) - 3} more"
