"""Banked groups under TRL: trained on with the log-probabilities they were generated with, and saved."""

from pathlib import Path

import pytest
import torch

from mtgrpo import Fixed, RatioPreservingSampler
from mtgrpo.core.planners import OversampledRounds
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.integrations.trl.old_log_probs import OLD
from mtgrpo.integrations.trl.rollouts import (
    RecordedRow,
    token_ids,
)
from mtgrpo.tasks import TaskSet

from .conftest import around, history, same_parameters
from .test_vllm import use_stand_in
from .toy import make_tasks

TWO_UPDATES = {
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 2,
    "steps_per_generation": 4,
}
FOUR_PASSES = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 4}
KL = {"per_device_train_batch_size": 16, "num_iterations": 2, "beta": 0.05}


def banking(max_staleness: int = 2) -> RatioPreservingSampler:
    """A sampler with more surplus than a step needs."""
    return RatioPreservingSampler(
        max_staleness=max_staleness, planner=OversampledRounds(oversampling=1.5, max_inflation=1)
    )


def two_tasks() -> TaskSet:
    tasks = make_tasks()
    return TaskSet(tasks["easy"], tasks["medium"])


class Watched(MultiTaskGRPOTrainer):
    """Keeps what was recorded of groups, what was replayed, and what the loss worked with."""

    def __init__(self, *args, **kwargs):
        self.uids, self.born, self.replays, self.losses = [], {}, [], []
        super().__init__(*args, **kwargs)
        around(self.banked, "record_surplus", self._record_surplus)
        around(self.engine, "replay", self._replay)
        around(self.engine, "roll_out", self._roll_out)

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        tokens, *rest = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        if self.use_vllm:
            return (tokens, *rest)
        return (
            [ids[: 3 + i % 4] for i, ids in enumerate(tokens)],
            *rest,
        )  # lengths differ, so rows are padded

    def _roll_out(self, roll_out, plan, first_uid, *others):
        rolled_out = roll_out(plan, first_uid, *others)
        self.uids += [group.uid for group in rolled_out.groups]
        return rolled_out

    def _record_surplus(self, record_surplus, batch, log_probs):
        record_surplus(batch, log_probs)
        for group in batch.surplus:
            self.born[group.uid] = [row.old_log_probs for row in group.payload]

    def _replay(self, replay, rows):
        output = replay(rows)
        size, batch = self.schedule.group_size, self.mixer.batch
        uids = [group.uid for group in sorted(batch.groups, key=lambda group: group.uid)]
        banked = {group.uid for group in batch.banked}
        self.replays.append(
            {
                "places": [(uid, place) for uid in uids for place in range(size)],
                "banked": [uid in banked for uid in uids for _ in range(size)],
                "rows": list(rows),
                # Under the policy as it is when the batch is put together.
                "now": self.engine.log_probs(rows),
                "output": dict(output),
            }
        )
        return output

    def _get_per_token_logps_and_entropies(self, *args, **kwargs):
        found = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        loss_inputs = self.banked._loss_inputs
        if loss_inputs is not None:
            self.losses[-1] |= {"filled": loss_inputs[OLD], "log_probs": found[0].detach()}
        return found

    def compute_loss(self, model, inputs, *args, **kwargs):
        self.losses.append(dict(inputs))
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        self.losses[-1]["loss"] = loss.item()
        return loss


class Forgetful(Watched):
    """Takes banked rows for rows of the current policy."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        forgotten = RecordedRow({}, (), ())
        around(self.banked, "recorded", lambda recorded, rows: recorded([forgotten] * len(rows)))


def build(lab, cls=Watched, sampler=None, weighting=None, **changes):
    weighting = weighting or Fixed({"easy": 0.5, "medium": 0.5})
    arguments = {"sampler": sampler or banking(), "weighting": weighting}
    return lab.trainer(two_tasks(), cls, arguments, **{"max_steps": 6, **changes})


def trained(*args, **kwargs):
    trainer = build(*args, **kwargs)
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    "changes", [{}, FOUR_PASSES, TWO_UPDATES, KL], ids=["one", "four-passes", "updates", "kl"]
)
def test_banked_rows_are_trained_on_with_the_log_probabilities_of_their_birth(lab, changes):
    trainer = trained(lab, **changes)
    by_trl = (
        trainer.schedule.cycle > trainer.schedule.accumulation
    )  # which computes them for several updates alone
    num_banked = 0
    for replay in trainer.replays:
        old = replay["output"].get(OLD)
        assert (old is not None) == (by_trl or any(replay["banked"]))
        for i, (uid, place) in enumerate(replay["places"]):
            row, now, length = (
                replay["rows"][i],
                replay["now"][i],
                len(token_ids(replay["rows"][i])[1]),
            )
            assert (row.old_log_probs is not None) == replay["banked"][i]
            if replay["banked"][i]:
                num_banked += 1
                assert torch.equal(old[i, :length], trainer.born[uid][place])
                assert (old[i, length:] == 0).all()
                assert (old[i, :length] - now).abs().max() > 1e-3, "the policy has not moved"
            elif by_trl:
                assert torch.allclose(old[i, :length], now, atol=1e-5)
            elif old is not None:
                assert old[i].isnan().all()
    assert num_banked > 20
    entries = [entry for entry in history(trainer) if "sampler/groups_banked" in entry]
    assert (
        sum(e["sampler/groups_banked"] for e in entries) * trainer.schedule.group_size == num_banked
    )
    assert all(entry["sampler/shares_met"] == 1 for entry in entries)


def test_the_ratio_is_one_for_fresh_rows_and_that_of_the_two_policies_for_banked_ones(lab):
    trainer = trained(lab, loss_type="bnpo", **FOUR_PASSES)
    mixed = [part for part in trainer.losses if OLD in part]
    assert mixed
    for part in mixed:
        fresh = part[OLD].isnan().all(1)
        ratio = (part["log_probs"] - part["filled"]).exp()
        assert (ratio[fresh] == 1).all()
        assert torch.equal(part["filled"][~fresh], part[OLD][~fresh])
        mask, advantages = part["completion_mask"], part["advantages"][:, None]
        gain = torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)
        loss = -(gain * mask).sum() / mask.sum() / trainer.schedule.accumulation
        assert part["loss"] == pytest.approx(loss.item(), abs=1e-6)
    ratios = torch.cat(
        [(p["log_probs"] - p["filled"]).exp()[p["completion_mask"] > 0] for p in mixed]
    )
    assert (ratios - 1).abs().max() > 0.05


@pytest.mark.parametrize("changes", [FOUR_PASSES, TWO_UPDATES], ids=["four-passes", "updates"])
def test_a_policy_that_stands_still_is_the_one_that_generated(lab, changes):
    kept, forgotten = (
        trained(lab, cls, learning_rate=0.0, **changes) for cls in (Watched, Forgetful)
    )
    assert sum(entry.get("sampler/groups_banked", 0) for entry in history(kept)) > 5
    for part in kept.losses:
        if OLD in part:
            difference = (part["log_probs"] - part["filled"]) * part["completion_mask"]
            assert difference.abs().max() < 2e-6
    for mine, theirs in zip(kept.losses, forgotten.losses, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], abs=1e-6)


def test_without_them_training_would_be_another(lab):
    kept, forgotten = (trained(lab, cls, **FOUR_PASSES) for cls in (Watched, Forgetful))
    assert not same_parameters(kept, forgotten)


def test_nothing_is_kept_without_a_bank(lab):
    saving = {"save_strategy": "steps", "save_steps": 1}
    trainer = trained(lab, sampler=banking(0), max_steps=3, **saving, **FOUR_PASSES)
    assert all(OLD not in replay["output"] for replay in trainer.replays)
    assert all(row is None for rows in trainer.born.values() for row in rows)
    assert sum(entry["sampler/surplus"] for entry in history(trainer)) > 0
    checkpoint = Path(trainer.args.output_dir, "checkpoint-3")
    assert not list(checkpoint.glob("bank_*"))
    assert "bank_owners" not in (checkpoint / "mixer.json").read_text()


def test_numbers_of_groups_are_unique_in_a_run(lab):
    trainer = build(lab, max_steps=4)
    trainer.train()
    assert trainer.uids == list(range(trainer.num_rollouts // 4))


def test_with_vllm_the_sampler_is_compared_with_the_policy_it_sampled_from(lab, monkeypatch):
    use_stand_in(monkeypatch)
    trainer = trained(lab, use_vllm=True, max_steps=4)
    banked = 0
    for replay in trainer.replays:
        output = replay["output"]
        for i, is_banked in enumerate(replay["banked"]):
            length = len(replay["now"][i])
            banked += is_banked
            assert (output[OLD][i, :length] - replay["now"][i]).abs().max() < 1e-4 or is_banked
            assert (output[OLD] - output["sampling_per_token_logps"])[i, :length].abs().max() < 1e-4
        assert torch.allclose(output["importance_sampling_ratio"], torch.ones(()), atol=1e-3)
    assert banked > 20
