"""What is handed to the loss: whole groups, exact shares, TRL's advantages of the right rewards."""

from collections import Counter

import pandas
import pytest
import torch

from mtgrpo import Fixed, ImprovementAware, RatioPreservingSampler, Uniform
from mtgrpo.core.planners import OversampledRounds
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.integrations.trl.rollouts import TASK_NUMBERS
from mtgrpo.tasks import Score, Task, TaskSet

from .conftest import around, history
from .toy import hopeless_tasks, make_tasks, rows


class Checked(MultiTaskGRPOTrainer):
    """Checks each generation batch against the texts it holds."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        around(self.engine, "replay", self._replay)

    def _replay(self, replay, rows):
        output = replay(rows)
        size, batch = self.schedule.group_size, self.mixer.batch
        prompts = output["prompt_ids"].view(-1, size, output["prompt_ids"].size(1))
        assert (prompts == prompts[:, :1]).all(), "a group mixes prompts"
        ids = output["completion_ids"].masked_fill(
            output["completion_mask"] == 0, self.processing_class.pad_token_id
        )
        texts = self.processing_class.batch_decode(ids, skip_special_tokens=True)
        rewards = torch.tensor(
            [
                self.tasks[row.inputs["mtgrpo_task"]].score([row.inputs], [text])[0].reward
                if row.trains
                else 0.0
                for row, text in zip(rows, texts, strict=True)
            ]
        ).view(-1, size)
        advantages = output["advantages"].view(-1, size)
        trains = torch.tensor([row.trains for row in rows]).view(-1, size)[:, 0]
        wanted = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
        assert torch.allclose(advantages, wanted, atol=1e-4)
        assert (advantages[~trains] == 0).all()
        if self.informative_only:
            assert (advantages[trains].abs().amax(1) > 0).all()
        names = [
            self.tasks.names[n] if n >= 0 else None
            for n in output[TASK_NUMBERS].view(-1, size)[:, 0].tolist()
        ]
        assert Counter(n for n in names if n) == Counter(g.task for g in batch.groups)
        self.batches.append((Counter(n for n in names if n), batch.quotas, names.count(None)))
        return output


def checked(lab, tasks=None, arguments=None, informative_only=True, **changes):
    trainer = lab.trainer(tasks, Checked, arguments, **changes)
    trainer.batches, trainer.informative_only = [], informative_only
    trainer.train()
    return trainer


def easy_tasks() -> TaskSet:
    tasks = make_tasks()
    return TaskSet(tasks["easy"], tasks["medium"])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "per_device_train_batch_size": 8,
            "gradient_accumulation_steps": 2,
            "steps_per_generation": 4,
        },
        {"num_iterations": 2},
    ],
    ids=["default", "two-updates", "reuse"],
)
def test_shares_are_exact_and_groups_whole(lab, changes):
    arguments = {"weighting": Fixed({"easy": 0.25, "medium": 0.75})}
    trainer = checked(lab, easy_tasks(), arguments, max_steps=4, **changes)
    for counts, quotas, padded in trainer.batches:
        assert counts == quotas == {"easy": 2, "medium": 6}
        assert padded == 0
    assert len(trainer.batches) == trainer.mixer.step == 4 / trainer.schedule.updates
    logged = {name: value for entry in history(trainer) for name, value in entry.items()}
    assert logged["sampler/shares_met"] == 1
    assert logged["task/medium/realized_ratio"] == 0.75
    assert logged["frac_reward_zero_std"] == 0


def test_weights_move_and_are_logged_once_per_step(lab):
    steps = []
    arguments = {
        "weighting": ImprovementAware(weight_lr=0.5),
        "on_mixer_step": lambda *step: steps.append(step),
    }
    changes = {
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 2,
        "steps_per_generation": 4,
    }
    trainer = checked(lab, easy_tasks(), arguments, max_steps=4, **changes)
    assert [step for step, _ in steps] == [1, 2]
    assert ["task/easy/weight" in entry for entry in history(trainer)] == [False, True, False, True]
    weights = [
        entry["task/easy/weight"] for entry in history(trainer) if "task/easy/weight" in entry
    ]
    assert weights == [report.weights["easy"] for _, report in steps]
    assert weights[0] == 0.5 != weights[1]


def test_several_generation_batches_per_update(lab):
    trainer = checked(
        lab,
        easy_tasks(),
        {"weighting": Uniform()},
        steps_per_generation=1,
        gradient_accumulation_steps=3,
        max_steps=2,
    )
    assert trainer.mixer.step == 6
    assert trainer.mixer.batch is None


def test_large_rounds_are_generated_in_pieces(lab):
    sizes = []

    class Sizes(Checked):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            around(self.engine, "roll_out", self._roll_out)

        def _roll_out(self, roll_out, plan, first_uid, *others):
            sizes.append(len(plan))
            return roll_out(plan, first_uid, *others)

    sampler = RatioPreservingSampler(planner=OversampledRounds(oversampling=2.5))
    trainer = lab.trainer(easy_tasks(), Sizes, {"sampler": sampler}, max_steps=1)
    trainer.batches, trainer.informative_only = [], True
    trainer.train()
    assert sizes[:3] == [8, 8, 4]
    assert trainer.num_rollouts == sum(sizes) * 4 == trainer.mixer.num_rollouts


@pytest.mark.parametrize("shortfall", ["surplus", "smaller"])
def test_no_signal_at_all_ends_within_budget_and_moves_nothing(lab, shortfall):
    sampler = RatioPreservingSampler(max_resamples=2, shortfall=shortfall)
    arguments = {"sampler": sampler, "weighting": Uniform()}
    trainer = lab.trainer(hopeless_tasks(), Checked, arguments, max_steps=2)
    trainer.batches, trainer.informative_only = [], True
    before = [p.clone() for p in trainer.model.parameters()]
    trainer.train()
    assert all(torch.equal(p, q) for p, q in zip(before, trainer.model.parameters(), strict=True))
    for entry in history(trainer):
        assert entry["sampler/padded"] == 8
        assert entry["sampler/rounds"] == 3
        assert all(value == value for value in entry.values() if isinstance(value, float)), "NaN"
        assert entry["loss"] == 0
        assert entry["grad_norm"] == 0


def test_short_batches_are_filled_up_without_a_signal(lab):
    tasks = TaskSet(*hopeless_tasks(), make_tasks()["medium"])
    sampler = RatioPreservingSampler(max_resamples=1, shortfall="smaller")
    trainer = checked(lab, tasks, {"sampler": sampler, "weighting": Uniform()})
    for counts, quotas, padded in trainer.batches:
        assert 0 < counts["medium"] <= quotas["medium"]
        assert padded == 8 - counts["medium"]
    assert all(entry["grad_norm"] > 0 for entry in history(trainer))


def test_groups_of_format_rewards_only_get_advantage_zero_when_they_fill_up(lab):
    """All wrong, but shaped rewards differ: dropped by the default filter, and without a pull as filling."""

    def shaped(prompts, completions, **columns):
        return [Score(len(set(c)) / 10, 0.0) for c in completions]

    tasks = TaskSet(Task("shaped", rows("shaped", 20), [], shaped, correct_at=1.0))
    trainer = checked(lab, tasks, {"sampler": RatioPreservingSampler(max_resamples=0)})
    assert [padded for _, _, padded in trainer.batches] == [8, 8, 8]


@pytest.mark.parametrize(
    "changes",
    [
        {"multi_objective_aggregation": "normalize_then_sum"},
        {"mask_truncated_completions": True, "scale_rewards": "none"},
        {"loss_type": "bnpo", "importance_sampling_level": "sequence"},
        {"top_entropy_quantile": 0.5, "log_completions": True, "num_completions_to_print": 0},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_other_options_of_trl(lab, changes):
    trainer = lab.trainer(easy_tasks(), max_steps=1, **changes)
    trainer.train()
    assert trainer.reward_weights.tolist() == [1.0, 0.0]
    assert history(trainer)[0]["grad_norm"] > 0
    if trainer.log_completions:  # the tables that TRL writes say which task a completion is of
        table = pandas.read_parquet(
            f"{trainer.args.output_dir}/completions/completions_00001.parquet"
        )
        assert all(
            prompt.startswith(task)
            for prompt, task in zip(table["prompt"], table["task"], strict=True)
        )
        assert len(table) == 32
