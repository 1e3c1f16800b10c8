"""Makes the warm-up adapter of SmolLM2: ``python research/smollm2/warmup.py --model DIR --out DIR``.

As published, the model follows no answer format, so that no group has a right answer in it and
GRPO has nothing to learn from. Two parts of supervised steps on train prompts of the demo's tasks:

1. *Skill*: right demonstrations.
2. *Base*: partly right ones, several of each prompt, with a share of right ones that differs from
   task to task (`demonstrations.RIGHT_SHARES`). Sampled accuracy falls and differs between tasks.

Killed runs go on from the last saved step. The same settings on the same machine and versions give
the same adapter.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from demonstrations import RIGHT_SHARES, demonstrations
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from mtgrpo.config import load_config
from mtgrpo.tasks import Task, build_tasks

LORA = {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}
PEAK_LR, LAST_LR = 2e-3, 3e-4
SAVE_EVERY = 10

FIRST_LAYER = 10
"""The first layer with an adapter; nothing is propagated back through those below it."""


@dataclass
class Tree:
    """Texts of one row that share their beginnings; each token sees its own ancestors.

    Attributes:
        tokens: All tokens.
        positions: The place of each in its own text.
        sees: For each, the places in the row that it sees.
    """

    tokens: list[int] = field(default_factory=list[int])
    positions: list[int] = field(default_factory=list[int])
    sees: list[list[int]] = field(default_factory=list[list[int]])

    def add(self, tokens: Sequence[int], after: list[int]) -> list[int]:
        """Append tokens to a path through the tree; returns the longer path."""
        path = list(after)
        for token in tokens:
            self.positions.append(len(path))
            path.append(len(self.tokens))
            self.tokens.append(token)
            self.sees.append(list(path))
        return path


@dataclass
class Row:
    """Demonstrations of a task in one row: where to read, what to predict, how heavy it counts."""

    tree: Tree = field(default_factory=Tree)
    reads: list[int] = field(default_factory=list[int])
    targets: list[int] = field(default_factory=list[int])
    weights: list[float] = field(default_factory=list[float])


def batch_of(tasks: list[Task], tokenizer: Any, step: int, args: argparse.Namespace) -> list[Row]:
    """A row per task; the step number alone decides what is in it."""
    rng = random.Random(f"{args.seed}:{step}")
    is_skill = step < args.skill_steps

    batch: list[Row] = []
    for task in tasks:
        right_share = 1.0 if is_skill else RIGHT_SHARES[task.name]
        num = 1 if is_skill else args.completions

        prompts: list[list[int]] = []
        texts: list[list[str]] = []
        for _ in range(args.prompts):
            row = task.train[rng.randrange(len(task.train))]
            prompts.append(
                tokenizer.apply_chat_template(
                    row["prompt"], add_generation_prompt=True, return_dict=False
                )
            )
            texts.append(demonstrations(task, row, num, right_share, rng))

        batch.append(row_of(prompts, texts, tokenizer))
    return batch


def row_of(prompts: list[list[int]], texts: list[list[str]], tokenizer: Any) -> Row:
    """Prompts that share their first tokens, each followed by its completions."""
    num_shared = 0
    for tokens in zip(*(prompt[:-1] for prompt in prompts), strict=False):
        if len(set(tokens)) > 1:
            break
        num_shared += 1

    made = Row()
    shared = made.tree.add(prompts[0][:num_shared], [])

    for prompt, completions in zip(prompts, texts, strict=True):
        asked = made.tree.add(prompt[num_shared:], shared)
        for text in completions:
            tokens = tokenizer(text + tokenizer.eos_token).input_ids
            path = made.tree.add(tokens, asked)
            made.reads += path[len(asked) - 1 : -1]
            made.targets += tokens
            made.weights += [1.0 / len(completions) / len(prompts)] * len(tokens)
    return made


def loss_of(model: Any, batch: list[Row], pad: int) -> torch.Tensor:
    """Mean negative log-likelihood of a completion."""
    longest = max(len(row.tree.tokens) for row in batch)
    tokens = torch.full((len(batch), longest), pad)  # (rows, longest)
    positions = torch.zeros((len(batch), longest), dtype=torch.long)
    mask = torch.full((len(batch), 1, longest, longest), float("-inf"), dtype=model.dtype)
    mask[:, 0].diagonal(dim1=1, dim2=2).zero_()  # padding looks at itself

    for i, row in enumerate(batch):
        tokens[i, : len(row.tree.tokens)] = torch.tensor(row.tree.tokens)
        positions[i, : len(row.tree.tokens)] = torch.tensor(row.tree.positions)
        for place, seen in enumerate(row.tree.sees):
            mask[i, 0, place, seen] = 0.0

    inner = model.get_base_model()
    hidden = inner.model(
        input_ids=tokens, position_ids=positions, attention_mask=mask, use_cache=False
    ).last_hidden_state  # (rows, longest, width)

    read = torch.cat([hidden[i, row.reads] for i, row in enumerate(batch)])  # (targets, width)
    targets = torch.tensor([token for row in batch for token in row.targets])
    weights = torch.tensor([weight for row in batch for weight in row.weights])

    logits = inner.lm_head(read).float()  # (targets, vocabulary)
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    return (losses * weights).sum() / len(batch)


def trained_parameters(model: Any) -> dict[str, torch.nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def save_state(place: Path, step: int, model: Any, optimizer: torch.optim.Optimizer) -> None:
    """Adapter, moments and step in one file that is replaced as a whole."""
    tensors: dict[str, torch.Tensor] = {"step": torch.tensor(step)}
    for name, parameter in trained_parameters(model).items():
        tensors[f"weight.{name}"] = parameter.detach()
        for key in ("exp_avg", "exp_avg_sq"):
            tensors[f"{key}.{name}"] = optimizer.state[parameter][key]

    save_file(tensors, place.with_suffix(".part"))
    place.with_suffix(".part").replace(place)


def load_state(place: Path, model: Any, optimizer: torch.optim.Optimizer) -> int:
    """Restore what was saved; returns the number of steps taken."""
    if not place.is_file():
        return 0

    tensors = load_file(place)
    step = int(tensors["step"])
    for name, parameter in trained_parameters(model).items():
        parameter.data.copy_(tensors[f"weight.{name}"])
        optimizer.state[parameter] = {
            "step": torch.tensor(float(step)),
            "exp_avg": tensors[f"exp_avg.{name}"],
            "exp_avg_sq": tensors[f"exp_avg_sq.{name}"],
        }
    return step


def learning_rate(step: int, num_steps: int) -> float:
    """Up within ten steps, then down in a line."""
    left = (num_steps - step) / num_steps
    return min((step + 1) / 10, 1.0) * (LAST_LR + (PEAK_LR - LAST_LR) * left)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True, help="directory of SmolLM2 as published")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", default="smollm2_demo", help="its tasks are demonstrated")
    parser.add_argument("--skill-steps", type=int, default=40)
    parser.add_argument("--base-steps", type=int, default=20)
    parser.add_argument("--prompts", type=int, default=2, help="of each task in a step")
    parser.add_argument("--completions", type=int, default=4, help="of each prompt, part 2")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    tasks = list(build_tasks(load_config(args.config).tasks, "tasks"))
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    base = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.bfloat16)
    layers = list(range(FIRST_LAYER, base.config.num_hidden_layers))
    lora = LoraConfig(task_type="CAUSAL_LM", layers_to_transform=layers, **LORA)
    model: Any = get_peft_model(base, lora)
    parameters = list(trained_parameters(model).values())
    optimizer = torch.optim.AdamW(parameters, lr=0.0, betas=(0.9, 0.98), weight_decay=0.0)

    num_steps = args.skill_steps + args.base_steps
    first = load_state(args.out / "state.safetensors", model, optimizer)
    began = time.perf_counter()
    for step in range(first, num_steps):
        optimizer.param_groups[0]["lr"] = learning_rate(step, num_steps)
        loss = loss_of(model, batch_of(tasks, tokenizer, step, args), tokenizer.pad_token_id)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

        record = {"step": step + 1, "loss": round(float(loss.detach()), 4)}
        record["seconds"] = round(time.perf_counter() - began, 1)
        with open(args.out / "log.jsonl", "a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == num_steps:
            save_state(args.out / "state.safetensors", step + 1, model, optimizer)

    for parameter in parameters:
        parameter.data = parameter.data.to(torch.float16)
    model.save_pretrained(str(args.out / "adapter"))


if __name__ == "__main__":
    main()
