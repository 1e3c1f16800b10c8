# ruff: noqa: E402 - the environment and the optional packages come first
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

from dataclasses import fields
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig

from mtgrpo import Method, RatioPreservingSampler, Uniform
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer

from .toy import make_tasks, save_model

torch.set_num_threads(1)

METHOD = {field.name for field in fields(Method)}


@pytest.fixture(scope="session")
def model_path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("toy") / "model"
    save_model(path)
    return path


def uniform(**sampler) -> dict:
    """Arguments under which every group is kept: plain GRPO."""
    return {
        "weighting": Uniform(),
        "sampler": RatioPreservingSampler(**{"group_filter": "none", **sampler}),
    }


class Lab:
    """Builds small runs."""

    def __init__(self, model_path: Path, folder: Path) -> None:
        self.model_path, self.folder, self.count = model_path, folder, 0

    def config(self, **changes) -> GRPOConfig:
        self.count += 1
        values = {
            "output_dir": str(self.folder / f"run{self.count}"),
            "per_device_train_batch_size": 32,
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
        return GRPOConfig(**{**values, **changes})

    def model(self):
        return AutoModelForCausalLM.from_pretrained(self.model_path)

    def tokenizer(self):
        return AutoTokenizer.from_pretrained(self.model_path, padding_side="left")

    def trainer(self, tasks=None, cls=MultiTaskGRPOTrainer, arguments=None, **changes):
        """`arguments` are those of the method and of the trainer, `changes` go to the config."""
        arguments = dict(arguments or {})
        method = {key: arguments.pop(key) for key in METHOD & arguments.keys()}
        return cls(
            self.model(),
            tasks=make_tasks() if tasks is None else tasks,
            args=self.config(**changes),
            method=Method(**method),
            processing_class=self.tokenizer(),
            **arguments,
        )


@pytest.fixture
def lab(model_path, tmp_path) -> Lab:
    return Lab(model_path, tmp_path)


def around(owner, name: str, replacement) -> None:
    """From now on `owner` has `replacement` for its method; it gets the method as its first argument."""
    method = getattr(owner, name)
    setattr(owner, name, lambda *args, **kwargs: replacement(method, *args, **kwargs))


def same_parameters(a, b) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.model.parameters(), b.model.parameters(), strict=True)
    )


TIMES = ("runtime", "per_second", "step_time", "model_preparation_time", "_s")


def history(trainer, after: int = 0, skip: tuple[str, ...] = ()) -> list[dict]:
    """The logged metrics without timings."""
    return [
        {
            k: v
            for k, v in entry.items()
            if not k.endswith(TIMES) and not k.startswith(skip or ("//",))
        }
        for entry in trainer.state.log_history
        if "train_loss" not in entry and entry["step"] > after
    ]
