"""What the bank needs of a trainer: whole checkpoints, clear refusals, families of tasks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mtgrpo import ImprovementAware
from mtgrpo.errors import ConfigError, StateError
from mtgrpo.integrations.trl.banked import settle_bank
from mtgrpo.integrations.trl.rollouts import (
    generation_as_json,
    generation_from_json,
    join_generation,
    split_generation,
)
from mtgrpo.integrations.trl.saved_rollouts import bank_file, load_groups, save_groups
from mtgrpo.integrations.trl.slots import Slot, share_out
from mtgrpo.tasks import Task, TaskSet

from .conftest import history, same_parameters
from .test_banked import FOUR_PASSES, KL, TWO_UPDATES, build, trained, two_tasks
from .test_vllm import use_stand_in
from .toy import make_tasks


@pytest.mark.parametrize(
    ("improvement", "save_steps", "changes"),
    [
        ("rewards", 3, {}),
        ("surrogate", 3, FOUR_PASSES),
        ("surrogate", 3, TWO_UPDATES),  # in the middle of a generation batch
        ("rewards", 3, KL),
        ("rewards", 2, {"use_vllm": True}),
    ],
    ids=["one", "surrogate", "inside-batch", "inside-batch-with-kl", "vllm"],
)
def test_resume_is_exact(lab, monkeypatch, improvement, save_steps, changes):
    use_stand_in(monkeypatch)

    def make():
        weighting = ImprovementAware(improvement=improvement, updates="minibatch", weight_lr=0.3)
        saving = {"save_strategy": "steps", "save_steps": save_steps, "max_steps": 7}
        return build(lab, weighting=weighting, **saving, **changes)

    whole, resumed = make(), make()
    whole.train()
    checkpoint = Path(whole.args.output_dir, f"checkpoint-{save_steps}")
    assert bank_file(checkpoint, 0).is_file()
    resumed.train(resume_from_checkpoint=str(checkpoint))
    assert same_parameters(whole, resumed)
    assert history(whole, after=save_steps) == history(resumed, after=save_steps) != []
    assert whole.mixer.state_dict() == resumed.mixer.state_dict()
    assert whole.banked.state_dict() == resumed.banked.state_dict()
    assert any(any(replay["banked"]) for replay in resumed.replays)
    assert all(value == value for entry in history(whole) for value in entry.values()), "NaN"


@pytest.mark.parametrize("size", [2, 8])
def test_groups_of_another_size_are_refused_before_training(lab, size):
    def make(num_generations):
        rows = 8 * num_generations
        saving = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4}
        return build(
            lab, per_device_train_batch_size=rows, num_generations=num_generations, **saving
        )

    whole, resumed = make(4), make(size)
    whole.train()
    checkpoint = f"{whole.args.output_dir}/checkpoint-2"
    with pytest.raises(
        StateError, match=rf"groups of 4 .* now num_generations={size}; resume with"
    ):
        resumed.train(resume_from_checkpoint=checkpoint)
    assert resumed.replays == []


def test_a_bank_that_is_gone_or_spoiled_is_refused(lab, tmp_path):
    with pytest.raises(
        StateError, match=r"bank_1\.safetensors: missing, but the checkpoint has groups waiting"
    ):
        load_groups(bank_file(tmp_path, 1), two_tasks(), set())
    bank_file(tmp_path, 1).write_bytes(b"nothing")
    with pytest.raises(
        StateError, match=r"bank_1\.safetensors: cannot be read .*use another checkpoint"
    ):
        load_groups(bank_file(tmp_path, 1), two_tasks(), set())


def test_groups_are_saved_with_every_value(lab, tmp_path):
    trainer = trained(lab, max_steps=1)
    groups = list(trainer.mixer.sampler.bank)
    assert groups
    save_groups(bank_file(tmp_path, 0), groups)
    uids = [group.uid for group in groups]
    assert not load_groups(bank_file(tmp_path, 0), trainer.tasks, uids[:0])
    loaded = load_groups(bank_file(tmp_path, 0), trainer.tasks, uids)
    assert list(loaded) == [group.uid for group in groups]
    for group in groups:
        assert loaded[group.uid] == group.payload
        for a, b in zip(loaded[group.uid], group.payload, strict=True):
            assert torch.equal(a.old_log_probs, b.old_log_probs)


def test_a_generation_is_plain_text_and_back():
    generation = (
        [[1], [2]],
        ["x", "y"],
        None,
        {"extra": [5, 6], "flag": True},
        [[0.1, None], [float(1 / 3)]],
    )
    rows = split_generation(generation, 2)
    assert (
        join_generation([generation_from_json(generation_as_json(row)) for row in rows])
        == generation
    )


def test_filling_keeps_the_log_probabilities(lab):
    group = next(iter(trained(lab, max_steps=1).mixer.sampler.bank))
    ((*rows,),) = share_out([Slot(group, 0, False)], 1, 0)
    assert all(a.old_log_probs is b.old_log_probs for a, b in zip(rows, group.payload, strict=True))


def test_a_sharded_model_is_refused(lab):
    trainer = build(lab)
    trainer.is_fsdp_enabled = True
    with pytest.raises(
        ConfigError,
        match=r"max_staleness=2 .* the model is sharded \(FSDP\); set the sampler's max_staleness=0",
    ):
        settle_bank(trainer, trainer.mixer, has_images=False)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("tools", [print], "there are tools"),
        ("environment_factories", {}, "there are environments"),
        ("rollout_func", print, "rollout_func generates"),
    ],
)
def test_the_bank_steps_aside_where_it_cannot_work(lab, caplog, name, value, message):
    trainer = build(lab)
    setattr(trainer, name, value)
    settle_bank(trainer, trainer.mixer, has_images=False)
    assert trainer.mixer.sampler.bank.max_staleness == 0
    assert "max_staleness=0" in repr(trainer.mixer.sampler)
    assert not trainer.banked.keeps
    assert caplog.messages == [
        "MultiTaskGRPOTrainer: surplus groups are not kept for later steps (max_staleness=2), "
        f"because {message}"
    ]


def test_the_bank_steps_aside_for_images(lab, caplog):
    trainer = build(lab)
    settle_bank(trainer, trainer.mixer, has_images=True)
    assert trainer.mixer.sampler.bank.max_staleness == 0
    assert "because prompts have images" in caplog.text


def test_tasks_of_a_family_share_what_is_known_of_their_acceptance(lab):
    reward = make_tasks()["easy"].reward
    rows = list(make_tasks()["easy"].train)
    tasks = TaskSet(
        Task("a", rows, [], reward, family="x"),
        Task("b", rows, [], reward),
        Task("c", rows, [], reward, family="x"),
        Task("d", [], list(make_tasks()["easy"].test), reward, family="y"),
    )
    assert tasks.families == {"a": "x", "c": "x"}
    sampler = lab.trainer(tasks).mixer.sampler
    sampler.acceptance.observe(np.array([9, 0, 0]), np.array([0, 0, 0]))
    a, b, c = sampler.acceptance.rates()
    assert a < c < b
