"""Rewards that never reach 1 and do not say what is right: every step trains, the worst task gains weight."""

from __future__ import annotations

import pytest

from mtgrpo import Balanced, RatioPreservingSampler
from mtgrpo.tasks import Task, TaskSet, each

from .conftest import same_parameters
from .toy import make_tasks, rows


def graded_tasks(ranges: bool) -> TaskSet:
    """A penalty in [-2, -1] that the model earns little of, and a score in [0, .9] of which most."""

    def penalty(text: str, row) -> float:
        return -2.0 + 0.1 * sum(character in "aeiou" for character in text[:8])

    def bonus(text: str, row) -> float:
        return 0.9 - 0.05 * sum(character in "xyz" for character in text[:8])

    limits = {"penalty": (-2.0, -1.0), "bonus": (0.0, 0.9)} if ranges else {}
    return TaskSet(
        *(
            Task(
                name,
                rows(name, 20),
                rows(name + "T", 4, seed=1),
                each(reward),
                reward_range=limits.get(name),
            )
            for name, reward in (("penalty", penalty), ("bonus", bonus))
        )
    )


@pytest.mark.parametrize("ranges", [True, False])
def test_every_step_has_a_gradient_and_costs_little(lab, ranges):
    trainer = lab.trainer(tasks=graded_tasks(ranges), max_steps=4)
    trainer.train()

    steps = [line for line in trainer.state.log_history if "loss" in line]
    assert len(steps) == 4
    assert all(line["grad_norm"] > 0 for line in steps)
    num_trained = 4 * trainer.schedule.batch_size * trainer.schedule.group_size
    assert trainer.num_rollouts <= 3 * num_trained

    last = steps[-1]
    assert -2 <= last["task/penalty/reward"] <= -1
    assert "tasks/worst_score" in last
    assert not any(key.endswith("accuracy") for key in last if "/dropped/" not in key)


def test_the_truly_worst_task_gains_weight(lab):
    method = {"weighting": Balanced(), "sampler": RatioPreservingSampler()}
    trainer = lab.trainer(tasks=graded_tasks(True), max_steps=6, arguments=method)
    trainer.train()

    first = next(line for line in trainer.state.log_history if "loss" in line)
    assert first["task/penalty/score"] < 0.2 < 0.8 < first["task/bonus/score"]
    assert trainer.mixer.weights()["penalty"] > 0.6


def test_an_evaluation_says_score_and_reward(lab):
    tasks = TaskSet(*graded_tasks(True), make_tasks()["easy"])
    trainer = lab.trainer(tasks=tasks, arguments={"eval_seed": 1}, num_generations_eval=2)
    metrics = trainer.evaluate()

    assert metrics["eval_task/bonus/score"] == pytest.approx(
        metrics["eval_task/bonus/reward"] / 0.9
    )
    assert "eval_task/bonus/accuracy" not in metrics
    assert 0 <= metrics["eval_task/easy/accuracy"] <= 1
    assert "eval_tasks/worst_accuracy" not in metrics
    assert metrics["eval_tasks/worst_score"] == pytest.approx(metrics["eval_task/penalty/score"])
    measures = {name: result.measure for name, result in trainer.evaluation.results.items()}
    assert measures == {"penalty": "score", "bonus": "score", "easy": "accuracy"}


def test_resumed_is_uninterrupted(lab):
    settings = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2}
    whole = lab.trainer(tasks=graded_tasks(False), **settings)
    whole.evaluate()
    whole.train()

    resumed = lab.trainer(tasks=graded_tasks(False), **settings)
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-2")

    assert same_parameters(whole, resumed)
    assert resumed.mixer.state_dict() == whole.mixer.state_dict()
    assert (
        resumed.evaluate()["eval_tasks/worst_score"] == whole.evaluate()["eval_tasks/worst_score"]
    )
