"""The order in which test rows are evaluated."""

from mtgrpo.integrations.trl.eval_rows import RepeatedInOrder, TestRows
from mtgrpo.integrations.trl.rollouts import InputRows

from .toy import make_tasks


def test_rows_of_all_tasks_come_one_task_after_the_other():
    tasks = make_tasks()
    rows = TestRows(InputRows(tasks))
    assert len(rows) == sum(len(task.test) for task in tasks)
    assert [rows[i]["mtgrpo_task"] for i in range(len(rows))] == [
        task.name for task in tasks for _ in task.test
    ]
    assert rows[len(tasks["easy"].test)]["mtgrpo_row"] == 0


def test_order_repeats_each_prompt():
    sampler = RepeatedInOrder(3, 2)
    assert list(sampler) == [0, 0, 1, 1, 2, 2]
    assert len(sampler) == 6
