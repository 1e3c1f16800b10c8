"""Makes the embedded model: ``python -m mtgrpo.tiny.recipe --out DIR``.

1. *Skill*: learn right demonstrations of all nine tasks. After a zebra answer up to three more
   questions on the same clues follow, which makes a long prompt worth more.
2. *Base*: go on with demonstrations that are partly wrong (`mtgrpo.tiny.corruption`), so that
   sampled accuracy is low and graded while the skill stays.
3. *Profile*: sample on test problems, print the table, write profile.json beside the model.

Needs torch, transformers, tokenizers and safetensors. The same settings on the same device and
versions give the same model.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from transformers import LlamaForCausalLM

from mtgrpo.tasks.answers.boxed import box
from mtgrpo.tasks.tiny import zebra
from mtgrpo.tasks.tiny.catalogue import FAMILIES, LEVELS, problem, task_name
from mtgrpo.tiny.corruption import demonstration
from mtgrpo.tiny.profile import measure, table
from mtgrpo.tiny.tokenizer import save
from mtgrpo.tiny.train import EOS_ID, Example, encode, fit, new_model

MORE_QUESTIONS = 3
"""Most questions that follow a zebra answer in the first part."""
NAME_WEIGHT = 4
"""Weight of a name in the loss: a zebra answer is a name and three tokens that never change."""
FIRST_PART = "recipe.json"
"""File beside the first part's model: what the first part took."""

SKILL_LR = (0.007, 0.002)
"""Learning rates of the matrices and of everything else in the first part."""
BASE_LR = (0.001, 0.0003)
"""The same in the second part, which must not undo the first."""

_NAMES = frozenset(encode("".join(zebra.PEOPLE)))


# ---- demonstrations ------------------------------------------------------------------------------
def example(prompt: str, completion: str, more: Sequence[tuple[str, str]] = ()) -> Example:
    """A demonstration, of which the completion and the end are learned.

    Args:
        prompt: What is read.
        completion: What is learned.
        more: Questions and answers that follow.
    """
    tokens = encode(prompt)
    weights = [0] * len(tokens)

    turns = [("", completion), *((f";{asked}?", box(answer)) for asked, answer in more)]
    for question, text in turns:
        tokens += encode(question)
        weights += [0] * (len(tokens) - len(weights))

        learned = encode(text)
        tokens += learned
        weights += [NAME_WEIGHT if token in _NAMES else 1 for token in learned]
    return [*tokens, EOS_ID], [*weights, 1]


def skill_batch(step: int, per_task: int, seed: int) -> list[list[Example]]:
    """Right demonstrations of every task; one part for each level, of similar prompt lengths."""

    def right(family: str, level: str, index: int) -> Example:
        made = problem(family, level, "train", seed + 1, index)
        more: list[tuple[str, str]] = []
        if family == "zebra":
            more = zebra.other_answers(level, made.prompt, MORE_QUESTIONS)
        return example(made.prompt, box(made.answer), more)

    return _batch(right, step, per_task)


def base_batch(step: int, per_task: int, seed: int) -> list[list[Example]]:
    """Partly wrong demonstrations of every task; one part for each level."""

    def partly_wrong(family: str, level: str, index: int) -> Example:
        made = problem(family, level, "train", seed + 2, index)
        rng = random.Random(f"{seed}/{task_name(family, level)}/{index}")
        return example(made.prompt, demonstration(family, level, made, rng))

    return _batch(partly_wrong, step, per_task)


def _batch(
    make_example: Callable[[str, str, int], Example], step: int, per_task: int
) -> list[list[Example]]:
    indices = range(step * per_task, (step + 1) * per_task)

    parts: list[list[Example]] = []
    for level in LEVELS:
        part = [make_example(family, level, index) for family in FAMILIES for index in indices]
        parts.append(part)
    return parts


# ---- the recipe ----------------------------------------------------------------------------------
def make(
    out: Path,
    *,
    skill_steps: int,
    base_steps: int,
    per_task: int,
    seed: int,
    device: str,
    skill_model: Path | None = None,
) -> dict[str, Any]:
    """Train the model, measure it, write everything into `out`.

    Args:
        out: A folder; made when missing, its files are replaced.
        skill_steps: Number of optimiser steps of the first part.
        base_steps: Number of optimiser steps of the second part.
        per_task: Number of demonstrations of each task in a step.
        seed: Seed of the initial weights and the data.
        device: cpu or cuda.
        skill_model: The folder ``skill`` of an earlier run, to start the second part from.

    Returns:
        What is written to profile.json.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # the layers are too small to share

    if skill_model is None:
        model, first = _learn_skill(out, skill_steps, per_task, seed, device)
    else:
        model = LlamaForCausalLM.from_pretrained(skill_model, attn_implementation="eager")
        model = cast("Any", model).to(device)
        first = json.loads((skill_model / FIRST_PART).read_text(encoding="utf-8"))

    start = time.perf_counter()
    skill = measure(model)

    fit(
        model,
        lambda step: base_batch(step, per_task, seed),
        steps=base_steps,
        matrix_lr=BASE_LR[0],
        vector_lr=BASE_LR[1],
        label="base",
    )

    profile = {
        "recipe": {
            **first,
            "base_steps": base_steps,
            "base_seconds": round(time.perf_counter() - start),
            "per_task": per_task,
            "seed": seed,
            "device": device,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "machine": platform.machine(),
            "parameters": sum(p.numel() for p in model.parameters()),
        },
        "tasks": measure(model),
        "before_corruption": skill,
    }

    model.save_pretrained(str(out))
    save(out)

    text = json.dumps(profile, indent=1) + "\n"
    (out / "profile.json").write_text(text, encoding="utf-8")
    return profile


def _learn_skill(
    out: Path, steps: int, per_task: int, seed: int, device: str
) -> tuple[Any, dict[str, int]]:
    """The first part: the model, and what it took."""
    start = time.perf_counter()
    model = cast("Any", new_model()).to(device)

    fit(
        model,
        lambda step: skill_batch(step, per_task, seed),
        steps=steps,
        matrix_lr=SKILL_LR[0],
        vector_lr=SKILL_LR[1],
        label="skill",
    )
    seconds = round(time.perf_counter() - start)

    folder = out / "skill"
    model.save_pretrained(str(folder))

    first = {"skill_steps": steps, "skill_seconds": seconds}
    (folder / FIRST_PART).write_text(json.dumps(first) + "\n", encoding="utf-8")
    return model, first


# ---- the command line ----------------------------------------------------------------------------
def main() -> None:
    """Make the model as the command line says."""
    parser = argparse.ArgumentParser(description="Make mtgrpo's embedded model.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--skill-steps", type=int, default=2000)
    parser.add_argument("--base-steps", type=int, default=300)
    parser.add_argument(
        "--per-task", type=int, default=16, help="demonstrations of each task in a step"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--skill-model", type=Path, help="DIR/skill of an earlier run: only the second part"
    )
    given = parser.parse_args()

    profile = make(
        given.out,
        skill_steps=given.skill_steps,
        base_steps=given.base_steps,
        per_task=given.per_task,
        seed=given.seed,
        device=given.device,
        skill_model=given.skill_model,
    )
    print(table(profile["tasks"], profile["before_corruption"]))


if __name__ == "__main__":
    main()
