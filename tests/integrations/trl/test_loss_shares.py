"""Shares of the loss, measured in TRL's own: from its derivative in each token, and from the gradient it gives."""

from collections import defaultdict

import pytest
import torch
from transformers import TrainerCallback

from mtgrpo import Fixed, ImprovementAware, RatioPreservingSampler
from mtgrpo.core.planners import OversampledRounds
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.integrations.trl.loss_shares import TaskLossShares
from mtgrpo.integrations.trl.rollouts import LOSS_FACTORS, TASK_NUMBERS
from mtgrpo.tasks import Task, TaskSet, each

from .conftest import history, same_parameters
from .engine import Processes
from .test_surrogate import Snapshots, Watched, by_hand
from .toy import CHARACTERS, make_tasks, rows

LENGTHS = {"short": 1, "middle": 3, "long": 6}
RATES = {"short": 0.5, "middle": 0.12, "long": 0.5}
WEIGHTS = {"short": 0.25, "middle": 0.5, "long": 0.25}  # quotas 2, 4, 2


def uneven_tasks() -> TaskSet:
    """A completion is right when it begins with one of the first characters: the rates above, more or less."""

    def task(name: str) -> Task:
        right = CHARACTERS[: int(RATES[name] * len(CHARACTERS))]
        return Task(name, rows(name, 40), [], each(lambda text, row: float(text[:1] in right)), 1.0)

    return TaskSet(*map(task, LENGTHS))


class Measured(MultiTaskGRPOTrainer):
    """Cuts completions to their task's length, and keeps what each token weighs in the loss."""

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        tokens, *rest = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        names = [
            "".join(c for c in self.processing_class.decode(ids[:6]) if c.isalpha())
            for ids in prompt_ids
        ]
        lengths = [
            next(n for task, n in LENGTHS.items() if task.startswith(name)) for name in names
        ]
        return ([ids[:n] for ids, n in zip(tokens, lengths, strict=True)], *rest)

    def _get_per_token_logps_and_entropies(self, *args, **kwargs):
        found = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if found[0].requires_grad:
            found[0].retain_grad()
            self.log_probs = found[0]
        return found

    def compute_loss(self, model, inputs, *args, **kwargs):
        self.parts.append({k: v.clone() for k, v in inputs.items() if isinstance(v, torch.Tensor)})
        return super().compute_loss(model, inputs, *args, **kwargs)

    def training_step(self, *args, **kwargs):
        loss = super().training_step(*args, **kwargs)
        part = self.parts[-1]
        # The derivative of -A log pi in log pi is -A: what is left is the coefficient of the token.
        advantages = part["advantages"].view(-1, 1)
        part["coefficients"] = torch.where(
            advantages == 0, 0, self.log_probs.grad / advantages
        ).abs()
        return loss

    def measured_shares(self) -> dict[str, float]:
        """Shares of the tasks in the sum of coefficients."""
        sums = dict.fromkeys(self.tasks.names, 0.0)
        for part in self.parts:
            for number, coefficients in zip(
                part[TASK_NUMBERS].tolist(), part["coefficients"], strict=True
            ):
                if number >= 0:
                    sums[self.tasks.names[number]] += float(coefficients.sum())
        return {name: value / sum(sums.values()) for name, value in sums.items()}


class Gradients(TrainerCallback):
    """Adds up the gradients of the policy updates."""

    def __init__(self) -> None:
        self.total = None

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        found = torch.cat([p.grad.flatten() for p in model.parameters()])
        self.total = found.clone() if self.total is None else self.total + found


ONE_UPDATE = {"per_device_train_batch_size": 16, "gradient_accumulation_steps": 2}
TWO_UPDATES = {
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 2,
    "steps_per_generation": 4,
}


def measured(lab, loss_shares, shortfall="surplus", max_resamples=0, **changes):
    """One generation batch, without moving the policy."""
    planner = OversampledRounds(oversampling=2.0, max_inflation=1.0)
    sampler = RatioPreservingSampler(
        shortfall=shortfall, max_resamples=max_resamples, planner=planner
    )
    arguments = {"weighting": Fixed(WEIGHTS), "sampler": sampler, "loss_shares": loss_shares}
    arguments["callbacks"] = [gradients := Gradients()]
    settings = {"learning_rate": 0.0, "max_grad_norm": 1e9, "max_steps": 1, **ONE_UPDATE, **changes}
    trainer = lab.trainer(uneven_tasks(), Measured, arguments, **settings)
    trainer.parts = []
    trainer.train()
    return trainer, gradients.total


def wanted_shares(trainer) -> dict[str, float]:
    report = trainer.mixer.report
    present = {name: quota for name, quota in report.quotas.items() if report.realized.get(name)}
    return {name: present.get(name, 0) / sum(present.values()) for name in trainer.tasks.names}


def logged(trainer) -> dict[str, float]:
    return {name: value for entry in history(trainer) for name, value in entry.items()}


LOSS_TYPES = ["dapo", "grpo", "bnpo", "dr_grpo", "cispo", "sapo", "vespo", "luspo"]


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_shares_are_the_quotas_whatever_lengths_and_shortfall(lab, loss_type):
    level = "sequence" if loss_type == "luspo" else "token"
    trainer, _ = measured(lab, True, loss_type=loss_type, importance_sampling_level=level)
    assert trainer.mixer.report.shortfall > 0, "no shortfall was tested"
    figures, wanted = logged(trainer), wanted_shares(trainer)
    assert figures["sampler/loss_shares_limited"] == 0
    assert trainer.measured_shares() == pytest.approx(wanted, abs=1e-4)
    for name, share in wanted.items():
        assert figures[f"task/{name}/loss_share"] == pytest.approx(share)
    off = max(
        abs(figures[f"task/{name}/loss_share_unscaled"] - share) for name, share in wanted.items()
    )
    assert off > 0.05, "nothing had to be mended"


@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "bnpo"])
def test_switched_off_the_shares_are_measured(lab, loss_type):
    trainer, _ = measured(lab, False, loss_type=loss_type)
    figures = logged(trainer)
    for name, share in trainer.measured_shares().items():
        assert figures[f"task/{name}/loss_share"] == pytest.approx(share, abs=1e-4)
    assert "sampler/loss_shares_limited" not in figures
    assert all(LOSS_FACTORS not in part for part in trainer.parts)


@pytest.mark.parametrize("shortfall", ["surplus", "smaller"])
@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "bnpo"])
@pytest.mark.parametrize("schedule", [ONE_UPDATE, TWO_UPDATES], ids=["one-update", "two-updates"])
def test_the_gradient_is_the_weighted_mean_of_the_tasks_own(lab, loss_type, schedule, shortfall):
    """`smaller` leaves places that rows without a gradient fill."""
    updates = {"max_steps": 2} if schedule is TWO_UPDATES else {}
    trainer, found = measured(lab, True, shortfall, loss_type=loss_type, **schedule, **updates)
    _, plain = measured(lab, False, shortfall, loss_type=loss_type, **schedule, **updates)
    own, figures = own_gradients(lab, trainer, loss_type), logged(trainer)
    before = {name: figures[f"task/{name}/loss_share_unscaled"] for name in trainer.tasks.names}
    scales = []
    for gradient, shares in ((found, wanted_shares(trainer)), (plain, before)):
        mean = sum(share * own[name] for name, share in shares.items() if share)
        scales.append(float(gradient @ mean / (mean @ mean)))
        assert torch.allclose(gradient, scales[-1] * mean, atol=2e-4 * float(gradient.abs().max()))
    assert scales[0] == pytest.approx(scales[1], rel=1e-3), "the total changed, not only the shares"


def log_probs(model, part):
    ids = torch.cat([part["prompt_ids"], part["completion_ids"]], 1)
    mask = torch.cat([part["prompt_mask"], part["completion_mask"]], 1)
    logits = model(input_ids=ids, attention_mask=mask).logits[
        :, -part["completion_ids"].size(1) - 1 : -1
    ]
    return logits.log_softmax(-1).gather(-1, part["completion_ids"].unsqueeze(-1)).squeeze(-1)


def own_gradients(lab, trainer, loss_type) -> dict[str, torch.Tensor]:
    """By hand: of each task's loss as if it were alone, normalised by its own tokens or completions."""
    model = lab.model().eval()
    losses, masses = defaultdict(float), defaultdict(float)
    for part in trainer.parts:
        values = log_probs(model, part)
        tokens = part["completion_mask"].sum()
        for i, number in enumerate(part[TASK_NUMBERS].tolist()):
            if number < 0:
                continue
            kept = part["completion_mask"][i].bool()
            mass = {"grpo": 1.0, "bnpo": float(kept.sum() / tokens)}.get(
                loss_type, float(kept.sum())
            )
            name = trainer.tasks.names[number]
            losses[name] = losses[name] - part["advantages"][i] * values[i][kept].mean() * mass
            masses[name] += mass
    gradients = {}
    for name, loss in losses.items():
        model.zero_grad()
        (loss / masses[name]).backward(retain_graph=True)
        gradients[name] = torch.cat([p.grad.flatten() for p in model.parameters()])
    return gradients


def test_without_quotas_the_shares_are_the_weights(lab):
    """Task-blind filling (DAPO) keeps no shares of groups; the loss can have them all the same."""
    sampler = RatioPreservingSampler(keep_shares=False, max_resamples=0)
    arguments = {"weighting": Fixed(WEIGHTS), "sampler": sampler, "loss_shares": True}
    trainer = lab.trainer(uneven_tasks(), Measured, arguments, max_steps=1)
    trainer.parts = []
    trainer.train()
    realized = trainer.mixer.report.realized
    present = {name: weight for name, weight in WEIGHTS.items() if realized.get(name)}
    wanted = {name: present.get(name, 0) / sum(present.values()) for name in trainer.tasks.names}
    assert len(present) > 1
    assert trainer.measured_shares() == pytest.approx(wanted, abs=1e-4)


def test_groups_without_a_gradient_do_not_count(lab):
    """Plain GRPO trains on every group, and the shares are those of the groups that move something.

    A task of which no group moves anything has no share: those of the others are scaled up.
    """
    sampler = RatioPreservingSampler(group_filter="none")
    arguments = {"weighting": Fixed(WEIGHTS), "sampler": sampler, "loss_shares": True}
    trainer = lab.trainer(uneven_tasks(), Measured, arguments, max_steps=1)
    trainer.parts = []
    trainer.train()
    report, wanted = trainer.mixer.report, moving_shares(trainer)
    assert sum(share > 0 for share in wanted.values()) > 1, "no share was tested"
    assert any(0 < report.num_informative[n] < report.realized[n] for n in wanted), (
        "no group without a gradient"
    )
    assert trainer.measured_shares() == pytest.approx(wanted, abs=1e-4)
    counting_all = shares_counting_all_groups(trainer)
    assert max(abs(counting_all[n] - share) for n, share in wanted.items()) > 0.05, (
        "counting all would do as well"
    )


def moving_shares(trainer) -> dict[str, float]:
    """The weights of the tasks with informative groups, as shares of their sum."""
    moving = {
        name: WEIGHTS[name] for name in WEIGHTS if trainer.mixer.report.num_informative.get(name)
    }
    return {name: moving.get(name, 0) / sum(moving.values()) for name in trainer.tasks.names}


def shares_counting_all_groups(trainer) -> dict[str, float]:
    """What the shares would be, were the factors computed from the tokens of all groups."""
    tokens = torch.zeros(2, len(trainer.tasks.names))
    for part in trainer.parts:
        for number, advantage, mask in zip(
            part[TASK_NUMBERS], part["advantages"], part["completion_mask"], strict=True
        ):
            tokens[:, number] += mask.sum() * torch.tensor([1.0, float(advantage != 0)])
    factors = torch.tensor([WEIGHTS[name] for name in trainer.tasks.names]) / tokens[0]
    return dict(
        zip(
            trainer.tasks.names,
            (factors * tokens[1] / (factors * tokens[1]).sum()).tolist(),
            strict=True,
        )
    )


def test_bitwise_the_same_when_nothing_has_to_be_mended(lab):
    """Quotas met and completions counted: all factors are exactly 1."""

    def run(loss_shares):
        tasks = TaskSet(*(make_tasks()[name] for name in ("easy", "medium")))
        arguments = {
            "weighting": Fixed({"easy": 0.375, "medium": 0.625}),
            "loss_shares": loss_shares,
        }
        trainer = lab.trainer(tasks, arguments=arguments, loss_type="grpo")
        trainer.train()
        assert all(entry["sampler/shares_met"] for entry in history(trainer))
        return trainer

    assert same_parameters(run(True), run(False))


def test_measured_improvements_stay_those_of_the_unscaled_loss(lab):
    seen = []
    weighting = ImprovementAware(improvement="surrogate", improvement_clip=5.0)
    arguments = {"weighting": weighting, "callbacks": [Snapshots(seen)], "loss_shares": True}
    trainer = lab.trainer(make_tasks(), Watched, arguments, max_steps=1)
    trainer.seen, trainer.told = seen, []
    trainer.train()
    factors = torch.cat([inputs[LOSS_FACTORS] for inputs in seen[0]["inputs"]])
    assert len(set(factors.tolist())) > 1
    wanted = by_hand(lab, seen[0], "mean", 0.2, 0.2, "token")
    assert trainer.told[0][0] == pytest.approx(wanted, abs=2e-5)


def test_resumed_inside_a_generation_batch(lab):
    def build():
        saving = {"save_strategy": "steps", "save_steps": 1, "max_steps": 4, "learning_rate": 1e-2}
        arguments = {"weighting": Fixed(WEIGHTS), "loss_shares": True}
        trainer = lab.trainer(uneven_tasks(), Measured, arguments, **TWO_UPDATES, **saving)
        trainer.parts = []
        return trainer

    whole, resumed = build(), build()
    whole.train()
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-1")
    assert same_parameters(whole, resumed)
    assert history(whole, after=1) == history(resumed, after=1)


def batch(advantage: float = 1.0) -> list[dict[str, torch.Tensor]]:
    """Two forward passes: tasks 0, 0, 1 with 1, 2, 3 tokens, and a row that fills up."""
    mask = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1]])
    part = {
        "completion_mask": mask,
        "advantages": torch.full((4,), advantage),
        TASK_NUMBERS: torch.tensor([0, 0, 1, -1]),
        LOSS_FACTORS: torch.tensor([1.0, 1.0, 1.0, 0.0]),
    }
    return [dict(part), dict(part)]


def test_factors_without_a_model():
    """3 tokens of each task: as many as the quotas want of the one, half of those of the other."""
    shares = TaskLossShares(("a", "b"), "dapo", exact=True)
    parts = batch()
    figures = shares.settle(parts, {"a": 1, "b": 3}, Processes(2))
    assert figures["task/a/loss_share"] == pytest.approx(0.25)
    assert figures["task/a/loss_share_unscaled"] == pytest.approx(0.5)
    assert figures["sampler/loss_shares_limited"] == 0
    for part in parts:
        assert part[LOSS_FACTORS].tolist() == pytest.approx([0.5, 0.5, 1.5, 0.0])
        scaled = shares.scaled(part)
        assert scaled["advantages"].tolist() == pytest.approx([0.5, 0.5, 1.5, 0.0])
        assert part["advantages"].tolist() == [1, 1, 1, 1], "the buffered batch was changed"


def test_measured_alone_no_factors_are_left():
    shares = TaskLossShares(("a", "b"), "grpo", exact=False)
    parts = batch()
    figures = shares.settle(parts, {"a": 1, "b": 1}, Processes())
    assert figures == pytest.approx({"task/a/loss_share": 2 / 3, "task/b/loss_share": 1 / 3})
    for part in parts:
        assert LOSS_FACTORS not in part
        assert shares.scaled(part) is part


def test_factors_reach_advantages_of_tokens():
    shares = TaskLossShares(("a",), "dapo", exact=True)
    inputs = {"advantages": torch.ones(2, 3), LOSS_FACTORS: torch.tensor([0.5, 2.0])}
    assert shares.scaled(inputs)["advantages"].tolist() == [[0.5] * 3, [2.0] * 3]


def test_logged_rarely_the_figures_are_means_over_all_steps(lab):
    """Of a task that one step leaves out, the share of that step is 0 and no gap."""
    weights = {"short": 0.05, "middle": 0.15, "long": 0.8}

    def logs(**changes):
        arguments = {"weighting": Fixed(weights)}
        settings = {"max_steps": 4, "per_device_train_batch_size": 16, **changes}
        trainer = lab.trainer(uneven_tasks(), Measured, arguments, **settings)
        trainer.parts = []
        trainer.train()
        return history(trainer)

    each, (together,) = logs(), logs(logging_steps=4)
    names = [f"task/{name}/loss_share" for name in weights]
    for name in [*names, "sampler/padded", "sampler/discarded"]:
        values = [entry[name] for entry in each]
        assert together[name] == pytest.approx(sum(values) / 4), name
    assert any(entry[name] == 0 for entry in each for name in names), "no task was left out"
