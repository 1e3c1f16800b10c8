"""vLLM in the trainer's own process (`vllm_mode="colocate"`)."""

import pytest

from mtgrpo import RatioPreservingSampler

pytestmark = pytest.mark.usefixtures("float32")


def test_a_run_with_a_bank_trains_with_exact_shares_and_resumes_bit_for_bit(lab):
    from mtgrpo import ImprovementAware, Method

    from .lab import logged, weights_digest

    method = Method(ImprovementAware(lam=0.2), RatioPreservingSampler(max_staleness=2))
    whole = lab.trainer("whole", method)
    before = whole.evaluate()
    whole.train()
    lab.check_shares()

    assert len(lab.steps) == 4
    assert max(logged(whole, "sampling/sampling_logp_difference/max")) < 1e-3
    assert all(value > 0 for value in logged(whole, "grad_norm"))
    assert sum(logged(whole, "sampler/groups_banked")) > 0
    after = whole.evaluate()
    assert before.keys() == after.keys()
    assert 0.0 <= after["eval_tasks/worst_accuracy"] <= 1.0

    resumed = lab.trainer("resumed", method)
    resumed.train(resume_from_checkpoint=str(lab.folder / "whole" / "checkpoint-2"))
    lab.check_shares()
    assert weights_digest(resumed) == weights_digest(whole)


def test_an_adapter_trains(lab):
    from peft import LoraConfig

    from .lab import logged

    trainer = lab.trainer(
        "adapter",
        "grpo_fair",
        arguments={"peft_config": LoraConfig(r=4, target_modules=["q_proj", "v_proj"])},
        max_steps=2,
        learning_rate=1e-2,
        save_strategy="no",
    )
    trainer.train()
    # vLLM samples from the weights with the adapter merged into them.
    assert max(logged(trainer, "sampling/sampling_logp_difference/max")) < 1e-3
    assert all(value > 0 for value in logged(trainer, "grad_norm"))
