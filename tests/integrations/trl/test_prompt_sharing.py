"""Shared prompts in the trainer: off by default, exact resume, surrogate, evaluation, and where it steps back."""

import logging
from types import SimpleNamespace

import pytest
import torch

from mtgrpo import ImprovementAware
from mtgrpo.integrations.trl import prompt_sharing as trl_sharing

from .conftest import history, same_parameters, uniform

SHARED = {"share_prompts": True}


@pytest.fixture
def calls(monkeypatch):
    """How often the shared ways were taken: rows sampled, forward passes."""
    seen = {"rows": 0, "passes": 0}
    sample, prefix = trl_sharing.sample, trl_sharing.shared_prefix

    def counted_sample(model, prompts, **others):
        seen["rows"] += len(prompts)
        return sample(model, prompts, **others)

    def counted_prefix(*args):
        seen["passes"] += 1
        return prefix(*args)

    monkeypatch.setattr(trl_sharing, "sample", counted_sample)
    monkeypatch.setattr(trl_sharing, "shared_prefix", counted_prefix)
    return seen


def test_off_by_default(lab, calls):
    lab.trainer(max_steps=1).train()
    assert calls == {"rows": 0, "passes": 0}


def test_everything_goes_the_shared_way(lab, calls):
    weighting = ImprovementAware(improvement="surrogate")
    trainer = lab.trainer(max_steps=2, arguments={**SHARED, "weighting": weighting}, beta=0.05)
    trainer.train()
    assert calls["rows"] == trainer.num_rollouts
    assert calls["passes"] >= 2 * 3, "loss, reference and measured improvement, each step"
    trainer.evaluate()
    assert calls["rows"] > trainer.num_rollouts


def test_the_loss_is_that_of_plain_passes(lab, monkeypatch):
    """Same draws, prompts shared only in generation, or in the loss as well."""
    both = lab.trainer(arguments={**SHARED, **uniform()})
    both.train()
    monkeypatch.setattr(trl_sharing, "shared_prefix", lambda *_: trl_sharing.nullcontext())
    only_generation = lab.trainer(arguments={**SHARED, **uniform()})
    only_generation.train()
    assert not same_parameters(both, only_generation), "rounding differs, else nothing was shared"
    a, b = (
        [e["loss"] for e in t.state.log_history if "loss" in e] for t in (both, only_generation)
    )
    assert a == pytest.approx(b, abs=1e-4)


def test_resume_is_exact(lab):
    def build():
        return lab.trainer(arguments=SHARED, save_strategy="steps", save_steps=2, max_steps=4)

    whole, resumed = build(), build()
    whole.train()
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-2")
    assert same_parameters(whole, resumed)
    assert history(whole, after=2) == history(resumed, after=2) != []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"top_k": 3}, "top_k is 3"),
        ({"gradient_checkpointing": True}, "gradient_checkpointing is on"),
    ],
)
def test_steps_back_and_says_why(lab, caplog, calls, changes, reason):
    with caplog.at_level(logging.WARNING):
        trainer = lab.trainer(arguments=SHARED, max_steps=1, **changes)
    assert reason in caplog.text
    trainer.train()
    assert not trainer.sharing.on
    assert calls["rows"] == 0
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


def plain_trainer(**changes):
    """What `why_not_shared` looks at first, with everything switched off."""
    off = dict.fromkeys(["gradient_checkpointing", "torch_compile", "use_liger_kernel"], False)
    trainer = dict.fromkeys(
        ["use_vllm", "use_transformers_continuous_batching", "_is_vlm", "is_deepspeed_enabled"],
        False,
    )
    args = SimpleNamespace(cache_implementation=None, **off)
    others = {"rollout_func": None, "environment_factories": None, "is_fsdp_enabled": False}
    return SimpleNamespace(**{**trainer, **others, "tools": [], "args": args, **changes})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"use_vllm": True}, "vLLM generates"),
        ({"tools": [print]}, "there are tools"),
        ({"environment_factories": {}}, "there are tools"),
        ({"rollout_func": print}, "rollout_func generates"),
        ({"is_fsdp_enabled": True}, "the model is sharded"),
    ],
)
def test_what_it_steps_back_from(changes, reason):
    assert trl_sharing.why_not_shared(plain_trainer(**changes)) == reason


def test_switched_off_the_model_is_not_touched():
    part = trl_sharing.PromptSharing()
    with part.prefix(None, 4, None):
        assert not part.on


# ---- adapters --------------------------------------------------------------------------------
def adapted(lab, **lora):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=4, init_lora_weights=False, **lora)
    return lab.trainer(arguments={**SHARED, **uniform(), "peft_config": config}, max_steps=2)


def test_an_adapters_loss_is_that_of_plain_passes(lab, calls, monkeypatch):
    torch.manual_seed(0)
    both = adapted(lab)
    both.train()
    assert calls["rows"] == both.num_rollouts
    assert calls["passes"] >= 2

    monkeypatch.setattr(trl_sharing, "shared_prefix", lambda *_: trl_sharing.nullcontext())
    torch.manual_seed(0)
    only_generation = adapted(lab)
    only_generation.train()
    a, b = (
        [e["loss"] for e in t.state.log_history if "loss" in e] for t in (both, only_generation)
    )
    assert a == pytest.approx(b, abs=1e-4)
    for name, trained in both.model.named_parameters():
        other = only_generation.model.get_parameter(name)
        assert torch.allclose(trained, other, atol=1e-3), name


def test_dropout_in_an_adapter_keeps_prompts_apart(lab, caplog, calls):
    with caplog.at_level(logging.WARNING):
        trainer = adapted(lab, lora_dropout=0.1)
    assert "the adapter has dropout" in caplog.text
    trainer.train()
    assert calls == {"rows": 0, "passes": 0}
