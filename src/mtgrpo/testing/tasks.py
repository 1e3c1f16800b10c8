"""The contract of tasks, for the tests of people who write one: `mtgrpo.testing.TaskContract`."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from itertools import islice
from typing import ClassVar

from mtgrpo.tasks.check import check_task, same_score
from mtgrpo.tasks.own_copy import own_copy
from mtgrpo.tasks.probes import as_completion
from mtgrpo.tasks.task import Task


class TaskContract(ABC):
    """What every task must do.

    ```python
    class TestMyTask(TaskContract):
        def make_task(self):
            return my_task(size=3)
    ```
    """

    num_rows: ClassVar[int] = 10
    """Number of rows of each split that are looked at."""

    @abstractmethod
    def make_task(self) -> Task:
        """A fresh task; called again for a second one that must be the same."""

    def test_check_finds_no_problem(self) -> None:
        """`mtgrpo.tasks.check_task` finds nothing: see there for what it looks at."""
        assert check_task(self.make_task(), num_rows=self.num_rows) == []

    def test_has_rows_to_evaluate_on(self) -> None:
        """A task without test rows has no accuracy."""
        assert len(self.make_task().test) > 0

    def test_made_twice_is_the_same(self) -> None:
        """Rows are a function of the arguments and the index: runs can be repeated and resumed."""
        first, second = self.make_task(), self.make_task()
        assert first.name == second.name

        for a, b in ((first.train, second.train), (first.test, second.test)):
            assert len(a) == len(b)

            # From the back in the second one: a row must not depend on the rows before it.
            count = min(self.num_rows, len(a))
            backwards = {i: json.dumps(b[i], sort_keys=True) for i in reversed(range(count))}
            for i, row in enumerate(islice(a, count)):
                assert json.dumps(row, sort_keys=True) == backwards[i], f"row {i}"

    def test_scores_do_not_depend_on_company(self) -> None:
        """A completion gets the same score alone and among others; groups are scored together."""
        task = self.make_task()
        rows = list(islice(task.test or task.train, self.num_rows))
        answers = [task.oracle(own_copy(row)) if task.oracle else "" for row in rows]
        completions = list(map(as_completion, rows, answers))

        together = task.score(rows, completions)
        for row, completion, score in zip(rows, completions, together, strict=True):
            assert same_score(task.score([row], [completion])[0], score)
