"""A model of thirty words and three tasks for it, of easy, middling and rare success."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtgrpo.tasks import Score, Task, each

WORDS = [
    "<pad>",
    "<eos>",
    "<unk>",
    "user",
    "assistant",
    ":",
    *map(str, range(10)),
    *"abcdefgh",
    "copy",
    "digit",
    "rare",
]
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}assistant : {% endif %}"
)


def save_model(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>")
    )
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        chat_template=TEMPLATE,
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=False, eos_token_id=1, pad_token_id=0,
        bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)


def reward(text: str, row: Any) -> Score:
    """1 when the task is done, 0.1 for any digit at all."""
    words = text.split()
    done = {
        "copy": row["digit"] in words,
        "digit": any(word.isdigit() for word in words[:2]),
        "rare": words[:1] in (["0"], ["1"], ["2"]),
    }[row["kind"]]
    return Score(1.0 if done else 0.1 if any(w.isdigit() for w in words) else 0.0, float(done))


def make(rows: int = 30) -> list[Task]:
    """Three tasks; test rows ask in another order of words, so no prompt is in both splits."""

    def prompts(kind: str, text: str) -> list[dict[str, Any]]:
        return [
            {
                "prompt": text.format(kind=kind, digit=i % 10, letter="abcdefgh"[i // 10]),
                "kind": kind,
                "digit": f"{i % 10}",
            }
            for i in range(rows)
        ]

    return [
        Task(
            kind,
            prompts(kind, "{kind} {digit} {letter}"),
            prompts(kind, "{digit} {kind} {letter}")[:4],
            each(reward),
        )
        for kind in ("copy", "digit", "rare")
    ]
