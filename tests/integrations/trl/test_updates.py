"""Task weights that move once per policy update do so whether or not anything is measured."""

import pytest

from mtgrpo import ImprovementAware, presets
from mtgrpo.core.weightings import Regularized

REUSE = {
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "steps_per_generation": 4,
}


def moves(trainer) -> int:
    """How often the logits have moved."""
    return trainer.mixer.weighting.state_dict()["optimizer"]["num_steps"]


@pytest.mark.parametrize(
    ("make", "changes", "expected"),
    [
        (lambda: Regularized(updates="minibatch"), REUSE, 8),
        (
            lambda: Regularized(updates="minibatch"),
            {**REUSE, "gradient_accumulation_steps": 2, "max_steps": 4},
            4,
        ),
        (lambda: Regularized(updates="step"), REUSE, 2),
        (lambda: ImprovementAware(improvement="surrogate", updates="minibatch"), REUSE, 8),
        (lambda: presets.get("mt_grpo_reg", variant="released").weighting, REUSE, 8),
        (lambda: presets.get("worst_task", variant="paper").weighting, REUSE, 2),
    ],
    ids=[
        "reward-only",
        "accumulated",
        "once-a-step",
        "measured",
        "released-preset",
        "paper-preset",
    ],
)
def test_weights_move_once_per_policy_update_or_once_a_step(lab, make, changes, expected):
    trainer = lab.trainer(arguments={"weighting": make()}, **{"max_steps": 8, **changes})
    trainer.train()
    assert trainer.mixer.step == 2
    assert moves(trainer) == expected


def test_updates_before_a_checkpoint_inside_a_batch_are_counted_after_it(lab):
    def build():
        saving = {"save_strategy": "steps", "save_steps": 3, "max_steps": 8}
        return lab.trainer(
            arguments={"weighting": Regularized(updates="minibatch")}, **saving, **REUSE
        )

    whole, resumed = build(), build()
    whole.train()
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-3")
    assert moves(whole) == moves(resumed) == 8
    assert whole.mixer.state_dict() == resumed.mixer.state_dict()
