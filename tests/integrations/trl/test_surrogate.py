"""I_k against a computation by hand: plain logits of a plain model, with the parameters before and after the update."""

import copy
import math

import pytest
import torch
from transformers import TrainerCallback

from mtgrpo import ImprovementAware
from mtgrpo.errors import StateError
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.integrations.trl.rollouts import TASK_NUMBERS
from mtgrpo.integrations.trl.surrogate import SurrogateMeter

from .conftest import around, same_parameters
from .toy import hopeless_tasks, make_tasks


class Watched(MultiTaskGRPOTrainer):
    """Keeps the inputs of each loss, and the improvements given to the mixer."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        around(self.step, "close", self._close)

    def compute_loss(self, model, inputs, *args, **kwargs):
        self.seen[-1]["inputs"].append(
            {k: v.clone() for k, v in inputs.items() if isinstance(v, torch.Tensor)}
        )
        return super().compute_loss(model, inputs, *args, **kwargs)

    def _close(self, close):
        self.told.append(copy.deepcopy(self.step.improvements))
        close()


class Snapshots(TrainerCallback):
    def __init__(self, seen):
        self.seen = seen

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        self.seen.append({"inputs": [], "before": copy.deepcopy(model.state_dict())})

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.seen[-1]["after"] = copy.deepcopy(model.state_dict())


def log_probs(model, weights, inputs):
    model.load_state_dict(weights, strict=False)
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
    mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
    size = inputs["completion_ids"].size(1)
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask).logits[:, -size - 1 : -1]
    return logits.log_softmax(-1).gather(-1, inputs["completion_ids"].unsqueeze(-1)).squeeze(-1)


def by_hand(lab, update, form, low, high, level, names=("easy", "medium", "hard")):
    model = lab.model().eval()
    gains: dict[str, list[float]] = {}
    for inputs in update["inputs"]:
        before, after = (log_probs(model, update[when], inputs) for when in ("before", "after"))
        old = inputs.get("old_per_token_logps", before)
        for row, number in enumerate(inputs[TASK_NUMBERS].tolist()):
            kept = inputs["completion_mask"][row].bool()
            values = []
            for now in (before, after):
                ratio = (now[row] - old[row])[kept]
                ratio = (ratio.mean().expand_as(ratio) if level == "sequence" else ratio).exp()
                a = inputs["advantages"][row]
                values.append(torch.min(ratio * a, ratio.clamp(1 - low, 1 + high) * a).mean())
            if number >= 0:
                gains.setdefault(names[number], []).append(float(values[1] - values[0]))
    return {name: sum(v) / (len(v) if form == "mean" else 1) for name, v in gains.items()}


@pytest.mark.parametrize("form", ["mean", "sum"])
@pytest.mark.parametrize(
    ("level", "changes"),
    [
        ("token", {"per_device_train_batch_size": 16, "gradient_accumulation_steps": 2}),
        (
            "token",
            {
                "per_device_train_batch_size": 8,
                "gradient_accumulation_steps": 2,
                "steps_per_generation": 4,
            },
        ),
        ("sequence", {"num_iterations": 2}),
    ],
    ids=["one-update", "two-updates", "reuse"],
)
def test_equals_computation_by_hand(lab, form, level, changes):
    seen = []
    weighting = ImprovementAware(improvement="surrogate", improvement_clip=5.0)
    arguments = {"weighting": weighting, "surrogate": form, "callbacks": [Snapshots(seen)]}
    config = {
        "epsilon": 0.1,
        "epsilon_high": 0.14,
        "importance_sampling_level": level,
        "max_steps": 4,
    }
    trainer = lab.trainer(make_tasks(), Watched, arguments, **config, **changes)
    trainer.seen, trainer.told = seen, []
    trainer.train()
    told = [update for step in trainer.told for update in step]
    assert len(told) == len(seen) == 4
    assert {len(step) for step in trainer.told} == {trainer.schedule.updates}
    largest = 0.0
    for update, found in zip(seen, told, strict=True):
        wanted = by_hand(lab, update, form, 0.1, 0.14, level)
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            assert found[name] == pytest.approx(value, abs=2e-5)
            largest = max(largest, abs(value))
    assert largest > 1e-3, "nothing was measured"


def test_measuring_changes_nothing_else(lab):
    def run(weighting):
        # Where I_k is measured all rows stay in; so they do here.
        arguments = {"weighting": weighting, "skip_zero_advantages": False}
        trainer = lab.trainer(arguments=arguments, max_steps=3)
        trainer.train()
        return trainer

    # weight_lr is tiny: both have the same quotas, and one of them measures
    plain = run(ImprovementAware(weight_lr=1e-12))
    measured = run(ImprovementAware(weight_lr=1e-12, improvement="surrogate"))
    assert not plain.meter.on
    assert same_parameters(plain, measured)


def test_filled_up_rows_are_left_out(lab):
    weighting = ImprovementAware(improvement="surrogate")
    trainer = lab.trainer(hopeless_tasks(), Watched, {"weighting": weighting}, max_steps=1)
    trainer.seen, trainer.told = [{"inputs": []}], []
    trainer.train()
    assert trainer.told == [[{}]]


def test_a_loss_without_log_probs_is_an_error():
    meter = SurrogateMeter(["a"], "mean", 0.2, 0.2)
    with pytest.raises(StateError, match="no log-probabilities"):
        meter.measure(lambda *a, **k: torch.zeros(1), lambda t: t)


def test_switched_off_nothing_is_kept():
    meter = SurrogateMeter(["a"], "mean", 0.2, 0.2, on=False)
    with meter.recording({"advantages": torch.ones(1)}):
        meter.record((), {}, torch.zeros(1, 2))
    assert meter.measure(lambda: None, lambda sums: sums) == {}


def test_the_change_of_the_surrogate_by_hand():
    """Two sequences of `a`, one of `b`, one that fills up; half of the tokens are padding."""
    meter = SurrogateMeter(["a", "b"], "mean", 0.2, 0.2)
    inputs = {
        "completion_mask": torch.tensor([[1, 1], [1, 0], [1, 1], [1, 1]]),
        "advantages": torch.tensor([1.0, -2.0, 1.0, 5.0]),
        TASK_NUMBERS: torch.tensor([0, 0, 1, -1]),
    }
    before = torch.zeros(4, 2)
    after = torch.tensor([[0.1, 0.5], [0.1, 9.0], [-0.1, -0.1], [1.0, 1.0]])
    asked = []

    def forward(*args, **kwargs):
        asked.append((args, kwargs))
        return after, None

    with meter.recording(inputs):
        meter.record(("model", "ids"), {"compute_entropy": True, "batch_size": 4}, before)
    meter.record(("model",), {}, before)  # at another time
    found = meter.measure(forward, lambda sums, reduction: sums)
    assert asked == [(("model", "ids"), {"compute_entropy": False, "batch_size": 4})]
    e = math.exp
    assert found["a"] == pytest.approx(((e(0.1) + 1.2) / 2 - 1 + -2 * (e(0.1) - 1)) / 2)
    assert found["b"] == pytest.approx(e(-0.1) - 1)
    with pytest.raises(StateError, match="no log-probabilities"):
        meter.measure(forward, lambda sums, reduction: sums)
