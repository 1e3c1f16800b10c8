"""The hub that TRL's tests load from, made on this machine: tiny models and small datasets, without a network.

Both are built by TRL's own scripts, out of the checkout (scripts/generate_tiny_models, scripts/generate_zen_*). What
those scripts download (tokenizers, configurations and processors of released models) is replaced by stand-ins. The
models are laid out as the hub's client keeps its downloads, so that `from_pretrained` finds them as it always does.

There are two hubs: "small", where a vocabulary has 1500 tokens, and "real", where it has what the released model has,
for the tests that write token ids down or count on the end's never being drawn.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import DatasetDict, load_from_disk
from transformers import AutoConfig, GenerationConfig, PreTrainedTokenizerFast, ProcessorMixin
from trl_tests_tokenizers import make_tokenizer

ORGANIZATION = "trl-internal-testing"
DATASETS = ("zen", "zen-image", "zen-multi-image")


@dataclass(frozen=True)
class Released:
    """The stand-in for a released model's repository: what TRL's scripts load of it."""

    tokenizer: str
    model_type: str
    config: Callable[[PreTrainedTokenizerFast], dict[str, Any]] = lambda tokenizer: {}
    processor: Callable[[PreTrainedTokenizerFast], ProcessorMixin] | None = None
    # Ends of a completion beside the tokenizer's own.
    ends: tuple[str, ...] = ()
    # TRL's script writes the size of the vocabulary down: never small.
    fixed: bool = False


def _text(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _qwen_vl(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    named = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    named |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}

    return {"text_config": _text(tokenizer)} | {
        name: tokenizer.convert_tokens_to_ids(token) for name, token in named.items()
    }


def _gemma3(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "text_config": _text(tokenizer),
        "boi_token_index": tokenizer.convert_tokens_to_ids("<start_of_image>"),
        "eoi_token_index": tokenizer.convert_tokens_to_ids("<end_of_image>"),
        "image_token_index": tokenizer.convert_tokens_to_ids("<image_soft_token>"),
        "mm_tokens_per_image": 256,
        "vision_config": {"image_size": 896, "patch_size": 14, "vision_use_head": False},
    }


def _gemma4(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    named = {"boi_token_id": "<|image>", "eoi_token_id": "<image|>", "image_token_id": "<|image|>"}
    named |= {
        "boa_token_id": "<|audio>",
        "eoa_token_index": "<audio|>",
        "audio_token_id": "<|audio|>",
    }
    named |= {"video_token_id": "<|video|>"}
    text = _text(tokenizer) | {"vocab_size_per_layer_input": len(tokenizer)}
    # TRL's script sets these afterwards, when what a layer has of its own is already written by its number.
    text |= {"num_hidden_layers": 2, "layer_types": ["sliding_attention", "full_attention"]}
    text |= {"global_head_dim": 8}

    return {"text_config": text, "audio_config": None, "vision_config": {}} | {
        name: tokenizer.convert_tokens_to_ids(token) for name, token in named.items()
    }


def _llava_next(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "text_config": {"model_type": "mistral"} | _text(tokenizer),
        "vision_config": {
            "model_type": "clip_vision_model",
            "intermediate_size": 32,
            "image_size": 56,
            "patch_size": 14,
            "projection_dim": 16,
        },
        "image_grid_pinpoints": [[56, 112], [112, 56], [112, 112]],
        "image_token_index": tokenizer.convert_tokens_to_ids("<image>"),
    }


def _qwen2_vl_processor(tokenizer: PreTrainedTokenizerFast) -> ProcessorMixin:
    from transformers import Qwen2VLImageProcessor, Qwen2VLProcessor, Qwen2VLVideoProcessor

    return Qwen2VLProcessor(
        Qwen2VLImageProcessor(),
        tokenizer,
        Qwen2VLVideoProcessor(),
        chat_template=tokenizer.chat_template,
    )


def _qwen2_5_vl_processor(tokenizer: PreTrainedTokenizerFast) -> ProcessorMixin:
    from transformers import Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    return Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor(),
        tokenizer,
        Qwen2VLVideoProcessor(),
        chat_template=tokenizer.chat_template,
    )


def _qwen3_vl_processor(tokenizer: PreTrainedTokenizerFast) -> ProcessorMixin:
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    images = Qwen2VLImageProcessor(
        patch_size=16,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        size={"shortest_edge": 4096, "longest_edge": 65536},
    )

    return Qwen3VLProcessor(
        images, tokenizer, Qwen3VLVideoProcessor(), chat_template=tokenizer.chat_template
    )


def _gemma3_processor(tokenizer: PreTrainedTokenizerFast) -> ProcessorMixin:
    from transformers import Gemma3ImageProcessor, Gemma3Processor

    return Gemma3Processor(Gemma3ImageProcessor(), tokenizer, chat_template=tokenizer.chat_template)


def _gemma4_processor(tokenizer: PreTrainedTokenizerFast) -> ProcessorMixin:
    from transformers import (
        Gemma4AudioFeatureExtractor,
        Gemma4ImageProcessor,
        Gemma4Processor,
        Gemma4VideoProcessor,
    )

    return Gemma4Processor(
        Gemma4AudioFeatureExtractor(),
        Gemma4ImageProcessor(),
        tokenizer,
        Gemma4VideoProcessor(),
        chat_template=tokenizer.chat_template,
    )


def _llava_next_processor(tokenizer: PreTrainedTokenizerFast) -> ProcessorMixin:
    from transformers import LlavaNextImageProcessor, LlavaNextProcessor

    images = LlavaNextImageProcessor(
        size={"shortest_edge": 56},
        crop_size={"height": 56, "width": 56},
        image_grid_pinpoints=[[56, 112], [112, 56], [112, 112]],
    )

    return LlavaNextProcessor(
        images,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )


RELEASED = {
    "Qwen/Qwen2.5-32B-Instruct": Released("qwen2.5", "qwen2", _text, ends=("<|endoftext|>",)),
    "Qwen/Qwen3-8B": Released("qwen3", "qwen3", _text, ends=("<|endoftext|>",)),
    "Qwen/Qwen3-4B": Released("qwen3", "qwen3", _text, ends=("<|endoftext|>",)),
    "Qwen/Qwen3-30B-A3B": Released(
        "qwen3", "qwen3_moe", _text, ends=("<|endoftext|>",), fixed=True
    ),
    "meta-llama/Llama-3.2-1B-Instruct": Released(
        "llama3", "llama", _text, ends=("<|end_of_text|>", "<|eom_id|>")
    ),
    "openai/gpt-oss-20b": Released("gpt-oss", "gpt_oss", _text, ends=("<|endoftext|>", "<|call|>")),
    "zai-org/GLM-4.5": Released(
        "glm4", "glm4_moe", _text, ends=("<|user|>", "<|observation|>"), fixed=True
    ),
    "CohereLabs/tiny-aya-earth": Released("cohere2", "cohere2", _text, fixed=True),
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": Released(
        "nemotron", "nemotron_h", _text, ends=("</s>",)
    ),
    "google/gemma-2-2b-it": Released("gemma2", "gemma2", _text, ends=("<end_of_turn>",)),
    "google/gemma-3-4b-it": Released(
        "gemma3", "gemma3", _gemma3, _gemma3_processor, ("<end_of_turn>",)
    ),
    "google/gemma-4-E2B-it": Released("gemma4", "gemma4", _gemma4, _gemma4_processor, ("<turn|>",)),
    "llava-hf/llava-v1.6-mistral-7b-hf": Released(
        "mistral", "llava_next", _llava_next, _llava_next_processor
    ),
    "Qwen/Qwen2-VL-2B-Instruct": Released("qwen2.5-vl", "qwen2_vl", _qwen_vl, _qwen2_vl_processor),
    "Qwen/Qwen2.5-VL-3B-Instruct": Released(
        "qwen2.5-vl", "qwen2_5_vl", _qwen_vl, _qwen2_5_vl_processor
    ),
    "Qwen/Qwen3.5-0.8B": Released("qwen3.5", "qwen3_5", _qwen_vl, _qwen3_vl_processor),
    "Qwen/Qwen3.6-35B-A3B": Released("qwen3.6", "qwen3_5_moe", _qwen_vl, _qwen3_vl_processor),
}

# What the tests load, and TRL's script that makes it out of which released model.
MODELS = {
    "tiny-Qwen2ForCausalLM-2.5": (
        "for_causal_lm.qwen2_for_causal_lm_2_5",
        "Qwen/Qwen2.5-32B-Instruct",
    ),
    "tiny-Qwen2ForSequenceClassification-2.5": (
        "for_sequence_classification.qwen2_for_sequence_classification_2_5",
        "Qwen/Qwen2.5-32B-Instruct",
    ),
    "tiny-Qwen3ForCausalLM": ("for_causal_lm.qwen3_for_causal_lm", "Qwen/Qwen3-8B"),
    "tiny-Qwen3ForSequenceClassification": (
        "for_sequence_classification.qwen3_for_sequence_classification",
        "Qwen/Qwen3-4B",
    ),
    "tiny-Qwen3MoeForCausalLM": ("for_causal_lm.qwen3_moe_for_causal_lm", "Qwen/Qwen3-30B-A3B"),
    "tiny-LlamaForSequenceClassification-3.2": (
        "for_sequence_classification.llama_for_sequence_classification_3_2",
        "meta-llama/Llama-3.2-1B-Instruct",
    ),
    "tiny-RemoteForCausalLM": (
        "for_causal_lm.remote_for_causal_lm",
        "meta-llama/Llama-3.2-1B-Instruct",
    ),
    "tiny-GptOssForCausalLM": ("for_causal_lm.gpt_oss_for_causal_lm", "openai/gpt-oss-20b"),
    "tiny-Glm4MoeForCausalLM": ("for_causal_lm.glm4_moe_for_causal_lm", "zai-org/GLM-4.5"),
    "tiny-Cohere2ForCausalLM": ("for_causal_lm.cohere2_for_causal_lm", "CohereLabs/tiny-aya-earth"),
    "tiny-NemotronHForCausalLM-nano": (
        "for_causal_lm.nemotron_3_nano_for_causal_lm",
        "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    ),
    "tiny-Gemma2ForCausalLM": ("for_causal_lm.gemma2_for_causal_lm", "google/gemma-2-2b-it"),
    "tiny-Gemma3ForConditionalGeneration": (
        "for_conditional_generation.gemma3_for_conditional_generation",
        "google/gemma-3-4b-it",
    ),
    "tiny-Gemma4ForConditionalGeneration": (
        "for_conditional_generation.gemma4_for_conditional_generation",
        "google/gemma-4-E2B-it",
    ),
    "tiny-LlavaNextForConditionalGeneration": (
        "for_conditional_generation.llava_next_for_conditional_generation",
        "llava-hf/llava-v1.6-mistral-7b-hf",
    ),
    "tiny-Qwen2VLForConditionalGeneration": (
        "for_conditional_generation.qwen2_vl_for_conditional_generation",
        "Qwen/Qwen2-VL-2B-Instruct",
    ),
    "tiny-Qwen2_5_VLForConditionalGeneration": (
        "for_conditional_generation.qwen2_5_vl_for_conditional_generation",
        "Qwen/Qwen2.5-VL-3B-Instruct",
    ),
    "tiny-Qwen3_5ForConditionalGeneration-NoThink": (
        "for_conditional_generation.qwen3_5_for_conditional_generation_nothink",
        "Qwen/Qwen3.5-0.8B",
    ),
    "tiny-Qwen3_5MoeForConditionalGeneration-3.6": (
        "for_conditional_generation.qwen3_6_for_conditional_generation",
        "Qwen/Qwen3.6-35B-A3B",
    ),
}


def add_to_hub(hub: Path, repository: str, save: Callable[[Path], None]) -> None:
    """Write a repository's files where the hub's client looks for the downloaded ones."""
    revision = hashlib.sha1(repository.encode()).hexdigest()
    folder = hub / ("models--" + repository.replace("/", "--"))
    files = folder / "snapshots" / revision
    files.mkdir(parents=True, exist_ok=True)
    save(files)

    # Qwen3's chat template is taken from a pull request.
    for branch in ("main", "pr/14"):
        reference = (
            folder / "refs" / branch if branch == "main" else folder / "refs" / "refs" / branch
        )
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(revision)


def add_released(hub: Path, repository: str) -> None:
    released = RELEASED[repository]
    tokenizer = make_tokenizer(released.tokenizer, small=hub.name == "small" and not released.fixed)
    config = AutoConfig.for_model(released.model_type, **released.config(tokenizer))
    ends = [
        tokenizer.eos_token_id,
        *(tokenizer.convert_tokens_to_ids(end) for end in released.ends),
    ]
    generation = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=ends, pad_token_id=tokenizer.pad_token_id
    )

    def save(files: Path) -> None:
        config.save_pretrained(files)
        generation.save_pretrained(files)
        whole = tokenizer if released.processor is None else released.processor(tokenizer)
        whole.save_pretrained(files)

    add_to_hub(hub, repository, save)


def _scripts(source: Path, hub: Path) -> str:
    """Make TRL's scripts importable, and have them save into `hub` instead of uploading."""
    package = f"{source.name}_tiny_models".replace("-", "_")
    if package in sys.modules:
        return package

    parent = types.ModuleType(package)
    parent.__path__ = [str(source / "scripts" / "generate_tiny_models")]
    sys.modules[package] = parent
    common = importlib.import_module(f"{package}._common")

    def save_in_hub(
        model: Any, tokenizer: Any, generation: Any, prefix: str = "", suffix: str | None = None
    ) -> None:
        name = "-".join(part for part in (prefix, type(model).__name__, suffix) if part)

        def save(files: Path) -> None:
            model.save_pretrained(files)
            for part in (tokenizer, generation):
                if part is not None:
                    part.save_pretrained(files)

        add_to_hub(hub, f"{ORGANIZATION}/{name}", save)

    for check in ("check_transformers_version", "check_dtype_pattern", "print_config_diff"):
        setattr(common, check, lambda *args: None)
    common.push_to_hub = save_in_hub

    return package


def is_in_hub(hub: Path, name: str) -> bool:
    return (hub / f"models--{ORGANIZATION}--{name}" / "refs" / "main").is_file()


def make_models(source: Path, hub: Path) -> dict[str, str]:
    """Build every tiny model that is not there yet; name to reason of those that cannot be built here."""
    missing = {}

    for name, (script, repository) in MODELS.items():
        if is_in_hub(hub, name):
            continue
        try:
            add_released(hub, repository)
            torch.manual_seed(0)
            importlib.import_module(f"{_scripts(source, hub)}.{script}")
        except Exception as error:
            missing[name] = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]

    return missing


def make_datasets(source: Path, folder: Path) -> None:
    """Build the datasets with TRL's scripts, a folder for each configuration."""
    kept: list[tuple[str, str]] = []

    def keep(dataset: DatasetDict, repository: str, config_name: str) -> None:
        target = folder / repository.split("/")[-1] / config_name
        if not target.is_dir():
            dataset.save_to_disk(str(target))
        kept.append((repository, config_name))

    upload = DatasetDict.push_to_hub
    DatasetDict.push_to_hub = keep
    try:
        for name in DATASETS:
            if (folder / name).is_dir():
                continue
            np.random.seed(0)  # noqa: NPY002 (what TRL's scripts draw from)
            path = source / "scripts" / f"generate_{name.replace('-', '_')}_dataset.py"
            specification = importlib.util.spec_from_file_location(path.stem, path)
            if specification is None or specification.loader is None:
                raise ImportError(f"{path}: not a Python file")
            script = importlib.util.module_from_spec(specification)
            sys.modules[path.stem] = script
            specification.loader.exec_module(script)
            script.main(test_size=0.1, push_to_hub=True, repo_id=f"{ORGANIZATION}/{name}")
    finally:
        DatasetDict.push_to_hub = upload


def load_made(
    folder: Path, path: str, name: str, split: str | None = None, streaming: bool = False
) -> Any:
    """What `datasets.load_dataset` gives for one of TRL's own datasets."""
    made = load_from_disk(str(folder / path.split("/")[-1] / name))
    if streaming:
        for part in made:
            made[part] = made[part].to_iterable_dataset()

    return made if split is None else made[split]


if __name__ == "__main__":
    work, kind = Path(sys.argv[1]), sys.argv[2]
    make_datasets(work / "source", work / "datasets")
    missing = make_models(work / "source", work / "hubs" / kind)
    (work / f"missing-{kind}.json").write_text(json.dumps(missing), encoding="utf-8")
