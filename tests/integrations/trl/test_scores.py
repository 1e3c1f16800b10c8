"""Rewards that fail stop the run with the task and the prompt, and what cannot work is refused at the start."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mtgrpo import ImprovementAware, Method, RatioPreservingSampler, presets
from mtgrpo.errors import ConfigError, RewardError, ShortfallError, TaskError
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.integrations.trl import setup as trl_setup
from mtgrpo.tasks import Scoring, Task, TaskSet

from .conftest import history
from .toy import hopeless_tasks, make_tasks, rows


def raises(prompts, completions, **columns):
    raise KeyError("answer")


FAULTS = {
    "raises": (raises, "raised KeyError"),
    "nan": (lambda prompts, completions, **c: [float("nan")] * len(completions), "returned nan"),
    "none": (lambda prompts, completions, **c: [None] * len(completions), "returned None"),
    "too-few": (lambda prompts, completions, **c: [1.0], r"1 value for \d+ completions"),
    "beyond-float32": (
        lambda prompts, completions, **c: [1e39] * len(completions),
        r"returned 1e\+39",
    ),
    "beyond-its-squares": (
        lambda prompts, completions, **c: [3e38, 0.0] * (len(completions) // 2),
        r"returned 3e\+38",
    ),
    "a-number": (lambda prompts, completions, **c: 1.0, "returned no sequence"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_reward_names_task_and_prompt_and_leaves_the_checkpoint(lab, fault):
    function, message = FAULTS[fault]
    good, calls = make_tasks()["medium"], []

    def reward(prompts, completions, **columns):
        calls.append(len(completions))
        if len(calls) > 2:  # in the second step
            return function(prompts, completions, **columns)
        return good.reward(prompts=prompts, completions=completions, **columns)

    tasks = TaskSet(
        make_tasks()["easy"], Task("faulty", rows("faulty", 10), [], reward, correct_at=1.0)
    )
    sampler = RatioPreservingSampler(max_resamples=0)
    trainer = lab.trainer(
        tasks,
        arguments={"sampler": sampler},
        save_strategy="steps",
        save_steps=1,
        save_total_limit=1,
    )
    with pytest.raises(RewardError, match=rf"task 'faulty', prompts? \d+.*{message}"):
        trainer.train()
    assert [p.name for p in Path(trainer.args.output_dir).glob("checkpoint-*")] != []
    assert "mixer.json" in os.listdir(next(Path(trainer.args.output_dir).glob("checkpoint-*")))


@pytest.mark.parametrize("largest", [1e39, 3e38, 1e19])
def test_a_reward_that_training_cannot_compute_with_is_droppable(lab, largest):
    """A finite number all the same: as float32 it is infinite, or its square is."""

    def reward(prompts, completions, **columns):
        return [largest if len(c) % 2 else float(c[:1] < "n") for c in completions]

    scoring = Scoring(on_error="drop", max_dropped_rate=0.99)
    tasks = TaskSet(
        Task("huge", rows("huge", 20), [], reward, scoring=scoring), make_tasks()["medium"]
    )
    trainer = lab.trainer(tasks, scale_rewards="none", max_steps=2)
    trainer.train()
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())
    dropped = sum(e.get("task/huge/dropped/unscorable", 0) for e in history(trainer))
    assert dropped > 0


def test_shortfall_policy_fail(lab):
    sampler = RatioPreservingSampler(max_resamples=1, shortfall="fail")
    with pytest.raises(ShortfallError, match="8 of 8 groups missing after 2 rounds"):
        lab.trainer(hopeless_tasks(), arguments={"sampler": sampler}).train()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reward_funcs": [len]}, "reward_funcs was given"),
        ({"train_dataset": []}, "train_dataset was given"),
        ({"eval_dataset": []}, "eval_dataset was given"),
        ({"tasks": ["easy"]}, "tasks is a list; a TaskSet is needed"),
        ({"method": "balancd"}, "unknown name 'balancd' .did you mean 'balanced'"),
        ({"method": ImprovementAware()}, "method is ImprovementAware.*; a Method is needed"),
    ],
)
def test_wrong_arguments_are_refused_before_a_model_is_loaded(lab, arguments, message):
    with pytest.raises(ConfigError, match=message):
        MultiTaskGRPOTrainer(
            "no/such-model", **{"tasks": make_tasks(), "args": lab.config(), **arguments}
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward_weights": [1.0]}, r"args\.reward_weights was given"),
        ({"num_generations": 1}, "num_generations=1; .*at least 2"),
        ({"generation_batch_size": 30}, "30 completions do not divide into whole groups of 4"),
    ],
)
def test_wrong_config_is_refused_before_a_model_is_loaded(lab, changes, message):
    args = lab.config()
    for name, value in changes.items():
        setattr(args, name, value)
    with pytest.raises(ConfigError, match=message):
        MultiTaskGRPOTrainer("no/such-model", tasks=make_tasks(), args=args)


def test_improvements_need_whole_updates(lab):
    args = lab.config(steps_per_generation=1, gradient_accumulation_steps=2)
    with pytest.raises(ConfigError, match="no multiple of gradient_accumulation_steps=2"):
        MultiTaskGRPOTrainer(
            "no/such-model",
            tasks=make_tasks(),
            args=args,
            method=Method(ImprovementAware(improvement="surrogate")),
        )


def test_evaluation_without_test_rows(lab):
    with pytest.raises(ConfigError, match="eval_strategy='steps', but no task has test rows"):
        lab.trainer(
            hopeless_tasks(), eval_strategy="steps", eval_steps=1, per_device_eval_batch_size=4
        )
    trainer = lab.trainer(hopeless_tasks())
    with pytest.raises(ConfigError, match="no task has test rows"):
        trainer.evaluate()


def test_tasks_without_training_rows_are_only_evaluated(lab):
    tasks = make_tasks()
    unseen = Task("unseen", [], rows("unseen", 3), tasks["medium"].reward, correct_at=1.0)
    trainer = lab.trainer(TaskSet(tasks["easy"], unseen), max_steps=1)
    trainer.train()
    assert trainer.mixer.tasks == ("easy",)
    assert set(trainer.evaluate()) >= {"eval_task/unseen/accuracy", "eval_task/easy/accuracy"}
    only = lab.trainer(TaskSet(unseen), max_steps=1)
    assert "eval_task/unseen/accuracy" in only.evaluate()
    with pytest.raises(ConfigError, match="no task has rows to train on"):
        only.train()


def test_default_arguments_are_trls(monkeypatch):
    monkeypatch.setattr(trl_setup, "GRPOConfig", lambda output_dir: output_dir)
    assert trl_setup.default_args("some/Model-3B") == "Model-3B-GRPO"


@pytest.mark.parametrize(
    ("own", "clip", "used"),
    [
        ({}, (0.2, 0.28), (0.2, 0.28)),
        ({}, None, (0.2, None)),
        ({"epsilon_high": 0.4}, (0.2, 0.28), (0.2, 0.4)),
        ({"epsilon": 0.1}, (0.2, 0.28), (0.1, None)),
    ],
)
def test_the_methods_clip_is_used_where_the_arguments_state_none(lab, own, clip, used):
    args = lab.config(**own)
    before = (args.epsilon, args.epsilon_high)
    now = trl_setup.with_clip(args, Method(clip=clip))
    assert (now.epsilon, now.epsilon_high) == used
    assert (args.epsilon, args.epsilon_high) == before, "the user's own object stays as it is"


def test_a_method_by_name_and_the_default():
    assert trl_setup.find_method("balanced").as_dict() == presets.get("balanced").as_dict()
    fair = replace(presets.get("grpo_fair"), clip=None)  # the clip is left to TRL's arguments
    assert trl_setup.find_method(None).as_dict() == fair.as_dict()


def test_a_test_prompt_of_one_task_among_anothers_training_rows_is_refused(lab):
    easy, medium, _ = make_tasks()
    leaking = Task("leaking", [*medium.train, easy.test[3]], medium.test, medium.reward)
    with pytest.raises(TaskError) as caught:
        MultiTaskGRPOTrainer("no/such-model", tasks=TaskSet(easy, leaking), args=lab.config())
    for part in ("'leaking', train row 40", "test row 3 of task 'easy'", "take it out of one of"):
        assert part in str(caught.value)
