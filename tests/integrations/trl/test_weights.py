"""Weights that a checkpoint has under other names than the model, and a reference model that moves: exact on resume."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPVisionConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from mtgrpo.errors import StateError
from mtgrpo.integrations.trl.weights import load_reference, load_renamed, missing_names, saved_names

from .conftest import history, same_parameters
from .toy import make_tokenizer

TEXT = {
    "vocab_size": 92,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": None,
    "tie_word_embeddings": True,
}


def experts() -> Qwen3MoeForCausalLM:
    """A mixture whose experts lie in one tensor, and are saved one by one."""
    mixture = {"moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2}
    return Qwen3MoeForCausalLM(Qwen3MoeConfig(**TEXT, **mixture, head_dim=8))


def pictures() -> LlavaForConditionalGeneration:
    """A model whose weights are saved under the names of its publisher."""
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=8,
        patch_size=4,
    )
    parts = {"vision_config": vision, "text_config": Qwen2Config(**TEXT)}
    return LlavaForConditionalGeneration(LlavaConfig(**parts, image_token_index=3))


def plain() -> Qwen2ForCausalLM:
    return Qwen2ForCausalLM(Qwen2Config(**TEXT))


def owner(model, **changes):
    """A trainer, as far as loading looks at it."""
    switches = {"is_deepspeed_enabled": False, "is_fsdp_enabled": False, **changes}
    return SimpleNamespace(
        model=model, accelerator=SimpleNamespace(unwrap_model=lambda model: model), **switches
    )


def equal(a, b) -> bool:
    return all(torch.equal(a.state_dict()[name], value) for name, value in b.state_dict().items())


@pytest.mark.parametrize("sharded", [False, True], ids=["one-file", "shards"])
@pytest.mark.parametrize("make", [experts, pictures])
def test_renamed_weights_are_loaded_bit_for_bit(tmp_path, make, sharded):
    saved, model = make(), make()
    saved.save_pretrained(tmp_path, max_shard_size="40KB" if sharded else "1GB")
    assert (tmp_path / "model.safetensors.index.json").is_file() == sharded
    assert missing_names(model, saved_names(tmp_path))
    assert not equal(model, saved)
    assert load_renamed(owner(model), tmp_path)
    assert equal(model, saved)


def test_several_kinds_of_numbers_keep_all_their_bits(tmp_path):
    saved, model = experts(), experts()
    for one in (saved, model):
        one.to(torch.bfloat16)
        one.model.norm.float()
    with torch.no_grad():
        saved.model.norm.weight += 1 / 3
    saved.save_pretrained(tmp_path)
    assert load_renamed(owner(model), tmp_path)
    assert equal(model, saved)
    assert model.model.norm.weight.dtype == torch.float32
    assert model.lm_head.weight.dtype == torch.bfloat16


def test_plain_names_and_other_formats_are_left_to_trl(tmp_path):
    model = plain()
    model.save_pretrained(tmp_path / "plain")
    assert missing_names(model, saved_names(tmp_path / "plain")) == [], "tied weights are there"
    assert not load_renamed(owner(model), tmp_path / "plain")

    experts().save_pretrained(tmp_path / "experts")
    for changes in ({"is_fsdp_enabled": True}, {"is_deepspeed_enabled": True}):
        assert not load_renamed(owner(experts(), **changes), tmp_path / "experts")
    assert saved_names(tmp_path) is None
    assert not load_renamed(owner(model), tmp_path)


def test_missing_weights_end_the_resume(tmp_path):
    model = experts()
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "layers.1.mlp.experts" not in name}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        StateError, match=r"2 tensors missing, such as model\.layers\.1\.mlp\.experts.*; .* model="
    ):
        load_renamed(owner(experts()), tmp_path)


@pytest.fixture
def expert_path(tmp_path):
    torch.manual_seed(0)
    experts().save_pretrained(tmp_path / "experts")
    make_tokenizer().save_pretrained(tmp_path / "experts")
    return tmp_path / "experts"


def test_resume_of_a_mixture_of_experts_is_exact(lab, expert_path):
    lab.model_path = expert_path

    def build():
        return lab.trainer(save_strategy="steps", save_steps=2, max_steps=4)

    whole, resumed = build(), build()
    start = [p.clone() for p in whole.model.parameters()]
    whole.train()
    names = load_file(f"{whole.args.output_dir}/checkpoint-2/model.safetensors")
    assert "model.layers.0.mlp.experts.0.gate_proj.weight" in names
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-2")
    assert same_parameters(whole, resumed)
    assert history(whole, after=2) == history(resumed, after=2) != []
    moved = dict(zip([name for name, _ in whole.model.named_parameters()], start, strict=True))
    assert not torch.equal(
        moved["model.layers.0.mlp.experts.gate_up_proj"],
        whole.model.model.layers[0].mlp.experts.gate_up_proj,
    )


def test_the_best_model_of_experts_is_loaded_at_the_end(lab, expert_path):
    lab.model_path = expert_path
    changes = {"save_strategy": "steps", "save_steps": 1, "eval_strategy": "steps", "eval_steps": 1}
    best = {"load_best_model_at_end": True, "metric_for_best_model": "tasks/mean_accuracy"}
    trainer = lab.trainer(
        max_steps=3, per_device_eval_batch_size=4, greater_is_better=False, **changes, **best
    )
    trainer.train()
    checkpoint = trainer.state.best_model_checkpoint
    wanted = Qwen3MoeForCausalLM.from_pretrained(checkpoint)
    assert equal(trainer.model, wanted)


SYNC = {"beta": 0.05, "sync_ref_model": True, "ref_model_sync_steps": 1}


def test_a_reference_model_that_moves_is_restored(lab):
    def build():
        saving = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4}
        return lab.trainer(**saving, **SYNC, ref_model_mixup_alpha=0.5)

    whole, resumed = build(), build()
    start = [p.clone() for p in whole.ref_model.parameters()]
    whole.train()
    moved = list(whole.ref_model.parameters())
    assert not all(torch.equal(a, b) for a, b in zip(start, moved, strict=True))
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-2")
    assert same_parameters(whole, resumed)
    assert equal(whole.ref_model, resumed.ref_model)
    assert history(whole, after=2) == history(resumed, after=2) != []


def test_without_its_reference_model_a_run_is_not_resumed(lab):
    saving = {"save_strategy": "steps", "save_steps": 1, "max_steps": 2}
    whole = lab.trainer(**saving, beta=0.05)
    whole.train()
    checkpoint = f"{whole.args.output_dir}/checkpoint-1"
    with pytest.raises(
        StateError, match=r"reference.model\.safetensors: missing, but sync_ref_model moves"
    ):
        lab.trainer(**saving, **SYNC).train(resume_from_checkpoint=checkpoint)


def test_a_spoiled_reference_model_is_refused(tmp_path):
    trainer = owner(plain(), ref_model=plain(), args=SimpleNamespace(sync_ref_model=True))
    file = tmp_path / "reference" / "model.safetensors"
    file.parent.mkdir()
    save_file({"other": torch.ones(1)}, file)
    with pytest.raises(StateError, match=r"cannot be loaded \(.*; use another checkpoint") as error:
        load_reference(trainer, tmp_path)
    assert "\n" not in str(error.value)
    file.write_text(json.dumps({}))
    with pytest.raises(StateError, match="use another checkpoint"):
        load_reference(trainer, tmp_path)
