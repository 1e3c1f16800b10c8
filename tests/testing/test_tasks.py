from typing import Any

import pytest

from mtgrpo.tasks import Task, paper_task, reasoning_gym_task
from mtgrpo.testing import TaskContract

pytest.importorskip("reasoning_gym")


class TestPaperTask(TaskContract):
    def make_task(self) -> Task:
        return paper_task("arc", "easy", num_train=20, num_test=10)


class TestReasoningGymTask(TaskContract):
    num_rows = 3

    def make_task(self) -> Task:
        return reasoning_gym_task("basic_arithmetic", num_train=20, num_test=10)


class TestChatTask(TaskContract):
    def make_task(self) -> Task:
        def right(completions: Any, answer: Any, **kwargs: Any) -> list[float]:
            return [float(c[0]["content"] == a) for c, a in zip(completions, answer, strict=True)]

        rows = [{"prompt": [{"role": "user", "content": f"{i}+1"}], "answer": "x"} for i in (1, 2)]
        return Task("chat", rows[:1], rows[1:], right, 1.0, oracle=lambda row: row["answer"])


def test_the_contract_finds_what_is_wrong():
    class Broken(TaskContract):
        number = 0

        def make_task(self) -> Task:
            self.number += 1
            rows: list[dict[str, Any]] = [{"prompt": f"made {self.number}"}]
            return Task(
                "broken",
                rows,
                [],
                lambda completions, **_: [len(completions)] * len(completions),
                1.0,
            )

    for test in (
        Broken().test_check_finds_no_problem,
        Broken().test_has_rows_to_evaluate_on,
        Broken().test_made_twice_is_the_same,
    ):
        with pytest.raises(AssertionError):
            test()
