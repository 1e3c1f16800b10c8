"""Banked groups under TRL: trained on with the log-probabilities they were generated with, and saved."""

import pytest
import torch

from mtgrpo import Fixed, RatioPreservingSampler
from mtgrpo.core.rounds import OversampledRounds
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.integrations.trl_bank import OLD
from mtgrpo.integrations.trl_rollouts import token_ids
from mtgrpo.tasks import TaskSet

from .conftest import history
from .toy import make_tasks

TWO_UPDATES = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2, "steps_per_generation": 4}
FOUR_PASSES = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 4}
KL = {"per_device_train_batch_size": 16, "num_iterations": 2, "beta": 0.05}


def banking(max_staleness: int = 2) -> RatioPreservingSampler:
    """A sampler with far more surplus than a step needs."""
    return RatioPreservingSampler(
        max_staleness=max_staleness, rounds=OversampledRounds(oversampling=1.5, max_inflation=1)
    )


def odd_tasks() -> TaskSet:
    """Completions of one task are short, so that rows are padded."""
    tasks = make_tasks()
    return TaskSet(tasks["easy"], tasks["medium"])


class Watched(MultiTaskGRPOTrainer):
    """Keeps what every step recorded, replayed and lost."""

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        tokens, *rest = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        if self.use_vllm:
            return (tokens, *rest)
        return ([ids[: 3 + i % 4] for i, ids in enumerate(tokens)], *rest)

    def _record_surplus(self, batch):
        super()._record_surplus(batch)
        for group in batch.surplus:
            self.__dict__.setdefault("born", {})[group.uid] = [row.old_log_probs for row in group.payload]

    def _replay(self, rows):
        output = super()._replay(rows)
        uids = [slot.uid for slot in sorted(self.mixer.batch.groups, key=lambda g: g.uid)]
        now = self._log_probs(rows)  # of the policy as it is when the batch is put together
        size = self.schedule.group_size
        self.__dict__.setdefault("replays", []).append(
            {
                "step": self.mixer.step,
                "uids": [uid for uid in uids for _ in range(size)],
                "banked": {g.uid for g in self.mixer.batch.banked},
                "rows": list(rows),
                "old": output.get(OLD),
                "now": now,
                "output": dict(output),
            }
        )
        return output

    def compute_loss(self, model, inputs, *args, **kwargs):
        self.__dict__.setdefault("losses", []).append(dict(inputs))
        return super().compute_loss(model, inputs, *args, **kwargs)


def trained(lab, sampler=None, cls=Watched, weighting=None, tasks=None, **changes):
    weighting = weighting or Fixed({"easy": 0.5, "medium": 0.5})
    arguments = {"sampler": sampler or banking(), "weighting": weighting}
    trainer = lab.trainer(tasks or odd_tasks(), cls, arguments, **{"max_steps": 6, **changes})
    trainer.train()
    return trainer


@pytest.mark.parametrize("changes", [{}, FOUR_PASSES, TWO_UPDATES, KL], ids=["one", "four-passes", "updates", "kl"])
def test_banked_rows_are_trained_on_with_the_log_probabilities_of_their_birth(lab, changes):
    trainer = trained(lab, **changes)
    num_banked = 0
    for replay in trainer.replays:
        for i, uid in enumerate(replay["uids"]):
            row, length = replay["rows"][i], len(token_ids(replay["rows"][i])[1])
            assert (row.old_log_probs is not None) == (uid in replay["banked"])
            if uid not in replay["banked"]:
                continue
            num_banked += 1
            place = i % trainer.schedule.group_size
            assert torch.equal(replay["old"][i, :length], trainer.born[uid][place])
            assert (replay["old"][i, length:] == 0).all()
            assert (replay["old"][i, :length] - replay["now"][i]).abs().max() > 1e-3  # the policy has moved since
        if replay["old"] is not None:
            fresh = [i for i, uid in enumerate(replay["uids"]) if uid not in replay["banked"]]
            computed = trainer.schedule.cycle > trainer.schedule.accumulation  # by TRL itself, of several updates
            for i in fresh:
                values = replay["old"][i, : len(replay["now"][i])]
                assert values.isnan().all() or computed
                assert not computed or torch.allclose(values, replay["now"][i], atol=1e-5)
    assert num_banked > 20
    entries = [entry for entry in history(trainer) if "sampler/groups_banked" in entry]
    assert sum(entry["sampler/groups_banked"] for entry in entries) * trainer.schedule.group_size == num_banked
    for entry in entries:
        assert entry["sampler/shares_met"] == 1
        assert entry["grad_norm"] > 0
