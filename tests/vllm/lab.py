"""Small runs of the embedded model whose completions come from real vLLM."""

import hashlib
from pathlib import Path

import torch
from transformers import PrinterCallback
from trl import GRPOConfig

from mtgrpo import ImprovementAware, Method, tiny
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.tasks import TaskSet

torch.set_num_threads(1)

ROWS, GROUP = 96, 8


def easy_tasks(num_train: int = 10_000) -> TaskSet:
    return TaskSet(
        *(
            tiny.tiny_task(family, "easy", num_train=num_train, num_test=8)
            for family in tiny.FAMILIES
        )
    )


def use_float32(replace) -> None:
    """What makes vLLM's engine of the trainer's own process compute in float32.

    Args:
        replace: Called with owner, name and value.
    """
    import trl.generation.vllm_generation as generation

    import vllm

    from .cpu.mtgrpo_vllm_cpu import keep_linear_weights

    keep_linear_weights()

    def make(*args, **kwargs):
        return vllm.LLM(*args, **{**kwargs, "dtype": "float32", "enforce_eager": True})

    replace(generation, "LLM", make)


class Lab:
    def __init__(self, folder: Path) -> None:
        self.folder, self.steps = folder, []

    def config(self, output: str, **changes) -> GRPOConfig:
        values = {
            "max_steps": 4,
            "per_device_train_batch_size": ROWS,
            "num_generations": GROUP,
            "max_completion_length": 16,
            "learning_rate": 1e-4,
            "lr_scheduler_type": "constant",
            "num_generations_eval": 4,
            "per_device_eval_batch_size": 64,
            "save_steps": 2,
            "logging_steps": 1,
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": True,
            "bf16": False,
            "gradient_checkpointing": False,
            "use_vllm": True,
            "vllm_mode": "colocate",
            "vllm_max_model_length": 64,
            "vllm_gpu_memory_utilization": 0.1,
            "vllm_enable_sleep_mode": False,
        }
        return GRPOConfig(str(self.folder / output), **{**values, **changes})

    def trainer(
        self,
        output: str,
        method: Method | str | None = None,
        *,
        cls=MultiTaskGRPOTrainer,
        tasks: TaskSet | None = None,
        arguments=None,
        **changes,
    ):
        """`arguments` are those of the trainer, `changes` go to the config."""
        self.steps = []
        trainer = cls(
            str(tiny.model_path()),
            tasks=tasks or easy_tasks(),
            method=method or Method(ImprovementAware(lam=0.2)),
            on_mixer_step=lambda step, report: self.steps.append(report),
            args=self.config(output, **changes),
            **(arguments or {}),
        )
        trainer.remove_callback(PrinterCallback)
        return trainer

    def check_shares(self) -> None:
        """Every batch since the trainer was made has its quotas."""
        assert self.steps
        for report in self.steps:
            wanted = {task: count for task, count in report.quotas.items() if count}
            assert {task: count for task, count in report.realized.items() if count} == wanted


def logged(trainer, name: str) -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def weights_digest(trainer) -> str:
    digest = hashlib.sha256()
    for _, parameter in sorted(trainer.model.named_parameters()):
        digest.update(parameter.detach().float().numpy().tobytes())
    return digest.hexdigest()
