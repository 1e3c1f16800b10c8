"""A tiny offline model, a character tokenizer and three toy tasks with very different acceptance rates."""

import random
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from mtgrpo.tasks import Score, Task, TaskSet, each

CHARACTERS = (
    "abcdefghijklmnopqrstuvwxyz0123456789+-*/=?:;,.!<>_|{}()[]\"' \nABCDEFGHIJKLMNOPQRSTUVWXYZ"
)


def make_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {"<pad>": 0, "<eos>": 1, "<unk>": 2, "<|im_start|>": 3, "<|im_end|>": 4}
    vocabulary |= {c: i for i, c in enumerate(CHARACTERS, start=5)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side="left",
    )


def save_model(path: Path, hidden: int = 32, layers: int = 1) -> None:
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden * 2,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    Qwen2ForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)


def dense(text: str, row: dict) -> Score:
    share = sum(c.islower() for c in text) / max(len(text), 1)
    return Score(share, float(share >= 0.25))


def vowel(text: str, row: dict) -> float:
    return float(any(c in "aeiou" for c in text[:4]))


def target(text: str, row: dict) -> float:
    return float(text[:1] == row["target"])


def never(text: str, row: dict) -> float:
    return 0.0


def rows(name: str, count: int, extra: dict | None = None, seed: int = 0) -> list[dict]:
    rng = random.Random(f"{name} {seed}")
    return [
        {"prompt": f"{name}{i}:{(c := rng.choice('abcdefgh'))}=", "target": c, **(extra or {})}
        for i in range(count)
    ]


def make_tasks(num_train: int = 40, num_test: int = 6) -> TaskSet:
    """Three tasks with different columns, so that nothing can rely on equal ones."""

    def task(name: str, fn, extra: dict | None = None) -> Task:
        return Task(
            name,
            rows(name, num_train, extra),
            rows(name + "T", num_test, extra, seed=1),
            each(fn),
            correct_at=1.0,
        )

    return TaskSet(task("easy", dense), task("medium", vowel, {"level": 2}), task("hard", target))


def hopeless_tasks() -> TaskSet:
    return TaskSet(
        *(Task(name, rows(name, 20), [], each(never), correct_at=1.0) for name in ("one", "two"))
    )
