"""Tasks that join and leave in the middle of a run, and on resume."""

import logging
from dataclasses import replace

import pytest

from mtgrpo import Balanced, RatioPreservingSampler
from mtgrpo.errors import ConfigError, StateError, TaskError
from mtgrpo.tasks import TaskSet

from .conftest import history, same_parameters
from .toy import make_tasks

METHOD = {"weighting": Balanced(), "sampler": RatioPreservingSampler(max_staleness=2)}

SAVED = {"save_strategy": "steps", "save_steps": 2}


def spans(**of_tasks):
    """The toy tasks, each between two numbers of steps."""
    tasks = [
        replace(task, from_step=start, until_step=end)
        for task in make_tasks()
        for start, end in [of_tasks.get(task.name, (0, None))]
    ]
    return TaskSet(*tasks)


def weights(trainer):
    """Each step's task weights."""
    return [
        {name: value for name, value in entry.items() if name.endswith("/weight")}
        for entry in history(trainer)
        if any(name.endswith("/weight") for name in entry)
    ]


def test_tasks_join_and_leave_at_their_steps_and_say_so(lab, caplog):
    tasks = spans(medium=(1, 3), easy=(0, 2))
    trainer = lab.trainer(tasks, arguments=METHOD, max_steps=4)
    with caplog.at_level(logging.WARNING, logger="mtgrpo.notices"):
        trainer.train()

    names = [{name.split("/")[1] for name in step} for step in weights(trainer)]
    others = set(tasks.names) - {"medium", "easy"}
    assert names == [others | {"easy"}, others | {"easy", "medium"}, others | {"medium"}, others]
    for entry in history(trainer)[-2:]:
        assert not any("task/easy/" in name for name in entry), "figures of a task that left"

    said = [record.getMessage() for record in caplog.records]
    assert "step 2: task 'medium' joined (40 training rows)" in said
    assert "step 3: task 'easy' left (40 training rows)" in said


def test_resumed_over_a_change_it_takes_the_same_decisions(lab):
    tasks = spans(medium=(2, None), easy=(0, 3))
    whole = lab.trainer(tasks, arguments=METHOD, max_steps=4, **SAVED)
    whole.train()

    resumed = lab.trainer(tasks, arguments=METHOD, max_steps=4)
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-2")
    assert weights(resumed)[-2:] == weights(whole)[-2:]
    assert resumed.mixer.state_dict() == whole.mixer.state_dict()
    assert same_parameters(resumed, whole)


def test_resumed_with_other_tasks_it_says_what_changed(lab, caplog):
    first = lab.trainer(make_tasks(), arguments=METHOD, max_steps=2, **SAVED)
    first.train()
    known = first.mixer.weights()

    old = list(make_tasks(num_train=50))
    gone, grown = old[0].name, old[1].name
    tasks = TaskSet(*old[1:], replace(old[0], name="new"))
    second = lab.trainer(tasks, arguments=METHOD, max_steps=4)
    with caplog.at_level(logging.WARNING, logger="mtgrpo.notices"):
        second.train(resume_from_checkpoint=f"{first.args.output_dir}/checkpoint-2")

    said = [record.getMessage() for record in caplog.records]
    assert f"step 3: task {gone!r} left (40 training rows)" in said
    assert "step 3: task 'new' joined (50 training rows)" in said
    assert any(text.startswith(f"step 3: task {grown!r} has grown from 40 to 50") for text in said)

    assert set(known) == set(make_tasks().names)
    assert second.mixer.step == 4
    assert set(second.mixer.weights()) == set(tasks.names)


def test_a_half_used_batch_of_other_tasks_is_refused(lab):
    first = lab.trainer(
        make_tasks(),
        arguments=METHOD,
        num_iterations=2,
        max_steps=1,
        save_steps=1,
        save_strategy="steps",
    )
    first.train()
    second = lab.trainer(TaskSet(*list(make_tasks())[1:]), arguments=METHOD, num_iterations=2)
    with pytest.raises(StateError, match="is half used, now there are"):
        second.train(resume_from_checkpoint=f"{first.args.output_dir}/checkpoint-1")


def test_a_step_without_a_task_is_refused_before_a_model_is_loaded(lab):
    tasks = spans(**{task.name: (0, 2) for task in make_tasks()})
    with pytest.raises(TaskError, match="none is trained on in step 3"):
        lab.trainer(tasks, arguments=METHOD, max_steps=3)
    with pytest.raises((TaskError, ConfigError), match="in step 1"):
        lab.trainer(spans(**{task.name: (1, 2) for task in make_tasks()}), arguments=METHOD)
