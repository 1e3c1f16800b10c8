"""From a configuration to TRL's arguments and the trainer; what is no model is one clear line."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from mtgrpo import tiny
from mtgrpo.config import parse_config
from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl.grpo_arguments import grpo_arguments
from mtgrpo.integrations.trl.job import has_evaluation, machine_arguments, make_trainer
from mtgrpo.plan import make_plan
from mtgrpo.runlog import RunLog
from mtgrpo.tasks import build_tasks

CONFIG = {
    "tasks": [{"tiny": "zebra", "level": "easy"}],
    "preset": "balanced",
    "steps": 6,
    "batch_size": 8,
    "group_size": 4,
    "updates_per_step": 2,
    "micro_batch_size": 8,
    "max_completion_length": 4,
    "evaluation": {"every": 3, "samples_per_prompt": 2},
    "checkpoint": {"every": 2, "keep": 5},
}


def resolved(tmp_path, **changes):
    return parse_config({**CONFIG, "output": str(tmp_path / "run"), **changes}, "test")


def trainer_of(run, model, **more):
    arguments = grpo_arguments(run, make_plan(run))
    return make_trainer(run, str(model), build_tasks(run.tasks, "tasks"), arguments, **more)


def test_trl_counts_completions_and_policy_updates(tmp_path):
    run = resolved(tmp_path, trl={"temperature": 0.7})
    arguments = grpo_arguments(run, make_plan(run))
    expected = {
        "output_dir": str(tmp_path / "run" / "checkpoints"),
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 2,
        "steps_per_generation": 4,
        "num_generations": 4,
        "num_generations_eval": 2,
        "per_device_eval_batch_size": 64,
        "max_steps": 12,
        "save_steps": 4,
        "save_total_limit": 5,
        "eval_strategy": "steps",
        "eval_steps": 6,
        "logging_steps": 2,
        "epsilon": 0.2,
        "epsilon_high": 0.28,
        "temperature": 0.7,
    }
    assert {key: arguments[key] for key in expected} == expected


def test_the_trainer_is_that_of_the_run(tmp_path):
    run = resolved(tmp_path, loss_shares=False, trl={"epsilon_high": 0.5})
    trainer = trainer_of(run, tiny.model_path())
    assert trainer.method.as_dict() == {**run.method.as_dict(), "clip": [0.2, 0.5]}
    assert trainer.mixer.batch_size == 8
    assert (trainer.args.epsilon, trainer.args.epsilon_high) == (0.2, 0.5)
    assert torch.get_num_threads() == 1


def test_an_evaluation_is_looked_up_in_the_log(tmp_path):
    run = resolved(tmp_path)
    with RunLog.create(tmp_path / "run", ["zebra-easy"]) as log:
        trainer = trainer_of(run, tiny.model_path(), run_log=log)
        assert not has_evaluation(trainer, log, 0)
        assert not has_evaluation(trainer, None, 0)
        trainer.evaluate()
        assert has_evaluation(trainer, log, 0)


def no_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def torn_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def other_shapes(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 24}))


def nothing(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


UNLOADABLE = {
    "an empty directory": nothing,
    "no tokenizer": no_tokenizer,
    "torn weights": torn_weights,
    "weights of other shapes": other_shapes,
    "torn configuration": lambda folder: (folder / "config.json").write_text("{"),
    "an unknown kind": lambda folder: (folder / "config.json").write_text('{"model_type": "abc"}'),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
}


@pytest.mark.parametrize("name", UNLOADABLE)
def test_what_is_no_model_is_one_line(name, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny.model_path(), folder)
    UNLOADABLE[name](folder)
    with pytest.raises(ConfigError) as caught:
        trainer_of(resolved(tmp_path), folder)
    message = str(caught.value)
    assert message.startswith(f"model: '{folder}' cannot be loaded (")
    assert "give a directory with the model" in message
    assert "\n" not in message
    assert len(message) < 600


def test_an_error_that_is_not_of_loading_stays_what_it_is(tmp_path, monkeypatch):
    from mtgrpo.integrations.trl import job

    def broken(*args, **kwargs):
        raise ValueError("a bug")

    monkeypatch.setattr(job, "MultiTaskGRPOTrainer", broken)
    with pytest.raises(ValueError, match="a bug") as caught:
        trainer_of(resolved(tmp_path), tiny.model_path())
    assert not isinstance(caught.value, ConfigError)


def test_arguments_that_trl_refuses_are_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"^trl: "):
        trainer_of(resolved(tmp_path, trl={"generation_batch_size": 5}), tiny.model_path())


def test_what_depends_on_the_machine_is_the_users_where_it_is_stated(tmp_path):
    assert machine_arguments()["use_cpu"] is not torch.cuda.is_available()
    stated = {key: machine_arguments()[key] for key in machine_arguments()}
    trainer = trainer_of(
        resolved(tmp_path, trl={"gradient_checkpointing": True}), tiny.model_path()
    )
    assert trainer.args.gradient_checkpointing is True
    assert trainer.args.use_cpu is stated["use_cpu"]
