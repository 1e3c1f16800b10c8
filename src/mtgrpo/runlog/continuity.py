"""Whether a log still holds every step that a checkpoint counts on.

A checkpoint is durable once it is sealed, a log line only once it is synced. The log is therefore
synced before the seal, and the seal says how far the log had come; a log that holds less now (a
lost write, a file restored from an older copy) would go on with a hole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from mtgrpo.errors import counted
from mtgrpo.runlog.files import read_lines
from mtgrpo.runlog.reading import read_mark

NEEDED = ("metrics.jsonl", "evaluations.jsonl")
"""Files that curves are drawn from. Without its samples a run can be resumed."""


@dataclass(frozen=True, slots=True)
class LogEnd:
    """How far a run's log had come at some moment.

    Attributes:
        run_id: Identity of the run.
        num_lines: Lines by file.
        last_step: Step of the last line by file; files without lines are left out.
    """

    run_id: str
    num_lines: Mapping[str, int]
    last_step: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "run_id": self.run_id,
            "num_lines": dict(self.num_lines),
            "last_step": dict(self.last_step),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LogEnd:
        """What `as_dict` gave."""
        return cls(str(values["run_id"]), dict(values["num_lines"]), dict(values["last_step"]))


@dataclass(frozen=True, slots=True)
class LoggedSteps:
    """The steps that a run's log holds.

    Attributes:
        run_id: Identity of the run; empty for one that has none.
        steps: Step of every line, by file.
    """

    run_id: str
    steps: Mapping[str, Sequence[int]] = field(default_factory=dict[str, Sequence[int]])

    @property
    def end(self) -> LogEnd:
        """How far the log has come."""
        last_step = {name: steps[-1] for name, steps in self.steps.items() if steps}
        num_lines = {name: len(steps) for name, steps in self.steps.items()}
        return LogEnd(self.run_id, num_lines, last_step)

    def gap(self, end: LogEnd) -> str:
        """What the log lacks of what it once held, in words; empty when it lacks nothing.

        Args:
            end: How far the log had come.
        """
        for name in NEEDED:
            num_then, last_step = end.num_lines.get(name, 0), end.last_step.get(name, 0)
            kept = [step for step in self.steps.get(name, ()) if step <= last_step]

            if len(kept) < num_then:
                stride = max(1, last_step // num_then)  # of lines that are evenly spaced
                missing = _missing_steps(kept, last_step, stride)
                return (
                    f"{name} lacks {num_then - len(kept)} of {counted(num_then, 'line')} it had "
                    "when "
                    f"this was saved: {missing}"
                )

        return ""


def read_logged_steps(directory: Path) -> LoggedSteps:
    """The steps in the log of a run directory.

    Raises:
        RunError: A file is unreadable or damaged.
    """
    steps: dict[str, list[int]] = {}
    for name in NEEDED:
        lines = [line.get("step") for _, line in read_lines(directory / name)]
        steps[name] = [int(step) for step in lines if isinstance(step, (int, float))]

    return LoggedSteps(read_mark(directory).run_id, steps)


def _missing_steps(kept: Sequence[int], last_step: int, stride: int) -> str:
    """The steps without a line, such as ``"step 12, steps 19 to 24"``."""
    gaps: list[str] = []

    for before, after in pairwise([0, *kept, last_step + stride]):
        first, last = before + stride, after - stride
        if first == last:
            gaps.append(f"step {first}")
        elif first < last:
            gaps.append(f"steps {first} to {last}")

    return ", ".join(gaps)
