r"""Probes with the embedded model where prompts are nearly all right or all wrong: groups of 32.

    python benchmarks/probes_polarised.py run runs/probes_polarised.jsonl        # resumable
    python benchmarks/probes_polarised.py compare runs/probes_polarised.jsonl    # writes the .json

On the three medium tasks of `probes_embedded.py` prompts are nearly alike, so that probes save next to
nothing. A trained language model on a data set of mixed difficulty is another case: it gets most prompts
always right or always wrong, as in the paper's tasks. Decided before any run, and tuned on none:

* each of the three tasks is half easy and half hard rows of its family, shuffled;
* the policy is the embedded model after 200 steps, by the second part of its recipe, on demonstrations
  that are right for easy prompts, and wrong for hard ones but for one in fifty: easy prompts are mostly
  solved, hard ones hardly ever;
* everything else is as in `probes_embedded.py`: 30 steps of 8 prompts, two seeds, whole groups and `auto`.

That turned out to be hardly polarised: a policy that has seen wrong answers alone is right once in thirty
completions, and four groups in five were mixed. The kinds "sharp" were decided then, before they were run:
the same at a temperature of 0.5, which a policy with logits twice as large would have at 1.

The accuracy at the end is on 200 test prompts of each task, of both halves.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import torch
from probes_embedded import SEEDS, compare, one_run, read
from recorded import main
from transformers import LlamaForCausalLM

from mtgrpo import tiny
from mtgrpo.tasks import each
from mtgrpo.tasks.answers.boxed import box
from mtgrpo.tasks.tiny.catalogue import FAMILIES, make_row, problem, score
from mtgrpo.tiny.corruption import demonstration
from mtgrpo.tiny.recipe import BASE_LR, example
from mtgrpo.tiny.tokenizer import save
from mtgrpo.tiny.train import Example, fit

# By name: the kind of `probes_embedded.py`, and the temperature.
KINDS = {
    "whole groups": ("whole groups", 1.0),
    "auto": ("auto", 1.0),
    "sharp, whole groups": ("whole groups", 0.5),
    "sharp, auto": ("auto", 0.5),
}
WARM_UP_STEPS, PER_TASK = 200, 16
RIGHT_OF_HARD = 1 / 50
TRAIN_ROWS, TEST_ROWS = 2000, 200
RECORD = Path(__file__).with_suffix(".json")

reward = each(score)


def warm_up(folder: Path) -> None:
    """The policy that all runs start from."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model: Any = LlamaForCausalLM.from_pretrained(tiny.model_path(), attn_implementation="eager")
    matrix_lr, vector_lr = BASE_LR
    fit(
        model,
        demonstrations,
        steps=WARM_UP_STEPS,
        matrix_lr=matrix_lr,
        vector_lr=vector_lr,
        label="warm-up",
    )
    model.save_pretrained(str(folder))
    save(folder)


def demonstrations(step: int) -> list[list[Example]]:
    """Those of a step: a part of easy prompts, and one of hard ones."""
    parts: list[list[Example]] = []
    for level in ("easy", "hard"):
        part: list[Example] = []
        for family in FAMILIES:
            for index in range(step * PER_TASK, (step + 1) * PER_TASK):
                made = problem(family, level, "train", 3, index)
                rng = random.Random(f"{family} {level} {index}")
                completion = box(made.answer)
                is_wrong = level == "hard" and rng.random() >= RIGHT_OF_HARD
                while is_wrong and completion == box(made.answer):
                    completion = demonstration(family, level, made, rng)
                part.append(example(made.prompt, completion))
        parts.append(part)
    return parts


def write_rows(folder: Path) -> None:
    """Files of the tasks' rows."""
    for family in FAMILIES:
        for split, count in (("train", TRAIN_ROWS), ("test", TEST_ROWS)):
            rows = [
                make_row(family, level, split, 0, index)
                for level in ("easy", "hard")
                for index in range(count // 2)
            ]
            random.Random(0).shuffle(rows)
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"{family}-{split}.jsonl").write_text(text, encoding="utf-8")


def tasks_change(folder: Path, temperature: float) -> str:
    """The tasks, as a change to a configuration."""
    reward_path = f"{Path(__file__).resolve()}:reward"
    entries: list[dict[str, Any]] = []
    for family in FAMILIES:
        entry: dict[str, Any] = {"rows": f"{folder}/{family}-train.jsonl", "name": family}
        entry |= {"test": f"{folder}/{family}-test.jsonl", "reward": reward_path}
        if temperature != 1.0:
            entry["generation"] = {"temperature": temperature}
        entries.append(entry)
    return f"tasks={json.dumps(entries)}"


def run_all(path: Path) -> None:
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model").exists():
        warm_up(folder / "model")

    write_rows(folder)
    done = {(run["kind"], run["seed"]) for run in read(path)}
    for seed in SEEDS:
        for name, (kind, temperature) in KINDS.items():
            if (name, seed) not in done:
                changes = [tasks_change(folder, temperature), f"model={folder / 'model'}"]
                run = {**one_run(kind, seed, changes), "kind": name}
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(run) + "\n")


if __name__ == "__main__":
    main(__doc__, run_all, lambda path: compare(read(path), list(KINDS)), RECORD)
