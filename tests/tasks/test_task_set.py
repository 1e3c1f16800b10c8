from dataclasses import replace

import pytest

from mtgrpo.errors import TaskError
from mtgrpo.tasks import GeneratedRows, Task, TaskSet
from mtgrpo.tasks.task_set import prompt_key


def task(name: str, train: object = ("p",), test: object = ()) -> Task:
    rows = [
        [{"prompt": p} for p in split] if isinstance(split, tuple) else split
        for split in (train, test)
    ]
    return Task(name, rows[0], rows[1], lambda prompts, **_: [0.0] * len(prompts))


def test_keeps_order_and_finds_by_name():
    a, b = task("b"), task("a/1 x")
    tasks = TaskSet(a, b)
    assert tasks.names == ("b", "a/1 x")
    assert list(tasks) == [a, b]
    assert len(tasks) == 2
    assert tasks["b"] is a
    assert "b" in tasks
    assert "c" not in tasks
    with pytest.raises(TaskError, match=r"unknown task 'a/1'.*did you mean 'a/1 x'"):
        tasks["a/1"]


def test_refuses_what_is_no_set_of_tasks():
    with pytest.raises(TaskError, match="no task"):
        TaskSet()
    with pytest.raises(TaskError, match="two tasks are called 'a'"):
        TaskSet(task("a"), task("a"))
    with pytest.raises(TaskError, match=r"unpack a list: TaskSet\(\*tasks\)"):
        TaskSet([task("a")])  # type: ignore[arg-type]


def test_disjoint():
    TaskSet(task("a", ("p",), ("q",)), task("b", ("r",), ("s",))).check_disjoint()
    with pytest.raises(
        TaskError, match=r"task 'b', train row 1: the same prompt is test row 0 of task 'a': 'q'"
    ):
        TaskSet(task("a", ("p",), ("q",)), task("b", ("r", "q"))).check_disjoint()


def test_generated_rows_are_not_made_to_be_compared():
    def never(i: int):
        raise AssertionError("made")

    TaskSet(task("a", GeneratedRows(10, never), GeneratedRows(10, never))).check_disjoint()


def test_prompt_key():
    message = {"role": "user", "content": "p"}
    assert prompt_key("p") == prompt_key([message]) == "p"
    assert prompt_key([{"role": "system", "content": "s"}, message]) != "p"
    assert prompt_key([{"a": 1, "role": "x"}]) == prompt_key([{"role": "x", "a": 1}])


def test_tasks_are_present_between_their_steps():
    a, b, tested = task("a"), task("b"), task("tested", (), ("q",))
    tasks = TaskSet(replace(a, until_step=3), replace(b, from_step=2), tested)
    assert [tasks.present(step) for step in range(5)] == [
        ("a",), ("a",), ("a", "b"), ("b",), ("b",),
    ]  # fmt: skip
    tasks.check_present()
    TaskSet(replace(a, until_step=3)).check_present(3)


@pytest.mark.parametrize(
    ("spans", "step"), [([(0, 3)], 4), ([(1, None)], 1), ([(0, 2), (3, None)], 3)]
)
def test_a_step_without_a_task_is_refused(spans, step):
    tasks = [
        replace(task(f"t{i}", (f"p{i}",)), from_step=start, until_step=end)
        for i, (start, end) in enumerate(spans)
    ]
    with pytest.raises(TaskError, match=f"none is trained on in step {step};"):
        TaskSet(*tasks).check_present()


@pytest.mark.parametrize(
    ("start", "end"), [(-1, None), (2, 2), (0.5, None), (True, None), (0, 1.5)]
)
def test_a_span_is_of_whole_steps_in_order(start, end):
    with pytest.raises(TaskError, match="from_step="):
        replace(task("a"), from_step=start, until_step=end)
