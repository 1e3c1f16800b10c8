"""Resumed equals uninterrupted: parameters, metrics and the mixer's state, bit for bit."""

import errno
import json
from pathlib import Path

import pytest
import torch

from mtgrpo import ImprovementAware
from mtgrpo.errors import StateError
from mtgrpo.integrations.trl import check_resume
from mtgrpo.runlog import checkpoints
from mtgrpo.runlog.checkpoints import defect, seal
from mtgrpo.tasks import TaskSet

from .conftest import history, same_parameters
from .toy import make_tasks

REUSE = {
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "steps_per_generation": 4,
}


@pytest.mark.parametrize(
    ("improvement", "save_steps", "changes"),
    [
        ("rewards", 2, {"per_device_train_batch_size": 16, "gradient_accumulation_steps": 2}),
        ("surrogate", 4, {**REUSE, "max_steps": 8}),
        (
            "surrogate",
            3,
            {**REUSE, "max_steps": 6, "num_iterations": 2},
        ),  # in the middle of a generation batch
        ("rewards", 1, {"per_device_train_batch_size": 16, "num_iterations": 2, "beta": 0.05}),
    ],
    ids=["end-of-step", "end-of-reused-batch", "inside-batch", "inside-batch-with-kl"],
)
def test_resume_is_exact(lab, improvement, save_steps, changes):
    def build():
        weighting = ImprovementAware(improvement=improvement, updates="minibatch", weight_lr=0.3)
        evaluation = {"eval_strategy": "steps", "eval_steps": 2, "per_device_eval_batch_size": 4}
        saving = {"save_strategy": "steps", "save_steps": save_steps, "max_steps": 4}
        return lab.trainer(
            arguments={"weighting": weighting}, **{**saving, **evaluation, **changes}
        )

    whole, resumed = build(), build()
    whole.train()
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-{save_steps}")
    assert same_parameters(whole, resumed)
    assert history(whole, after=save_steps) == history(resumed, after=save_steps) != []
    assert whole.mixer.state_dict() == resumed.mixer.state_dict()
    assert whole.num_rollouts == resumed.num_rollouts
    assert [s.state_dict() for s in whole.streams.values()] == [
        s.state_dict() for s in resumed.streams.values()
    ]


@pytest.fixture
def checkpoint(lab):
    trainer = lab.trainer(save_strategy="steps", save_steps=1, max_steps=1)
    trainer.train()
    return trainer.args.output_dir + "/checkpoint-1"


def test_checkpoint_holds_a_closed_step(checkpoint):
    state = json.loads(Path(checkpoint, "mixer.json").read_text())["payload"]["mixer"]
    assert state["step"] == 1
    assert state["batch"] is None


def test_other_tasks_are_refused_unless_they_may_change(checkpoint):
    tasks = make_tasks()
    others = TaskSet(tasks["medium"], tasks["easy"], tasks["hard"])
    with pytest.raises(
        StateError,
        match=r"saved for tasks \['easy', 'medium', 'hard'\], now \['medium', 'easy', 'hard'\]",
    ):
        check_resume(checkpoint, others)
    check_resume(checkpoint, others, may_change=True)


def test_other_rows_are_refused(checkpoint):
    with pytest.raises(StateError, match="'easy' had 40 training rows, now 41"):
        check_resume(checkpoint, make_tasks(num_train=41))
    check_resume(checkpoint, make_tasks())


def test_damage_and_foreign_checkpoints_are_refused(lab, checkpoint, tmp_path):
    with pytest.raises(StateError, match=r"no mixer\.json"):
        check_resume(tmp_path, make_tasks())
    file = Path(checkpoint, "mixer.json")
    file.write_text(file.read_text().replace('"step": 1', '"step": 2'))
    with pytest.raises(
        StateError, match=r"mixer\.json was changed or damaged; there is no other whole one"
    ):
        check_resume(checkpoint, make_tasks())


def test_a_damaged_checkpoint_is_refused_before_it_is_loaded_and_the_last_good_one_named(lab):
    saving = {"save_strategy": "steps", "save_steps": 1, "max_steps": 3, "save_total_limit": 2}
    trainer = lab.trainer(**saving)
    trainer.train()
    folder = Path(trainer.args.output_dir)
    assert sorted(p.name for p in folder.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-3"]
    weights = folder / "checkpoint-3" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    resumed = lab.trainer(**saving)
    before = [p.clone() for p in resumed.model.parameters()]
    with pytest.raises(
        StateError, match=r"model\.safetensors has .* the last good one is .*checkpoint-2"
    ):
        resumed.train(resume_from_checkpoint=str(folder / "checkpoint-3"))
    assert all(torch.equal(a, b) for a, b in zip(before, resumed.model.parameters(), strict=True))
    resumed.train(resume_from_checkpoint=str(folder / "checkpoint-2"))
    assert same_parameters(trainer, resumed)


def test_the_only_checkpoint_stays_until_the_next_is_whole(lab, monkeypatch):
    trainer = lab.trainer(save_strategy="steps", save_steps=1, max_steps=2, save_total_limit=1)
    folder = Path(trainer.args.output_dir)
    monkeypatch.setattr(
        checkpoints,
        "seal",
        lambda path, **k: fail(path) if path.name == "checkpoint-2" else seal(path, **k),
    )

    def fail(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(
        StateError, match=r"checkpoint-2: cannot be written \(No space left.*last good one is .*-1"
    ):
        trainer.train()
    assert defect(folder / "checkpoint-1") == ""
    assert trainer.args.save_total_limit == 1


def test_half_used_rollouts_must_be_there_and_fit(lab):
    changes = {**REUSE, "max_steps": 2}
    trainer = lab.trainer(save_strategy="steps", save_steps=1, **changes)
    trainer.train()
    checkpoint = trainer.args.output_dir + "/checkpoint-1"
    with pytest.raises(StateError, match="resume with the same steps_per_generation"):
        lab.trainer(**changes, num_iterations=2).train(resume_from_checkpoint=checkpoint)
    file = Path(checkpoint, "rollouts_0.safetensors")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(StateError, match=r"rollouts_0\.safetensors has"):
        lab.trainer(**changes).train(resume_from_checkpoint=checkpoint)
    file.unlink()
    with pytest.raises(StateError, match=r"rollouts_0\.safetensors is missing"):
        lab.trainer(**changes).train(resume_from_checkpoint=checkpoint)
