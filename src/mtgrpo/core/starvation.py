"""Which tasks starve: their prompts are given up again and again, and none comes back."""

from __future__ import annotations

from collections.abc import Sequence

from mtgrpo.core.described import Described
from mtgrpo.errors import ConfigError


class StarvationWatch(Described):
    """Counts, task by task, the prompts given up since one came back.

    A batch with exact shares waits for its slowest task. Where all prompts of a task fail, or are
    too old when they come back, it would wait for ever without a word.

    Args:
        tasks: Task names.
        patience: Prompts given up in a row from which on a task starves.

    Raises:
        ConfigError: `patience` is below 1.
    """

    def __init__(self, tasks: Sequence[str], patience: int) -> None:
        if patience < 1:
            raise ConfigError(f"StarvationWatch: patience={patience}; at least 1 is needed")

        self.patience = patience
        self.in_a_row = dict.fromkeys(tasks, 0)

    def came_back(self, task: str) -> None:
        """A group of the task has come back in time."""
        self.in_a_row[task] = 0

    def given_up(self, task: str) -> bool:
        """A prompt of the task was given up; whether the task starves from now on."""
        self.in_a_row[task] += 1
        return self.in_a_row[task] == self.patience

    @property
    def starving(self) -> list[str]:
        """The tasks that starve now."""
        return [task for task, count in self.in_a_row.items() if count >= self.patience]
