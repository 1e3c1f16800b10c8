"""Checkpoints without a model: what is written around TRL's part, and taken up again."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mtgrpo.errors import StateError
from mtgrpo.integrations.trl.checkpoints import TrainerCheckpoints, read_state
from mtgrpo.runlog.checkpoints import SEAL_FILE, defect

from .engine import SCHEDULE, Processes, make_step
from .test_old_log_probs import banking_step
from .toy import make_tasks

SLICES = [{"ids": torch.arange(4), "advantages": torch.ones(2)}, {"ids": torch.zeros(1)}]


def trainer(folder=None, step=1, process=None, **changes):
    """TRL's trainer, as far as checkpoints look at it."""
    args = {"should_save": True, "save_total_limit": None, "sync_ref_model": False, "seed": 3}
    return SimpleNamespace(
        args=SimpleNamespace(**{**args, **changes}),
        state=SimpleNamespace(global_step=step, best_model_checkpoint=None),
        accelerator=process or Processes(),
        _get_output_dir=lambda trial: str(folder),
        _buffered_inputs=SLICES,
        _step=7,
    )


def filled(num_steps: int = 2):
    """A step with an open batch, and groups in its bank that have been generated."""
    step = banking_step()
    for _ in range(num_steps):
        step.choose_groups()
        step.end_policy_update()
    step.choose_groups()
    for group in step.banked.waiting():  # dice have no tokens: something to save
        for row in group.payload:
            object.__setattr__(row, "generation", ())
    return step, TrainerCheckpoints(step, make_tasks())


def write(part, folder, step=1, process=None, **changes):
    owner = trainer(folder, step, process, **changes)
    with part.writing(owner, None):
        assert owner.args.save_total_limit is None, "TRL would delete before the seal"
        checkpoint = Path(folder, f"checkpoint-{step}")
        assert (checkpoint / "mixer.json").is_file() == owner.args.should_save
        assert not (checkpoint / SEAL_FILE).exists()
        (checkpoint / "model.safetensors").write_text("TRL's part")
    assert owner.args.save_total_limit == changes.get("save_total_limit")
    return checkpoint


def test_what_is_written_is_taken_up_again(tmp_path):
    step, part = filled()
    checkpoint = write(part, tmp_path)
    assert defect(checkpoint) == ""

    resumed = banking_step()
    owner = trainer()
    owner._buffered_inputs = None
    TrainerCheckpoints(resumed, make_tasks()).restore(owner, checkpoint)
    assert owner._step == 7 % part.cycle
    slices = [
        {name: value.tolist() for name, value in one.items()} for one in owner._buffered_inputs
    ]
    assert slices == [
        {"ids": [0, 1, 2, 3], "advantages": [1, 1]},
        {"ids": [0]},
    ]
    assert resumed.state_dict() == step.state_dict()
    assert resumed.banked.owners == {
        group.uid: step.banked.owners[group.uid] for group in step.banked.waiting()
    }
    waiting = list(zip(step.banked.waiting(), resumed.banked.waiting(), strict=True))
    assert waiting
    for mine, theirs in waiting:
        assert mine.payload == theirs.payload
        for a, b in zip(mine.payload, theirs.payload, strict=True):
            assert torch.equal(a.old_log_probs, b.old_log_probs)


def test_at_the_end_of_a_step_no_rollouts_are_saved(tmp_path):
    step, part = filled()
    step.end_policy_update()
    checkpoint = write(part, tmp_path)
    assert not list(checkpoint.glob("rollouts_*"))
    owner = trainer()
    part.restore(owner, checkpoint)
    assert (owner._step, owner._buffered_inputs) == (0, None)


def test_each_process_writes_its_own_groups_and_the_main_one_the_state(tmp_path):
    step, part = filled()
    step.banked.owners = {uid: uid % 2 for uid in step.banked.owners}
    main = Processes(2)
    write(part, tmp_path, process=Processes(2, 1), should_save=False)
    checkpoint = write(part, tmp_path, process=main)
    assert main.num_waits == 1
    assert {path.name for path in checkpoint.glob("*_*.safetensors")} == {
        *("bank_0.safetensors", "bank_1.safetensors"),
        *("rollouts_0.safetensors", "rollouts_1.safetensors"),
    }
    # One process takes up the groups of both.
    resumed = banking_step()
    resumed.load_state_dict(read_state(checkpoint))
    resumed.banked.load_state_dict(read_state(checkpoint), checkpoint, Processes())
    assert set(resumed.banked.owners.values()) == {0}
    assert all(group.payload is not None for group in resumed.banked.waiting())


def test_older_checkpoints_go_once_the_new_one_is_whole(tmp_path):
    _, part = filled()
    for step in (1, 2, 3):
        write(part, tmp_path, step, save_total_limit=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-3"]


def test_a_checkpoint_that_fails_is_not_sealed(tmp_path):
    _, part = filled()
    owner = trainer(tmp_path, save_total_limit=1)
    with (
        pytest.raises(StateError, match=r"checkpoint-1: cannot be written \(No space left"),
        part.writing(owner, None),
    ):
        raise OSError(28, "No space left on device")
    assert owner.args.save_total_limit == 1
    assert not (tmp_path / "checkpoint-1" / SEAL_FILE).exists()


def test_a_batch_that_is_used_otherwise_now_is_refused(tmp_path):
    step, part = filled()
    checkpoint = write(part, tmp_path)
    part.cycle = step.schedule.cycle + 1
    with pytest.raises(StateError, match="used 4 times, now 5; resume with the same steps_per"):
        part.restore(trainer(), checkpoint)


@pytest.mark.parametrize("size", [2, 8])
def test_groups_that_wait_have_the_size_of_groups_now(tmp_path, size):
    _, part = filled()
    checkpoint = write(part, tmp_path)
    resumed = banking_step(schedule=replace(SCHEDULE, group_size=size))
    with pytest.raises(
        StateError,
        match=rf"checkpoint-1: groups of 4 completions are still to be trained on, now "
        rf"num_generations={size}; resume with num_generations=4, or from a checkpoint",
    ):
        TrainerCheckpoints(resumed, make_tasks()).restore(trainer(), checkpoint)


def test_without_groups_that_wait_the_size_may_change(tmp_path):
    def step_of(size):
        return make_step(schedule=replace(SCHEDULE, group_size=size))

    step = step_of(4)
    step.choose_groups()
    step.end_policy_update()
    checkpoint = write(TrainerCheckpoints(step, make_tasks()), tmp_path)
    resumed = step_of(8)
    TrainerCheckpoints(resumed, make_tasks()).restore(trainer(), checkpoint)
    assert resumed.num_rollouts == step.num_rollouts
