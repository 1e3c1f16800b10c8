# ruff: noqa: E402 - the path comes first
"""Run by test_trl_bank_processes.py, alone or with torchrun: writes one file of JSON per process.

Completions are a function of step, prompt and place in the group, so they do not depend on the process that makes them.
"""

import faulthandler
import hashlib
import json
import os
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[3]))
torch.set_num_threads(1)
faulthandler.dump_traceback_later(600, exit=True)  # processes that wait for each other say where

from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig

from mtgrpo import ImprovementAware, Method, RatioPreservingSampler
from mtgrpo.core.planners import NeededRounds
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.integrations.trl.old_log_probs import OLD
from tests.integrations.trl.conftest import around, history, same_parameters
from tests.integrations.trl.test_banked import two_tasks

model_path, folder, checkpoint = sys.argv[1:4]
processes, process = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
GROUP = 4


class Recorder(MultiTaskGRPOTrainer):
    """Keeps each step's decisions; makes completions up."""

    def __init__(self, *args, **kwargs):
        self.decisions, self.wrong, self.num_moved = [], 0, 0
        super().__init__(*args, **kwargs)
        around(self.step, "choose_groups", self._choose_groups)
        around(self.engine, "replay", self._replay)

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        _, *rest = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        return ([self._made_up(ids, i % GROUP) for i, ids in enumerate(prompt_ids)], *rest)

    def _made_up(self, prompt, place):
        # The toy vocabulary begins with five special tokens, then the lower-case letters.
        seed = f"{self.mixer.step} {list(prompt)} {place}".encode()
        return [5 + byte % 40 for byte in hashlib.blake2b(seed, digest_size=6).digest()]

    def _choose_groups(self, choose_groups):
        slots = choose_groups()
        batch = self.mixer.batch
        groups = [[group.task, group.rewards] for group in batch.groups]
        self.decisions.append(
            [self.mixer.weights(), batch.quotas, len(batch.banked), sorted(groups)]
        )
        for slot in slots:  # the owner has the rows, with log-probabilities if the group is an old one, and only then
            here = slot.owner == process
            banked = any(slot.group.uid == group.uid for group in batch.banked)
            rows = slot.group.payload
            right = (
                all((row.old_log_probs is not None) == banked for row in rows)
                if here
                else rows is None
            )
            self.wrong += not right
        return slots

    def _replay(self, replay, rows):
        output = replay(rows)
        for i, row in enumerate(rows):
            if row.old_log_probs is not None:
                self.wrong += not torch.equal(output[OLD][i], row.old_log_probs)
        self.num_moved += sum(row.old_log_probs is not None for row in rows)
        return output


def build(name, max_steps=6, **changes):
    rows = 4 * GROUP // processes
    return Recorder(
        AutoModelForCausalLM.from_pretrained(model_path),
        tasks=two_tasks(),
        args=GRPOConfig(
            f"{folder}/{name}-{processes}",
            **{"per_device_train_batch_size": rows, "gradient_accumulation_steps": 2, **changes},
            num_generations=GROUP,
            max_completion_length=6,
            max_steps=max_steps,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            learning_rate=1e-2,
            logging_steps=1,
            save_strategy="steps",
            save_steps=3,
            disable_tqdm=True,
        ),
        method=Method(
            ImprovementAware(improvement="rewards", weight_lr=0.3),
            RatioPreservingSampler(
                max_staleness=2, planner=NeededRounds(confidence=0.9, max_inflation=12.0)
            ),
        ),
        processing_class=AutoTokenizer.from_pretrained(model_path, padding_side="left"),
    )


def run(trainer, resume=None):
    trainer.train(resume_from_checkpoint=resume)
    return trainer


result = {}
if checkpoint == "none":
    for name, changes in (
        ("whole", {}),
        ("halves", {"gradient_accumulation_steps": 1, "steps_per_generation": 2}),
    ):
        whole = run(build(name, **changes))
        resumed = run(
            build(f"{name}-resumed", **changes), f"{folder}/{name}-{processes}/checkpoint-3"
        )
        result[name] = {
            "decisions": whole.decisions,
            "shares": [
                e["sampler/shares_met"] for e in history(whole) if "sampler/shares_met" in e
            ],
            "discarded": sum(e.get("sampler/discarded", 0) for e in history(whole)),
            "wrong": whole.wrong + resumed.wrong,
            "resumed": same_parameters(whole, resumed)
            and history(whole, after=3) == history(resumed, after=3)
            and whole.mixer.state_dict() == resumed.mixer.state_dict()
            and whole.decisions[-len(resumed.decisions) :] == resumed.decisions,
        }
else:
    resumed = run(build("elsewhere"), checkpoint)
    result = {
        "decisions": resumed.decisions,
        "wrong": resumed.wrong,
        "num_moved": resumed.num_moved,
    }
Path(folder, f"result-{process}.json").write_text(json.dumps(result))
if processes > 1:
    torch.distributed.destroy_process_group()
