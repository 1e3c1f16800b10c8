# ruff: noqa: E402 - the path comes first
"""Run by test_trl_decisions.py, alone or with torchrun: writes one file of JSON per process.

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
faulthandler.dump_traceback_later(300, exit=True)  # processes that wait for each other say where

from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig

from mtgrpo import ImprovementAware, Method, RatioPreservingSampler
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.errors import StateError
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from tests.integrations.trl.conftest import around
from tests.integrations.trl.toy import make_tasks

model_path, folder, what = sys.argv[1], sys.argv[2], sys.argv[3]
processes, process = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
GROUP = 4


class Recorder(MultiTaskGRPOTrainer):
    """Keeps each step's decisions; makes completions up."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        around(self.step, "choose_groups", self._choose_groups)
        around(self.engine, "roll_out", self._roll_out)

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        _, *rest = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        return ([self._made_up(ids, i % GROUP) for i, ids in enumerate(prompt_ids)], *rest)

    def _made_up(self, prompt, place):
        # The toy vocabulary begins with five special tokens, then the lower-case letters.
        seed = f"{self.state.global_step} {list(prompt)} {place}".encode()
        return [5 + byte % 40 for byte in hashlib.blake2b(seed, digest_size=6).digest()]

    def _roll_out(self, roll_out, plan, first_uid, *others):
        rolled_out = roll_out(plan, first_uid, *others)
        self.__dict__.setdefault("rows", {}).update(
            {g.uid: row for g, (_, row) in zip(rolled_out.groups, plan, strict=True)}
        )
        return rolled_out

    def _choose_groups(self, choose_groups):
        self.__dict__["rows"] = {}
        slots = choose_groups()
        batch = self.mixer.batch
        chosen = {
            name: [self.rows[g.uid] for g in batch.groups if g.task == name]
            for name in self.tasks.names
        }
        requests = [stats.num_groups for stats in batch.counts.rounds]
        self.__dict__.setdefault("decisions", []).append(
            [self.mixer.weights(), batch.quotas, requests, chosen]
        )
        return slots


def build(name, steps, sampler=None, **changes):
    sampler = RatioPreservingSampler() if sampler is None else sampler
    return Recorder(
        AutoModelForCausalLM.from_pretrained(model_path),
        tasks=make_tasks(),
        args=GRPOConfig(
            f"{folder}/{name}",
            per_device_train_batch_size=8 * GROUP // processes,
            num_generations=GROUP,
            max_completion_length=6,
            max_steps=steps,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        ),
        method=Method(
            ImprovementAware(improvement="rewards", weight_lr=0.3),
            sampler,
            loss_shares=sampler.needs_loss_shares,
        ),
        processing_class=AutoTokenizer.from_pretrained(model_path, padding_side="left"),
        **changes,
    )


def stopped(disturb):
    """What a run says whose second process is disturbed after two steps."""

    def choose(choose_groups):
        if trainer.mixer.step == 2 and process == 1:
            disturb(trainer)
        return choose_groups()

    trainer = build("disturbed", 4)
    around(trainer.step, "choose_groups", choose)
    try:
        trainer.train()
    except StateError as error:
        return [trainer.mixer.step, str(error)]
    return [trainer.mixer.step, "nothing"]


def drift(trainer):
    trainer.mixer.weighting._logits[0] += 1e-12


def skip_a_prompt(trainer):
    trainer.streams["hard"].draw(1)


def leave_one_out(trainer):
    begin = trainer.mixer.sampler.new_batch

    def new_batch(*args):
        batch = begin(*args)
        select = batch._select
        batch._select = lambda: (select(), batch._kept.selected.pop())
        return batch

    trainer.mixer.sampler.new_batch = new_batch


if what == "decisions":
    shares = build("shares", 50)
    shares.train()
    anything = build("anything", 10, RatioPreservingSampler(keep_shares=False))
    anything.train()
    one_round = build("one round", 10, OneRoundSampler())
    one_round.train()
    discarded = sum(e.get("sampler/discarded", 0) for e in shares.state.log_history)
    result = {
        "shares": shares.decisions,
        "anything": anything.decisions,
        "one round": one_round.decisions,
        "owed": one_round.mixer.sampler.owed(),
        "discarded": discarded,
    }
else:
    result = {f.__name__: stopped(f) for f in (drift, skip_a_prompt, leave_one_out)}
Path(folder, f"result-{process}.json").write_text(json.dumps(result))
if processes > 1:
    torch.distributed.destroy_process_group()
