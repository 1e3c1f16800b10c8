"""Rows without a gradient are left out of the loss's passes; gradient and loss are those with them."""

import pytest
import torch
from transformers import TrainerCallback

from mtgrpo import ImprovementAware, RatioPreservingSampler
from mtgrpo.core.planners import OversampledRounds
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.integrations.trl.packing import FIGURE, RowPacking, counts, is_empty, no_loss
from mtgrpo.integrations.trl.schedule import Schedule

from .conftest import around, history, same_parameters, uniform
from .engine import Processes
from .toy import hopeless_tasks, make_tasks

LOSS_TYPES = ["dapo", "grpo", "bnpo", "dr_grpo", "cispo", "sapo", "vespo", "luspo"]
FOUR_PASSES = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 4}
SCHEDULES = {
    "one-pass": {},
    "four-passes": FOUR_PASSES,
    "two-updates": {
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 2,
        "steps_per_generation": 4,
        "num_iterations": 2,
        "max_steps": 4,
    },
    "two-batches-per-update": {
        "per_device_train_batch_size": 32,
        "steps_per_generation": 1,
        "gradient_accumulation_steps": 2,
        "max_steps": 2,
    },
    "updates-across-batches": {
        "per_device_train_batch_size": 8,
        "steps_per_generation": 4,
        "gradient_accumulation_steps": 6,
        "max_steps": 2,
    },
}


class Gradients(TrainerCallback):
    """The gradient of each update."""

    def __init__(self):
        self.each = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.each.append(torch.cat([p.grad.flatten() for p in model.parameters()]).double())


def trained(lab, skip: bool, *, more=None, **changes):
    """A run without a filter, most groups of which are constant; and what its passes did."""
    gradients = Gradients()
    arguments = {**uniform(), "callbacks": [gradients], "skip_zero_advantages": skip}
    arguments |= more or {}
    settings = {"max_grad_norm": 1e9, "max_steps": 1, "optim": "sgd", "learning_rate": 0.1}
    trainer = lab.trainer(arguments=arguments, **{**settings, **changes})
    passes = []

    def count(method, model, input_ids, *args, **kwargs):
        if torch.is_grad_enabled() and model.training:
            passes.append(len(input_ids))
        return method(model, input_ids, *args, **kwargs)

    around(trainer, "_get_per_token_logps_and_entropies", count)
    trainer.train()
    return trainer, gradients.each, passes


def assert_equal(lab, loss_type="dapo", **changes):
    level = "sequence" if loss_type == "luspo" else "token"
    changes = {"loss_type": loss_type, "importance_sampling_level": level, **changes}
    ours, gradients, packed = trained(lab, True, **changes)
    all_rows, wanted, whole = trained(lab, False, **changes)
    assert len(gradients) == len(wanted) > 0
    for gradient, other in zip(gradients, wanted, strict=True):
        assert float((gradient - other).norm()) <= 1e-6 * float(other.norm())
    for p, q in zip(ours.model.parameters(), all_rows.model.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=1e-6, atol=1e-7)
    losses = [[entry["loss"] for entry in history(t)] for t in (ours, all_rows)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    return ours, packed, whole


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_the_gradient_is_that_of_all_rows(lab, loss_type):
    ours, packed, whole = assert_equal(lab, loss_type, **FOUR_PASSES)
    left_out = sum(entry[FIGURE] for entry in history(ours))
    assert sum(whole) - sum(packed) == left_out > 8
    assert len(packed) < len(whole)


@pytest.mark.parametrize("loss_type", ["dapo", "bnpo"])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_however_batches_and_updates_meet(lab, schedule, loss_type):
    _, packed, whole = assert_equal(lab, loss_type, **schedule)
    assert sum(packed) < sum(whole)


def test_groups_that_fill_up_cost_nothing_and_shares_stay_exact(lab):
    """Half of the tasks' groups are constant, and the batch is filled up with them."""

    def share_figures(skip):
        sampler = RatioPreservingSampler(max_resamples=1)
        arguments = {"loss_shares": True, "skip_zero_advantages": skip, "sampler": sampler}
        settings = {"max_steps": 2, "optim": "sgd", "loss_type": "grpo", **FOUR_PASSES}
        trainer = lab.trainer(hopeless_tasks(), arguments=arguments, **settings)
        trainer.train()
        return trainer, [
            {name: value for name, value in entry.items() if "loss_share" in name}
            for entry in history(trainer)
        ]

    (ours, figures), (all_rows, wanted) = share_figures(True), share_figures(False)
    assert any(entry[FIGURE] > 0 for entry in history(ours))
    assert any(entry["sampler/padded"] > 0 for entry in history(ours))
    for mine, theirs in zip(figures, wanted, strict=True):
        assert mine == pytest.approx(theirs, abs=1e-6)
    for p, q in zip(ours.model.parameters(), all_rows.model.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=1e-5, atol=1e-6)


def test_resuming_between_two_updates_of_a_packed_batch_is_exact(lab):
    def build():
        changes = {**SCHEDULES["two-updates"], "save_strategy": "steps", "save_steps": 1}
        return lab.trainer(arguments=uniform(), **changes)

    whole, resumed = build(), build()
    whole.train()
    assert any(entry.get(FIGURE, 0) > 0 for entry in history(whole))
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-1")
    assert same_parameters(whole, resumed)


def test_with_prompts_computed_once(lab):
    more = {"share_prompts": True}
    _, packed, whole = assert_equal(lab, more=more, **FOUR_PASSES)
    assert sum(packed) < sum(whole)


def test_with_groups_of_earlier_steps(lab):
    """Rows of the bank bring log-probabilities of their own; fresh ones beside them are marked."""
    planner = OversampledRounds(oversampling=1.5, max_inflation=1)
    sampler = RatioPreservingSampler(max_staleness=2, planner=planner)
    more = {"sampler": sampler}
    ours, _, _ = trained(lab, True, more=more, max_steps=3, **FOUR_PASSES)
    all_rows, _, _ = trained(lab, False, more=more, max_steps=3, **FOUR_PASSES)
    assert sum(entry["sampler/groups_banked"] for entry in history(ours)) > 0
    assert sum(entry[FIGURE] for entry in history(ours)) > 0
    for p, q in zip(ours.model.parameters(), all_rows.model.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=1e-5, atol=1e-6)


# ---- stepping aside ----------------------------------------------------------------------------
class OtherLoss(MultiTaskGRPOTrainer):
    def _compute_loss(self, model, inputs):
        return super()._compute_loss(model, inputs) * 2


@pytest.mark.parametrize(
    ("reason", "cls", "changes"),
    [
        ("beta is not 0", MultiTaskGRPOTrainer, {"beta": 0.05}),
        ("top_entropy_quantile", MultiTaskGRPOTrainer, {"top_entropy_quantile": 0.5}),
        ("a subclass computes the loss", OtherLoss, {}),
    ],
)
def test_it_steps_aside_where_all_rows_count(lab, caplog, reason, cls, changes):
    with caplog.at_level("INFO", logger="mtgrpo"):
        trainer = lab.trainer(cls=cls, arguments=uniform(), **changes)
    assert not trainer.packing.on
    assert reason in caplog.text


def test_it_steps_aside_for_dropout_and_measured_improvements(lab):
    model = lab.model()
    model.config.attention_dropout = 0.1
    made = MultiTaskGRPOTrainer(
        model, tasks=make_tasks(), args=lab.config(), processing_class=lab.tokenizer()
    )
    assert not made.packing.on
    weighting = ImprovementAware(improvement="surrogate")
    assert not lab.trainer(arguments={"weighting": weighting}).packing.on
    assert lab.trainer().packing.on


# ---- without a model ---------------------------------------------------------------------------
def part(advantages, tokens=None):
    """Inputs of a pass whose rows have these advantages and numbers of tokens."""
    values = torch.tensor(advantages)
    lengths = torch.tensor(tokens if tokens is not None else [2] * len(values))
    mask = (torch.arange(4) < lengths.unsqueeze(1)).long()
    return {
        "advantages": values,
        "completion_mask": mask,
        "num_items_in_batch": torch.tensor(9.0),
        "ref_per_token_logps": None,
        "names": [f"{value:g}" for value in advantages],
    }


def packing(loss_type="dapo", slices=2, accumulation=2) -> RowPacking:
    cycle = slices
    made = RowPacking(loss_type, Schedule(4, 2, 2, accumulation, slices, cycle))
    made.on = True
    return made


def test_rows_are_packed_into_the_last_passes_in_order():
    parts = [part([0.0, 1.0, 0.0, 2.0]), part([3.0, 0.0, 0.0, 0.0])]
    first, second = parts
    assert packing().pack(parts, Processes()) == {FIGURE: 5.0}
    assert parts[0] is first
    assert is_empty(first)
    assert second["advantages"].tolist() == [1.0, 2.0, 3.0]
    assert second["names"] == ["1", "2", "3"]
    assert second["num_items_in_batch"] == 9.0
    assert second["ref_per_token_logps"] is None


@pytest.mark.parametrize(
    ("loss_type", "factors"),
    [("grpo", [3 / 4] * 3), ("bnpo", [7 / 11, 7 / 11, 7 / 6]), ("dapo", [1.0] * 3)],
)
def test_each_row_weighs_what_it_weighed(loss_type, factors):
    parts = [part([0.0, 1.0, 0.0, 2.0], [3, 2, 4, 2]), part([3.0, 0.0, 0.0, 0.0], [3, 1, 1, 1])]
    packing(loss_type).pack(parts, Processes())
    wanted = [f * a for f, a in zip(factors, [1.0, 2.0, 3.0], strict=True)]
    assert parts[1]["advantages"].tolist() == pytest.approx(wanted)


def test_updates_are_kept_apart():
    parts = [part([0.0, 1.0]), part([0.0, 0.0]), part([2.0, 0.0]), part([0.0, 3.0])]
    packing(slices=4, accumulation=2).pack(parts, Processes())
    assert [p["advantages"].tolist() for p in parts] == [[], [1.0], [], [2.0, 3.0]]

    parts = [part([0.0, 1.0]), part([0.0, 2.0]), part([0.0, 3.0])]
    packing(slices=3, accumulation=2).pack(parts, Processes())  # an update ends between any two
    assert [p["advantages"].tolist() for p in parts] == [[1.0], [2.0], [3.0]]


def test_nothing_is_touched_where_every_row_counts():
    parts = [part([1.0, 2.0]), part([3.0, 4.0])]
    before = [dict(p) for p in parts]
    assert packing("bnpo").pack(parts, Processes()) == {FIGURE: 0.0}
    assert all(p[k] is b[k] for p, b in zip(parts, before, strict=True) for k in p)


def test_one_row_stays_where_none_counts_so_that_the_optimizer_moves_as_before():
    parts = [part([0.0, 0.0]), part([0.0, 0.0])]
    packing().pack(parts, Processes())
    assert [p["advantages"].tolist() for p in parts] == [[], [0.0]]


def test_all_processes_have_the_rows_that_one_needs():
    class Beside(Processes):
        def gather(self, own):  # the other process needs three rows
            return torch.cat([own, torch.tensor([3])])

    parts = [part([0.0, 1.0]), part([0.0, 0.0])]
    assert packing().pack(parts, Beside(2)) == {FIGURE: 2.0}
    assert [p["advantages"].tolist() for p in parts] == [[0.0, 1.0], [0.0]]


def test_rows_count_by_advantage_and_by_tokens():
    assert counts(part([1.0, 0.0, -1.0], [2, 2, 0])).tolist() == [True, False, False]
    by_token = part([1.0, 1.0]) | {"advantages": torch.tensor([[0.0] * 4, [0.0, 2.0, 0.0, 0.0]])}
    assert counts(by_token).tolist() == [False, True]
    with_tools = part([1.0, 1.0]) | {"tool_mask": torch.tensor([[0] * 4, [0, 1, 0, 0]])}
    assert counts(with_tools).tolist() == [False, True]


def test_a_pass_without_rows_has_a_loss_of_nothing():
    loss = no_loss(torch.device("cpu"))
    (loss / 4).backward()
    assert loss.item() == 0.0
