# ruff: noqa: E402 - the path comes first
"""Run by test_trl_processes.py with torchrun: prints one line of JSON per process."""

import faulthandler
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[3]))
torch.set_num_threads(1)
faulthandler.dump_traceback_later(200, exit=True)  # processes that wait for each other say where

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from mtgrpo import ImprovementAware, Method, RatioPreservingSampler, Uniform
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.integrations.trl.rollouts import LOSS_FACTORS, TASK_NUMBERS
from mtgrpo.tasks import Generation, TaskSet
from tests.integrations.trl.conftest import around, history, same_parameters
from tests.integrations.trl.test_bitwise import Recording, plain_rewards
from tests.integrations.trl.toy import make_tasks

model_path, folder = sys.argv[1], sys.argv[2]


def config(name, **changes):
    values = {
        "per_device_train_batch_size": 16,
        "num_generations": 4,
        "max_completion_length": 6,
        "max_steps": 3,
        "logging_steps": 1,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": "none",
        "save_strategy": "no",
        "learning_rate": 1e-2,
        "disable_tqdm": True,
        "lr_scheduler_type": "constant",
    }
    return GRPOConfig(f"{folder}/{name}", **{**values, **changes})


def parts():
    tokenizer = AutoTokenizer.from_pretrained(model_path, padding_side="left")
    return {
        "model": AutoModelForCausalLM.from_pretrained(model_path),
        "processing_class": tokenizer,
    }


def build(
    name,
    cls=MultiTaskGRPOTrainer,
    weighting=None,
    sampler=None,
    loss_shares=False,
    memory=False,
    skip=True,
    tasks=None,
    **changes,
):
    method = Method(
        weighting or ImprovementAware(),
        sampler or RatioPreservingSampler(),
        loss_shares=loss_shares,
        prompt_memory=memory,
    )
    return cls(
        tasks=tasks or make_tasks(),
        args=config(name, **changes),
        method=method,
        skip_zero_advantages=skip,
        **parts(),
    )


class Shares(MultiTaskGRPOTrainer):
    """Checks the shares over both processes. Completions of the easy task are short, so tokens and groups disagree."""

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        tokens, *rest = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        easy = [
            "".join(self.processing_class.decode(ids).split()).startswith("easy")
            for ids in prompt_ids
        ]
        return ([ids[:2] if short else ids for ids, short in zip(tokens, easy, strict=True)], *rest)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        around(self.shares, "settle", self._settle)
        around(self.engine, "replay", self._replay)

    def _settle(self, settle, parts, *args):
        figures = settle(parts, *args)
        sums = torch.zeros(3)
        for part in parts:
            for number, factor, mask in zip(
                part[TASK_NUMBERS], part[LOSS_FACTORS], part["completion_mask"], strict=True
            ):
                sums[number] += factor * mask.sum()
        sums = self.accelerator.reduce(sums, reduction="sum")
        quotas = torch.tensor([float(self.mixer.batch.quotas[name]) for name in self.tasks.names])
        exact = torch.allclose(sums / sums.sum(), quotas / quotas.sum(), atol=1e-5)
        scaled = any(abs(float(f) - 1) > 0.3 for part in parts for f in part[LOSS_FACTORS])
        self.__dict__.setdefault("loss", []).append((exact, scaled))
        return figures

    def _replay(self, replay, rows):
        output = replay(rows)
        numbers = self.accelerator.gather(output[TASK_NUMBERS])[
            :: self.schedule.group_size
        ].tolist()
        counts = {name: numbers.count(k) for k, name in enumerate(self.tasks.names)}
        self.__dict__.setdefault("quotas_met", []).append(counts == self.mixer.batch.quotas)
        return output


tasks, result = make_tasks(), {}

plain_kept = RatioPreservingSampler(group_filter="none")
ours = build("ours", Recording, Uniform(), plain_kept, skip=False)
ours.train()
rows = [{"prompt": tasks[t].train[i]["prompt"], "task": t, "row": i} for t, i in ours.plans]
rows += [rows[0]] * (120 - len(rows))
plain = GRPOTrainer(
    reward_funcs=plain_rewards(tasks),
    args=config("plain", shuffle_dataset=False, reward_weights=[1.0, 0.0]),
    train_dataset=Dataset.from_list(rows),
    **parts(),
)
plain.train()
result["bitwise"] = same_parameters(ours, plain)
result["metrics"] = [
    {k: a[k] for k in b} for a, b in zip(history(ours), history(plain), strict=True)
] == history(plain)

passes = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4, "optim": "sgd"}
packed = build("packed", MultiTaskGRPOTrainer, Uniform(), plain_kept, **passes)
packed.train()
all_rows = build("all-rows", MultiTaskGRPOTrainer, Uniform(), plain_kept, skip=False, **passes)
all_rows.train()
result["packed"] = all(
    torch.allclose(p, q, rtol=1e-6, atol=1e-7)
    for p, q in zip(packed.model.parameters(), all_rows.model.parameters(), strict=True)
)
result["left_out"] = [entry["sampler/rows_left_out"] for entry in history(packed)]

schedule = {
    "per_device_train_batch_size": 4,
    "steps_per_generation": 4,
    "max_steps": 8,
    "save_strategy": "steps",
}
weighting = {"improvement": "surrogate", "updates": "minibatch", "weight_lr": 0.3}
whole = build(
    "whole", Shares, ImprovementAware(**weighting), save_steps=3, loss_shares=True, **schedule
)
whole.train()
result["shares"] = all(whole.quotas_met) and len(whole.quotas_met) == 2
# The weights move fast: a batch whose quotas leave the easy task out has nothing to mend.
result["loss_shares"] = len(whole.loss) == 2 and all(exact for exact, _ in whole.loss)
result["loss_scaled"] = any(scaled for _, scaled in whole.loss)
result["discarded"] = [e["sampler/discarded"] for e in history(whole) if "sampler/discarded" in e]
resumed = build(
    "resumed", Shares, ImprovementAware(**weighting), save_steps=3, loss_shares=True, **schedule
)
resumed.train(resume_from_checkpoint=f"{folder}/whole/checkpoint-3")
result["resumed"] = same_parameters(whole, resumed) and history(whole, after=3) == history(
    resumed, after=3
)
result["mixer"] = whole.mixer.state_dict()
saving = {"max_steps": 3, "save_strategy": "steps", "save_steps": 2}
remembering, again = (build(name, memory=True, **saving) for name in ("remembering", "again"))
remembering.train()
again.train(resume_from_checkpoint=f"{folder}/remembering/checkpoint-2")
result["memories"] = {name: stream.state_dict() for name, stream in remembering.streams.items()}
result["remembered"] = same_parameters(remembering, again) and result["memories"] == {
    name: stream.state_dict() for name, stream in again.streams.items()
}
result["skipped"] = [
    entry.get("task/hard/prompts_skipped_rate", 0.0) for entry in history(remembering)
]

easy, medium, hard = make_tasks()
cold = build(
    "cold",
    tasks=TaskSet(
        replace(easy, generation=Generation(0.5)),
        medium,
        replace(hard, generation=Generation(2.0, max_completion_length=3)),
    ),
    learning_rate=0.0,
    num_iterations=2,
    max_steps=2,
)
cold.train()
# A policy that stands still, at one temperature when it generates and when it is trained.
result["still"] = [entry["clip_ratio/region_mean"] for entry in history(cold)] == [0.0, 0.0]

changing = build(
    "changing", tasks=TaskSet(replace(easy, until_step=1), medium, replace(hard, from_step=2))
)
present = []
around(
    changing.step,
    "choose_groups",
    lambda choose: (choose(), present.append(changing.mixer.tasks))[0],
)
changing.train()
changing.change_tasks(TaskSet(easy, hard))
changing.step.changing.follow()
result["changed"] = [*present, changing.mixer.tasks]
result["weights"] = changing.mixer.weights()

metrics = whole.evaluate()
result["evaluation"] = {k: v for k, v in metrics.items() if k.startswith("eval_task")}
result["num_prompts"] = [r.num_prompts for r in whole.evaluation.results.values()]
result["checksum"] = float(sum(p.detach().double().sum() for p in whole.model.parameters()))
print("RESULT " + json.dumps(result), flush=True)
whole.accelerator.end_training()
