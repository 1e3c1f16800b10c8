"""One-round batches in TRL: whose the loss is, measured in TRL's own, and what a checkpoint keeps."""

import math

import pytest
import torch
from datasets import Dataset

from mtgrpo import Fixed, presets
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.integrations.trl.rollouts import TASK_NUMBERS
from mtgrpo.tasks import Scoring, Task, TaskSet

from .conftest import history, same_parameters
from .test_loss_shares import TWO_UPDATES, WEIGHTS, Measured, uneven_tasks
from .toy import make_tasks

LOSS_TYPES = ["dapo", "grpo", "bnpo", "dr_grpo"]
ONE_UPDATE = {"per_device_train_batch_size": 48, "learning_rate": 1e-2}  # 12 groups


def one_round(lab, cls=Measured, weights=WEIGHTS, tasks=None, sampler=None, **changes):
    arguments = {
        "weighting": Fixed(weights),
        "sampler": OneRoundSampler() if sampler is None else sampler,
        "loss_shares": True,
    }
    tasks = uneven_tasks() if tasks is None else tasks
    trainer = lab.trainer(tasks, cls, arguments, **{**ONE_UPDATE, **changes})
    trainer.parts = []
    return trainer


class Stepwise(Measured):
    """Notes each step's targets, and what the loss gave: in double precision."""

    def compute_loss(self, model, inputs, *args, **kwargs):
        if self.mixer.batch is not None:
            self.batch = self.mixer.batch
        return super().compute_loss(model, inputs, *args, **kwargs)

    def training_step(self, *args, **kwargs):
        self.model.double()
        loss = super().training_step(*args, **kwargs)
        informative = self.batch.counts.num_informative
        self.steps.append((self.measured_shares(), self.batch.loss_targets, dict(informative)))
        self.parts.clear()
        return loss


@pytest.mark.parametrize(
    ("loss_type", "shares"), [*((name, "each_step") for name in LOSS_TYPES), ("dapo", "over_steps")]
)
def test_the_loss_has_the_shares_it_should_have_in_every_step(lab, loss_type, shares):
    """To 1e-6, over several steps of training: weights where nothing is owed, debts on top."""
    sampler = OneRoundSampler(shares=shares)
    trainer = one_round(lab, Stepwise, sampler=sampler, loss_type=loss_type, max_steps=6)
    trainer.steps = []
    trainer.train()
    assert len(trainer.steps) == 6
    entries = [entry for entry in history(trainer) if "task/long/owed" in entry]

    for (measured, targets, _), entry in zip(trainer.steps, entries, strict=True):
        assert entry["sampler/loss_shares_limited"] == 0, "choose another seed: a cap was met"
        assert measured == pytest.approx(targets, abs=1e-6)
        logged = {name: entry[f"task/{name}/loss_share"] for name in WEIGHTS}
        assert logged == pytest.approx(measured, abs=1e-6)

    # Nothing is owed yet in the first: they are the weights, or those of the groups.
    first, _, informative = trainer.steps[0]
    assert all(informative[name] for name in WEIGHTS), "choose another seed"

    num_groups = sum(informative.values())
    in_groups = {name: count / num_groups for name, count in informative.items()}
    assert first == pytest.approx(WEIGHTS if shares == "each_step" else in_groups, abs=1e-6)


def test_debts_of_the_loss_are_paid_in_the_loss(lab):
    weights = {"short": 0.4, "middle": 0.2, "long": 0.4}
    trainer = one_round(lab, weights=weights, max_steps=12, per_device_train_batch_size=24)
    trainer.train()
    entries = [entry for entry in history(trainer) if "task/long/owed" in entry]
    owed, paid = dict.fromkeys(weights, 0.0), []

    for entry in entries:
        shares = {name: entry[f"task/{name}/loss_share"] for name in weights}
        paid += [shares[n] > weights[n] + 0.01 for n in weights if owed[n] > 0.01 and shares[n]]
        if any(shares.values()):
            owed = {name: owed[name] + weights[name] - shares[name] for name in weights}
        assert owed == pytest.approx({n: entry[f"task/{n}/owed"] for n in weights}, abs=1e-6)

    assert any(paid), "nothing was paid"
    assert max(entry["task/middle/owed"] for entry in entries) > 0.1


def test_a_step_is_one_generation_of_a_whole_batch(lab):
    trainer = one_round(lab, max_steps=4)
    trainer.train()
    for entry in history(trainer):
        assert entry["sampler/rounds"] == 1
        assert entry["sampler/groups_generated"] == 12
        assert entry["sampler/shortfall"] == entry["sampler/surplus"] == 0
        assert entry["sampler/discarded"] == 0
        informative = sum(entry[f"task/{name}/num_informative"] for name in WEIGHTS)
        assert entry["sampler/padded"] == 12 - informative
    assert trainer.num_rollouts == 4 * 48


def test_groups_without_a_gradient_are_rows_without_one(lab):
    trainer = one_round(lab, max_steps=1, learning_rate=0.0)
    trainer.train()
    num_informative = sum(trainer.mixer.report.num_informative.values())
    (part,) = trainer.parts
    moves = part[TASK_NUMBERS] >= 0  # (rows,), in TRL's order
    assert len(moves) == 48
    assert int(moves.sum()) == 4 * num_informative
    assert not part["advantages"][~moves].any()
    assert part["advantages"][moves].any()


@pytest.mark.parametrize("budget", [None, {"tokens": 120}])
def test_resumed_inside_a_generation_batch(lab, budget):
    saving = {"save_strategy": "steps", "save_steps": 1, "max_steps": 6, **TWO_UPDATES}
    whole, resumed = (
        one_round(lab, sampler=OneRoundSampler(budget=budget), **saving) for _ in range(2)
    )
    whole.train()
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-3")
    assert same_parameters(whole, resumed)
    assert history(whole, after=3) == history(resumed, after=3)
    assert any(value for value in whole.mixer.sampler.owed().values()), "nothing was owed"
    assert resumed.mixer.sampler.owed() == whole.mixer.sampler.owed()


def test_balanced_in_one_round_by_a_word(lab):
    method = presets.get("balanced", sampler={"rounds": "one"})
    trainer = MultiTaskGRPOTrainer(
        lab.model(),
        tasks=make_tasks(),
        args=lab.config(max_steps=3),
        method=method,
        processing_class=lab.tokenizer(),
    )
    trainer.train()
    entries = history(trainer)
    assert all(entry["sampler/rounds"] == 1 for entry in entries)
    assert all(f"task/{name}/owed" in entries[-1] for name in trainer.tasks.names)
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


def test_a_budget_of_tokens(lab):
    """A whole batch at first, which costs more; then as many groups as it allows."""
    sampler = OneRoundSampler(budget={"tokens": 120})
    trainer = one_round(lab, max_steps=8, sampler=sampler)
    trainer.train()
    first, *later = history(trainer)
    assert first["sampler/groups_generated"] == 12
    assert all(entry["sampler/cost"] == entry["sampler/tokens_generated"] for entry in later)
    numbers = [entry["sampler/groups_generated"] for entry in later]
    assert max(numbers) < 12
    assert first["sampler/cost"] > 120
    mean = sum(entry["sampler/cost"] for entry in later) / len(later)
    assert mean == pytest.approx(120, rel=0.15)
    assert all(f"task/{name}/group_cost" in later[-1] for name in WEIGHTS)


@pytest.mark.parametrize("scale", ["group", "batch"])
def test_trls_own_figures_are_of_the_rewards_as_they_were(lab, scale):
    """Groups without a gradient stand in the batch with their rewards, not with zeros."""
    seen = []

    def penalty(completions, **columns):
        seen[:] = [-1.0 - len(set(text)) / 10 for text in completions]
        return seen

    def right(completions, **columns):
        return [float("a" in text) for text in completions]

    rows = [{"prompt": f"q{i}=", "task": "ab"[i % 2]} for i in range(40)]
    trainer = MultiTaskGRPOTrainer(
        lab.model(),
        [penalty, right],
        lab.config(max_steps=1, scale_rewards=scale, reward_weights=[1.0, 0.5]),
        Dataset.from_list(rows),
        processing_class=lab.tokenizer(),
        method="grpo_fair",
        accuracy="right",
    )
    trainer.train()

    (logged,) = history(trainer)
    assert 0 < logged["sampler/padded"] < trainer.mixer.batch_size
    assert logged["rewards/penalty/mean"] == pytest.approx(sum(seen) / len(seen))

    logs = {name: torch.tensor(values) for name, values in trainer._logs["rewards"].items()}
    assert logs["penalty"].tolist() == pytest.approx(seen)
    rewards = (logs["penalty"] + 0.5 * logs["right"]).view(-1, 4)  # (groups, completions)
    spread = rewards.std(1, keepdim=True) if scale == "group" else rewards.std()
    wanted = (rewards - rewards.mean(1, keepdim=True)) / (spread + 1e-4)

    varies = logs["right"].view(-1, 4).std(1) > 0
    advantages = torch.tensor(list(trainer._logs["advantages"])).view(-1, 4)
    assert torch.allclose(advantages[varies], wanted[varies], atol=1e-4)
    assert (advantages[~varies] == 0).all()
    assert int((~varies).sum()) == logged["sampler/padded"]


@pytest.mark.parametrize("aggregation", ["sum_then_normalize", "normalize_then_sum"])
def test_groups_that_could_not_be_scored_fill_up_the_batch_without_a_trace(lab, aggregation):
    """Their rewards are NaN, which must reach neither a spread nor the loss."""

    def fails_for_some(completions, **columns):
        if any(text[:1] in "ab" for text in completions):
            raise ValueError("no such answer")
        return [float(any(c in "eiou" for c in text[:4])) for text in completions]

    toy = make_tasks()["easy"]
    dropping = Scoring(on_error="drop", max_dropped_rate=0.9)
    tasks = TaskSet(Task("easy", toy.train, [], fails_for_some, scoring=dropping))
    changes = {"scale_rewards": "batch", "multi_objective_aggregation": aggregation, "max_steps": 2}
    trainer = one_round(lab, MultiTaskGRPOTrainer, {"easy": 1.0}, tasks, **changes)
    trainer.train()

    entries = history(trainer)
    assert sum(entry["task/easy/dropped/unscorable"] for entry in entries) > 0
    assert any(entry["grad_norm"] > 0 for entry in entries)
    for entry in entries:
        assert all(math.isfinite(entry[name]) for name in ("loss", "grad_norm", "reward"))
    assert all(math.isfinite(value) for value in trainer._logs["advantages"])
