"""Datasets as tasks: a column of names, a dataset for each task, streams, and graded rewards on them."""

import math

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from mtgrpo import Method, RatioPreservingSampler, Uniform
from mtgrpo.errors import ConfigError, StateError
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.integrations.trl.datasets import data_of_datasets
from mtgrpo.integrations.trl.schedule import make_schedule
from mtgrpo.integrations.trl.streamed_rows import BUFFER, StreamedPrompts, streams_of

from .conftest import history


def shared(completions, **columns):
    """In [0, .9]."""
    return [0.9 * sum(x in "aeiou" for x in c) / max(len(c), 1) for c in completions]


def by_source(completions, task, **columns):
    """In [0, .9] for one task, in [-2, -1] for the other, which is the worse one on its scale."""
    rewards = []
    for completion, name in zip(completions, task, strict=True):
        share = sum(c in "aeioulnrst" for c in completion) / max(len(completion), 1)
        rewards.append(0.9 * share if name == "good" else -2 + share / 2)
    return rewards


def rows(name, count=16, **columns):
    return [{"prompt": f"{name}{i}", "task": name, **columns} for i in range(count)]


def build(lab, train, reward=shared, arguments=None, **changes):
    return MultiTaskGRPOTrainer(
        lab.model(),
        reward,
        lab.config(**{"per_device_eval_batch_size": 8, **changes}),
        train,
        processing_class=lab.tokenizer(),
        **(arguments or {}),
    )


def test_graded_rewards_of_two_scales_train_in_every_step(lab):
    train = Dataset.from_list(rows("good") + rows("bad"))
    ranges = {"reward_range": {"good": (0.0, 0.9), "bad": (-2.0, -1.0)}}
    trainer = build(lab, train, by_source, ranges, max_steps=6, learning_rate=1e-4)
    trainer.train()
    log = history(trainer)
    assert all(entry["grad_norm"] > 0 for entry in log)
    assert trainer.num_rollouts <= 3 * 6 * 32
    assert all(entry["task/bad/score"] < entry["task/good/score"] for entry in log)
    assert log[-1]["task/bad/weight"] > log[0]["task/bad/weight"]
    assert trainer.reward_func_names == ["by_source"]


def test_a_dataset_for_each_task_and_evaluation_by_task(lab):
    parts = {name: Dataset.from_list(rows(name)).remove_columns("task") for name in ("x", "y")}
    trainer = build(lab, parts, {"x": shared, "y": [shared]}, max_steps=2)
    assert trainer.mixer.tasks == ("x", "y")
    trainer.train()
    tests = {name: part.select(range(3)) for name, part in parts.items()}
    metrics = trainer.evaluate(tests)
    assert {"eval_x_loss", "eval_y_loss"} <= set(metrics)
    assert {name: r.num_prompts for name, r in trainer.evaluation.results.items()} == {
        "x": 3,
        "y": 3,
    }
    both = Dataset.from_list(rows("x", 3) + rows("y", 2))
    assert trainer.evaluate(both)["eval_task/y/reward"] >= 0
    assert {name: r.num_prompts for name, r in trainer.evaluation.results.items()} == {
        "x": 3,
        "y": 2,
    }
    predicted = trainer.predict(both).metrics
    assert predicted["test_task/y/reward"] >= 0
    assert predicted["test_rewards/shared/mean"] >= 0
    again = trainer.evaluate(tests["x"])
    assert "eval_task/y/reward" not in again, "nothing of a prediction is left behind"


def test_labels_name_the_tasks_that_are_trained_on_and_evaluated(lab):
    labels = Features(
        {name: Value("string") for name in Dataset.from_list(rows("x")).column_names}
        | {"task": ClassLabel(names=["x", "y"])}
    )
    train = Dataset.from_list(rows("x") + rows("y")).cast(labels)
    trainer = build(lab, train, shared, max_steps=1)
    assert trainer.mixer.tasks == ("x", "y")
    assert trainer.evaluate(train.select([0, 1, 19]))["eval_task/y/reward"] >= 0


def test_resuming_a_run_on_a_dataset_is_exact(lab):
    train = Dataset.from_list(rows("x") + rows("y"))
    changes = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4}
    whole, resumed = (build(lab, train, **changes) for _ in range(2))
    whole.train()
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-2")
    assert history(resumed, 2) == history(whole, 2)


def test_rows_come_in_their_order_when_they_are_not_shuffled(lab):
    plain = Method(Uniform(), RatioPreservingSampler(group_filter="none"))
    trainer = build(
        lab,
        Dataset.from_list(rows("x") + rows("y")),
        arguments={"method": plain},
        shuffle_dataset=False,
    )
    assert trainer.streams["y"].draw_rows(20) == [*range(16), 0, 1, 2, 3]


def test_streams_are_tasks_too(lab):
    stream = Dataset.from_list(rows("x") + rows("y")).to_iterable_dataset()
    trainer = build(lab, stream, max_steps=2)
    assert trainer.mixer.tasks == ("x", "y")
    trainer.train()
    assert all(entry["grad_norm"] > 0 for entry in history(trainer))
    with pytest.raises(ConfigError, match="max_steps=-1, and datasets without a length"):
        build(lab, stream, max_steps=-1)


def test_a_stream_keeps_a_bounded_buffer_and_begins_again():
    data = [{"prompt": i, "task": "ab"[i % 2]} for i in range(3000)]
    parts = streams_of(data, "task")
    assert list(parts) == ["a", "b"]
    prompts = StreamedPrompts(parts["b"])
    assert [parts["b"][d.row]["prompt"] for d in prompts.draw(2000)][-1] == 999
    with pytest.raises(StateError, match=f"has left the buffer of {BUFFER} rows"):
        parts["b"][0]
    late = [{"prompt": i, "task": "a" if i < 2000 else "late"} for i in range(2100)]
    parts = streams_of(late, "task")
    with pytest.raises(ConfigError, match="task 'late' comes up after the first 1024 rows"):
        parts["a"][2500]


def test_a_task_that_no_reward_applies_to_is_left_out_of_every_statistic(lab):
    def some(completions, task, **columns):
        return [
            None if name == "x" else float(len(c))
            for c, name in zip(completions, task, strict=True)
        ]

    trainer = build(lab, Dataset.from_list(rows("x") + rows("y")), some, max_steps=1)
    trainer.train()
    (entry,) = history(trainer)
    assert entry["task/y/reward"] > 0
    assert math.isnan(entry.get("task/x/reward") or math.nan)


def test_a_method_where_an_environment_owns_the_data_is_refused(lab):
    args = lab.config(max_steps=1)
    with pytest.raises(ConfigError, match="a method without train_dataset; environments that own"):
        data_of_datasets(
            None,
            args,
            make_schedule(args),
            column="task",
            reward_ranges=None,
            leave_to_loader=False,
            needs_prompts=False,
        )


def test_fewer_rows_than_a_batch_are_trained_on_all_the_same(lab):
    trainer = build(lab, Dataset.from_list([*rows("a", 1), *rows("b", 2)]), max_steps=2)
    trainer.train()
    steps = history(trainer)
    assert [entry["sampler/groups_generated"] >= 8 for entry in steps] == [True, True]


def test_fewer_rows_than_a_batch_without_a_method_are_said(lab, caplog):
    """TRL's loader yields nothing then, and its run ends at step 0."""
    trainer = MultiTaskGRPOTrainer(
        lab.model(),
        shared,
        lab.config(),
        Dataset.from_list([{"prompt": "q"}]),
        processing_class=lab.tokenizer(),
    )
    assert "train_dataset has 1 row, and a generation batch 8 prompts" in caplog.text
    trainer.train()
    assert trainer.state.global_step == 0
