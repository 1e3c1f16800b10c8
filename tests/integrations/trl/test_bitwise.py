"""Without a filter and with uniform weights the trainer is TRL's GRPOTrainer, bit for bit."""

import pytest
import torch
from datasets import Dataset
from trl import GRPOTrainer

from mtgrpo.integrations.trl import MultiTaskGRPOTrainer

from .conftest import around, history, same_parameters, uniform
from .toy import make_tasks


class Recording(MultiTaskGRPOTrainer):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.plans = []
        around(self.engine, "roll_out", self._roll_out)

    def _roll_out(self, roll_out, plan, first_uid, *others):
        self.plans.extend(plan)
        return roll_out(plan, first_uid, *others)


def plain_rewards(tasks):
    def score(completions, task, row):
        return [
            tasks[t].score([tasks[t].train[i]], [c])[0]
            for c, t, i in zip(completions, task, row, strict=True)
        ]

    def reward(completions, task, row, **kwargs):
        return [s.reward for s in score(completions, task, row)]

    def accuracy(completions, task, row, **kwargs):
        return [s.accuracy for s in score(completions, task, row)]

    return [reward, accuracy]


def trained_beside_plain(lab, skip_zero_advantages, changes):
    """Ours, and TRL's trainer on the prompts that ours rolled out."""
    tasks = make_tasks()
    arguments = {**uniform(), "skip_zero_advantages": skip_zero_advantages}
    ours = lab.trainer(tasks, Recording, arguments, **changes)
    ours.train()
    rows = [{"prompt": tasks[t].train[i]["prompt"], "task": t, "row": i} for t, i in ours.plans]
    rows += [rows[0]] * (
        120 - len(rows)
    )  # as long as the trainer's clock, so that epochs are the same too
    plain = GRPOTrainer(
        lab.model(),
        reward_funcs=plain_rewards(tasks),
        args=lab.config(**changes, shuffle_dataset=False, reward_weights=[1.0, 0.0]),
        train_dataset=Dataset.from_list(rows),
        processing_class=lab.tokenizer(),
    )
    plain.train()
    return ours, plain


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"per_device_train_batch_size": 16, "gradient_accumulation_steps": 2},
        {
            "per_device_train_batch_size": 8,
            "gradient_accumulation_steps": 2,
            "steps_per_generation": 4,
            "num_iterations": 2,
            "beta": 0.05,
            "max_steps": 6,
        },
        {"scale_rewards": "batch", "loss_type": "grpo"},
        {"steps_per_generation": 1, "gradient_accumulation_steps": 2, "max_steps": 2},
    ],
    ids=["default", "accumulation", "reuse-and-kl", "batch-scaling", "two-batches-per-update"],
)
def test_equals_plain_grpo(lab, changes):
    ours, plain = trained_beside_plain(lab, False, changes)
    assert same_parameters(ours, plain)
    assert len(history(plain)) == changes.get("max_steps", 3)
    for mine, theirs in zip(history(ours), history(plain), strict=True):
        assert {k: mine[k] for k in theirs} == theirs
        assert any(value != 0 for name, value in theirs.items() if name == "grad_norm")


def test_without_the_rows_of_zero_advantage_only_rounding_differs(lab):
    changes = {
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 4,
        "optim": "sgd",
    }
    ours, plain = trained_beside_plain(lab, True, changes)
    assert all(entry["sampler/rows_left_out"] > 0 for entry in history(ours))
    for p, q in zip(ours.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=1e-6, atol=1e-7)

    # Entropy and clipping are those of the rows that were trained on.
    rounded = ("loss", "grad_norm")
    others = ("entropy", "clip_ratio/")
    for mine, theirs in zip(history(ours), history(plain), strict=True):
        for name, value in theirs.items():
            if name in rounded:
                assert mine[name] == pytest.approx(value, rel=1e-5, abs=1e-6)
            elif not name.startswith(others):
                assert mine[name] == value
