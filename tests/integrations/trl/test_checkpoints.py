"""Checkpoints without a model: what is written around TRL's part, and taken up again."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mtgrpo.errors import StateError
from mtgrpo.integrations.trl.checkpoints import BatchInUse, TrainerCheckpoints, read_state
from mtgrpo.runlog.checkpoints import SEAL_FILE, defect

from .engine import Processes
from .test_old_log_probs import banking_step
from .toy import make_tasks


def args(**changes):
    return SimpleNamespace(**{"should_save": True, "save_total_limit": None, "seed": 3, **changes})


def state(step: int = 1):
    return SimpleNamespace(global_step=step, best_model_checkpoint=None)


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


SLICES = [{"ids": torch.arange(4), "advantages": torch.ones(2)}, {"ids": torch.zeros(1)}]


def write(part, folder, step=1, process=None, **changes):
    batch = BatchInUse(7, SLICES)
    given = args(**changes)
    with part.writing(str(folder), given, state(step), process or Processes(), batch):
        assert given.save_total_limit is None, "TRL would delete before the seal"
        checkpoint = Path(folder, f"checkpoint-{step}")
        assert (checkpoint / "mixer.json").is_file() == given.should_save
        assert not (checkpoint / SEAL_FILE).exists()
        (checkpoint / "model.safetensors").write_text("TRL's part")
    assert given.save_total_limit == changes.get("save_total_limit")
    return checkpoint


def test_what_is_written_is_taken_up_again(tmp_path):
    step, part = filled()
    checkpoint = write(part, tmp_path)
    assert defect(checkpoint) == ""

    resumed = banking_step()
    forward_passes, slices = TrainerCheckpoints(resumed, make_tasks()).restore(
        checkpoint, Processes()
    )
    assert forward_passes == 7 % part.cycle
    assert [{name: value.tolist() for name, value in one.items()} for one in slices] == [
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
    assert part.restore(checkpoint, Processes()) == (0, None)


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
    given = args(save_total_limit=1)
    batch = BatchInUse(0, SLICES)
    with (
        pytest.raises(StateError, match=r"checkpoint-1: cannot be written \(No space left"),
        part.writing(str(tmp_path), given, state(), Processes(), batch),
    ):
        raise OSError(28, "No space left on device")
    assert given.save_total_limit == 1
    assert not (tmp_path / "checkpoint-1" / SEAL_FILE).exists()


def test_a_batch_that_is_used_otherwise_now_is_refused(tmp_path):
    step, part = filled()
    checkpoint = write(part, tmp_path)
    part.cycle = step.schedule.cycle + 1
    with pytest.raises(StateError, match="used 4 times, now 5; resume with the same steps_per"):
        part.restore(checkpoint, Processes())
