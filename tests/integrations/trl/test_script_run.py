"""A run of a user's own script: its directory says what was run, how far it is, and how to go on."""

import pytest
from transformers import TrainerCallback

from mtgrpo import Uniform
from mtgrpo.config import load_config
from mtgrpo.errors import ConfigError
from mtgrpo.runlog import RunLog, read_run
from mtgrpo.runlog.going_on import resume_line
from mtgrpo.runlog.progress import progress_of

TASKS = ["easy", "medium", "hard"]


class Interrupt(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 3:
            raise KeyboardInterrupt


def steps(run):
    return [line.step for line in run.metrics]


def test_a_script_that_is_interrupted_and_goes_on(lab, tmp_path, monkeypatch):
    script = tmp_path / "train.py"
    script.write_text("")
    monkeypatch.setattr("sys.argv", [str(script)])
    out = tmp_path / "run"
    saving = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "eval_on_start": True}

    log = RunLog.create(out, TASKS)
    trainer = lab.trainer(arguments={"run_log": log, "callbacks": [Interrupt()]}, **saving)
    with pytest.raises(KeyboardInterrupt), log:
        trainer.train()

    run = read_run(out)
    assert run.status == "interrupted"
    assert steps(run) == [1, 2]
    assert [evaluation.step for evaluation in run.evaluations] == [0]  # the baseline asked for
    assert run.environment["seed"] == trainer.args.seed
    assert run.config["trl"]["save_steps"] == 2
    assert run.config["weighting"]["rule"] == "improvement_aware"
    assert run.config["batch_size"] == trainer.mixer.batch_size
    assert progress_of(run).total == 4
    assert list(run.checkpoints()) == [2]
    assert resume_line(run) == f"python {script}  # with trainer.train(resume_from_checkpoint=True)"
    with pytest.raises(ConfigError, match=r"a run that the script .*train\.py made"):
        load_config(str(out))

    with RunLog.resume(out) as log:
        again = lab.trainer(arguments={"run_log": log}, **{**saving, "eval_on_start": False})
        again.train(resume_from_checkpoint=f"{trainer.args.output_dir}/checkpoint-2")
        assert read_run(out).status == "finished"
        assert read_run(out).summary["accuracy_after"] == {}
        again.evaluate()

    run = read_run(out)
    assert steps(run) == [1, 2, 3, 4]
    assert set(run.summary["accuracy_after"]) == set(TASKS)
    assert resume_line(run) == ""


def test_a_run_that_a_command_described_is_left_to_it(lab, tmp_path):
    with RunLog.create(tmp_path / "run", TASKS) as log:
        log.write_config({"steps": 1})
        lab.trainer(arguments={"run_log": log}, max_steps=1).train()
        run = read_run(log.path)
        assert run.config == {"steps": 1}
        assert run.status == "running"


def test_a_rule_that_cannot_be_written_down_is_named(lab, tmp_path):
    class Own(Uniform):
        def __init__(self, rule):
            super().__init__()

    with RunLog.create(tmp_path / "run", TASKS) as log:
        arguments = {"run_log": log, "weighting": Own(print)}
        lab.trainer(arguments=arguments, max_steps=1).train()
        assert read_run(log.path).config["weighting"] == {"rule": "Own"}


def test_an_error_ends_a_run_as_failed(lab, tmp_path, monkeypatch):
    class Fault(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            raise ValueError("out of\nmemory")

    monkeypatch.setattr("sys.argv", [""])
    with pytest.raises(ValueError, match="out of"), RunLog.create(tmp_path / "run", TASKS) as log:
        lab.trainer(arguments={"run_log": log, "callbacks": [Fault()]}, max_steps=1).train()

    run = read_run(tmp_path / "run")
    assert (run.status, run.summary["error"]) == ("failed", "out of memory")
    assert run.config["script"] == "(interactive)"
