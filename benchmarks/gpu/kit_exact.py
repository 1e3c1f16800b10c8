"""(a) On this device: ours equals TRL's GRPOTrainer bit for bit, and a resumed run the whole one."""

from __future__ import annotations

import argparse
import shutil
from typing import Any

import torch
from kit_common import Record, dataset_of, model_of, reward_of, run_of, tasks_of, trl_arguments
from transformers import AutoModelForCausalLM, PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from mtgrpo.integrations.trl import MultiTaskGRPOTrainer

STEPS = 4
DTYPES = ("float32", "bfloat16")


def run(args: argparse.Namespace) -> int:
    record = Record(args)
    torch.use_deterministic_algorithms(True, warn_only=True)
    for dtype in DTYPES:
        record.measure(f"equals TRL, {dtype}", lambda dtype=dtype: beside_trl(args, dtype), 60)
        for preset in ("balanced", "mt_grpo"):
            name = f"resumed {preset}, {dtype}"
            record.measure(name, lambda d=dtype, p=preset: resumed(args, p, d), 90)
    return 0


def beside_trl(args: argparse.Namespace, dtype: str) -> dict[str, Any]:
    """The same script with both classes: one dataset, one task, TRL's own order."""
    trained: list[Any] = []
    start: dict[str, torch.Tensor] = {}
    for cls in (GRPOTrainer, GRPOTrainer, MultiTaskGRPOTrainer):
        own = {} if cls is GRPOTrainer else {"skip_zero_advantages": False}
        run = run_of(args)
        tasks = tasks_of(run)
        trainer = cls(
            load(run, dtype),
            reward_funcs=reward_of(tasks),
            args=GRPOConfig(**trl_arguments(args, run, max_steps=STEPS)),
            train_dataset=dataset_of(tasks, 32),
            processing_class=None,
            **own,
        )
        trainer.remove_callback(PrinterCallback)
        start = {name: value.clone() for name, value in weights(trainer).items()}
        trainer.train()
        trained.append(weights(trainer))

    plain, again, ours = trained
    return {
        "TRL_equals_itself": differences(plain, again),
        "ours_equals_TRL": differences(plain, ours),
        "tensors_moved": differences(start, ours)["tensors_apart"],
        "steps": STEPS,
    }


def resumed(args: argparse.Namespace, preset: str, dtype: str) -> dict[str, Any]:
    """Four steps in one go, and two with two more from the checkpoint."""
    place = args.work / "exact"
    shutil.rmtree(place, ignore_errors=True)

    whole = trainer_of(args, preset, dtype, str(place))
    whole.train()
    later = trainer_of(args, preset, dtype, str(place))
    later.train(resume_from_checkpoint=str(place / f"checkpoint-{STEPS // 2}"))

    found = differences(weights(whole), weights(later))
    return {
        "weights": found,
        "mixer": whole.mixer.state_dict() == later.mixer.state_dict(),
        "steps": STEPS,
    }


def trainer_of(args: argparse.Namespace, preset: str, dtype: str, out: str) -> MultiTaskGRPOTrainer:
    run = run_of(args, f"preset={preset}")
    changes = {"save_strategy": "steps", "save_steps": STEPS // 2, "max_steps": STEPS}
    trainer = MultiTaskGRPOTrainer(
        load(run, dtype),
        tasks=tasks_of(run),
        method=run.method,
        args=GRPOConfig(**trl_arguments(args, run, output_dir=out, **changes)),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def load(run: Any, dtype: str) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_pretrained(model_of(run), dtype=dtype)


def weights(trainer: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu() for name, value in trainer.model.state_dict().items()}


def differences(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Whether all bits agree, and how far apart they are where not."""
    apart = [name for name in one if not torch.equal(one[name], other[name])]
    most = max((float((one[n] - other[n]).abs().max()) for n in apart), default=0.0)
    return {"bitwise": not apart, "tensors_apart": len(apart), "max_difference": most}
