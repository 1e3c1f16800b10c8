"""Accuracy per task: right, the same for the same parameters, and without a trace in training."""

import contextlib
import math

import numpy as np
import pytest
import torch

from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl.evaluation import TaskEvaluator
from mtgrpo.integrations.trl.rollouts import InputRows
from mtgrpo.runlog import RunLog, read_run
from mtgrpo.tasks import Scoring, Task, TaskSet

from .conftest import history, same_parameters
from .engine import Processes
from .toy import make_tasks


def task_figures(metrics: dict) -> dict:
    return {k: v for k, v in metrics.items() if k.startswith("eval_task")}


def test_evaluating_never_changes_training(lab):
    quiet = lab.trainer(max_steps=4)
    quiet.train()
    changes = {
        "eval_strategy": "steps",
        "eval_steps": 1,
        "eval_on_start": True,
        "per_device_eval_batch_size": 4,
    }
    watched = lab.trainer(max_steps=4, **changes)
    watched.evaluate()
    watched.train()
    assert same_parameters(quiet, watched)
    skip = ("eval_",)
    assert history(quiet) == [e for e in history(watched, skip=skip) if "loss" in e]
    assert quiet.mixer.state_dict() == watched.mixer.state_dict()
    assert sum("eval_tasks/worst_accuracy" in e for e in watched.state.log_history) == 5


def test_the_same_draws_every_time_and_for_every_run(lab):
    first, second = lab.trainer(), lab.trainer(seed=7)
    metrics = first.evaluate()
    assert (
        task_figures(metrics) == task_figures(first.evaluate()) == task_figures(second.evaluate())
    )
    other = lab.trainer(arguments={"eval_seed": 5}).evaluate()
    assert task_figures(metrics) != task_figures(other)
    assert "eval_loss" not in metrics


@pytest.mark.parametrize("batch", [4, 20, 64])
def test_figures_are_those_of_the_texts(lab, batch):
    seen = []
    trainer = lab.trainer(per_device_eval_batch_size=batch, num_generations_eval=2)
    compute = trainer.scores.compute

    def spy(inputs, completions, environments, *, timed, **groups):
        assert not timed  # time metrics are those of training
        compute(inputs, completions, environments, timed=timed, **groups)
        seen.extend(
            (r["mtgrpo_task"], r["mtgrpo_row"], c) for r, c in zip(inputs, completions, strict=True)
        )

    trainer.scores.compute = spy
    metrics = trainer.evaluate()
    tasks = make_tasks()
    assert len(seen) == 3 * 6 * 2
    accuracies = {}
    for task in tasks:
        means = []
        for i in range(6):
            texts = [text for name, row, text in seen if (name, row) == (task.name, i)]
            means.append(sum(s.accuracy for s in task.score([task.test[i]] * 2, texts)) / 2)
        accuracies[task.name] = sum(means) / 6
        assert metrics[f"eval_task/{task.name}/accuracy"] == pytest.approx(accuracies[task.name])
        assert metrics[f"eval_task/{task.name}/std_error"] == pytest.approx(
            np.std(means, ddof=1) / math.sqrt(6)
        )
        assert trainer.evaluation.results[task.name].num_prompts == 6
    assert metrics["eval_tasks/worst_accuracy"] == pytest.approx(min(accuracies.values()))
    assert metrics["eval_tasks/mean_accuracy"] == pytest.approx(sum(accuracies.values()) / 3)


def test_batches_must_hold_whole_groups(lab):
    trainer = lab.trainer(per_device_eval_batch_size=6)
    with pytest.raises(ConfigError, match="cannot hold whole groups of 4 samples"):
        trainer.evaluate()
    with pytest.raises(ConfigError, match="test rows come from the tasks"):
        trainer.evaluate(eval_dataset=[{"prompt": "x"}])


def test_run_log(lab, tmp_path):
    tasks = make_tasks()
    with RunLog.create(tmp_path / "run", tasks.names) as log:
        trainer = lab.trainer(
            tasks,
            arguments={"run_log": log},
            eval_strategy="steps",
            eval_steps=2,
            max_steps=4,
            logging_steps=2,
        )
        trainer.evaluate()
        trainer.train()
        trainer.save_model()
    run = read_run(tmp_path / "run")
    assert [m.step for m in run.metrics] == [2, 4]
    assert run.metrics[-1].rollouts == trainer.num_rollouts
    assert (
        run.metrics[-1].values["task/hard/weight"]
        == trainer.state.log_history[-2 - 1]["task/hard/weight"]
    )
    assert [e.step for e in run.evaluations] == [0, 2, 4]
    assert run.evaluations[-1].num_samples == 4
    assert run.evaluations[-1].accuracies == {
        n: r.accuracy for n, r in trainer.evaluation.results.items()
    }
    samples = [c for c in run.completions if c.step == 4]
    assert {(c.task, c.kept) for c in samples} >= {("hard", True), ("hard", False), ("easy", True)}
    assert len(samples) == len({(c.task, c.kept) for c in samples})
    for sample in samples:
        row = next(r for r in tasks[sample.task].train if r["prompt"] == sample.prompt)
        assert tasks[sample.task].score([row], [sample.completion])[0] == pytest.approx(
            (sample.reward, sample.accuracy)
        )


def task(name, **scoring):
    return Task(name, [], [{"prompt": "?"}], lambda **columns: [], 1.0, scoring=Scoring(**scoring))


TWO = TaskSet(task("a"), task("b"))


def test_scores_are_collected_only_while_an_evaluation_runs():
    part = TaskEvaluator(InputRows(TWO), num_samples=2, seed=3)
    inputs = [{"mtgrpo_task": name, "mtgrpo_row": 0} for name in ("a", "a", "b", "b")]
    rewards = torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.5, 0.0], [0.5, 1.0]])
    part.add(inputs, rewards, Processes())
    assert part.results == {}

    with part.running(Processes()):
        assert part.is_running
        part.add(inputs, rewards, Processes())
    assert not part.is_running
    assert {name: result.accuracy for name, result in part.results.items()} == {"a": 0.5, "b": 0.5}
    assert part.metrics()["tasks/worst_accuracy"] == 0.5
    assert len(part.rows) == 2


def test_an_evaluation_that_fails_leaves_the_results_of_the_last():
    part = TaskEvaluator(InputRows(TWO), num_samples=1, seed=3)
    part.results = {"a": "those of the last"}
    with pytest.raises(KeyError), part.running(Processes()):
        raise KeyError
    assert not part.is_running
    assert part.results == {"a": "those of the last"}


def test_each_process_has_draws_of_its_own():
    def draw(process):
        part = TaskEvaluator(InputRows(TWO), num_samples=1, seed=3)
        with contextlib.suppress(KeyError), part.running(Processes(2, process)):
            draws.append(float(torch.rand(())))
            raise KeyError

    draws = []
    for process in (0, 1, 0):
        draw(process)
    assert draws[0] == draws[2] != draws[1]


def test_tasks_without_test_rows_have_no_rows_for_trl():
    trained = Task("a", [{"prompt": "?"}], [], lambda **columns: [])
    assert TaskEvaluator(InputRows(TaskSet(trained)), 1, 3).rows is None
