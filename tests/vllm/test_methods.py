"""Methods over vLLM in the trainer's own process: shares of the loss, one round, prompt memory, `surrogate`."""

import pytest

pytestmark = pytest.mark.usefixtures("float32")


def measured_trainer(lab, output, method, **changes):
    """Measures what each token weighs in TRL's loss, from the loss's derivative."""
    from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
    from tests.integrations.trl.test_loss_shares import Measured

    from .lab import easy_tasks

    class Stepwise(Measured):
        _generate_single_turn = MultiTaskGRPOTrainer._generate_single_turn  # nothing is cut

        def compute_loss(self, *args, **kwargs):
            if self.mixer.batch is not None:
                self.batch = self.mixer.batch
            return super().compute_loss(*args, **kwargs)

        def training_step(self, *args, **kwargs):
            loss = super().training_step(*args, **kwargs)
            self.loss_shares.append((self.measured_shares(), self.batch.loss_targets))
            self.parts.clear()
            return loss

    # Few rows, so that prompts come again.
    trainer = lab.trainer(output, method, cls=Stepwise, tasks=easy_tasks(num_train=4), **changes)
    trainer.parts, trainer.loss_shares = [], []
    return trainer


def test_the_default_method_has_exact_shares_of_the_loss_in_one_round_and_resumes(lab):
    from .lab import GROUP, ROWS, logged, weights_digest

    whole = measured_trainer(lab, "whole", "grpo_fair", max_steps=6)
    whole.train()
    assert whole.num_rollouts == 6 * ROWS
    assert [report.num_rounds for report in lab.steps] == [1] * 6

    for step, (measured, targets) in enumerate(whole.loss_shares):
        # vLLM's log-probabilities differ from the trainer's by rounding, and TRL corrects for it.
        assert measured == pytest.approx(targets, abs=1e-3)
        for task, target in targets.items():
            assert logged(whole, f"task/{task}/loss_share")[step] == pytest.approx(target, abs=1e-6)

    skipped = [logged(whole, f"task/{task}/prompts_skipped_rate") for task in whole.tasks.names]
    assert max(map(max, skipped)) > 0, "no prompt came again"
    assert ROWS // GROUP * 6 > 3 * 8  # each of the four rows more than twice

    resumed = measured_trainer(lab, "resumed", "grpo_fair", max_steps=6)
    resumed.train(resume_from_checkpoint=str(lab.folder / "whole" / "checkpoint-4"))
    assert weights_digest(resumed) == weights_digest(whole)


def test_improvements_measured_by_surrogate_equal_a_computation_by_hand(lab):
    from transformers import AutoModelForCausalLM

    from mtgrpo import ImprovementAware, Method, tiny
    from tests.integrations.trl import test_surrogate as surrogate

    seen = []
    method = Method(ImprovementAware(improvement="surrogate", improvement_clip=5.0))
    trainer = lab.trainer(
        "surrogate",
        method,
        cls=surrogate.Watched,
        arguments={"callbacks": [surrogate.Snapshots(seen)]},
        max_steps=2,
        save_strategy="no",
    )
    trainer.seen, trainer.told = seen, []
    trainer.train()
    lab.check_shares()

    class Model:
        def model(self):
            return AutoModelForCausalLM.from_pretrained(tiny.model_path())

    for update, (told,) in zip(seen, trainer.told, strict=True):
        expected = surrogate.by_hand(
            Model(), update, "mean", 0.2, 0.2, "token", trainer.tasks.names
        )
        assert told == pytest.approx(expected, abs=1e-5)
        assert any(abs(value) > 1e-5 for value in told.values())


def test_tasks_are_sampled_and_judged_at_their_own_settings(lab):
    from .own_settings import check_temperature_and_length, check_top_p

    check_temperature_and_length(lab)
    check_top_p(lab)
