"""Small asynchronous runs of the embedded model: TRL's own loop and trainer, over a real vLLM server."""

from collections import Counter
from pathlib import Path
from typing import Any

from trl.experimental.async_grpo import AsyncGRPOConfig

from mtgrpo import ImprovementAware, Method, tiny
from mtgrpo.integrations.trl_async import MultiTaskAsyncGRPOTrainer
from mtgrpo.tasks import TaskSet

from .lab import GROUP, easy_tasks
from .server import FileTransfer

SAMPLES = 96


def make(
    folder: Path,
    url: str,
    *,
    tasks: TaskSet | None = None,
    method: Method | str | None = None,
    arguments: dict[str, Any] | None = None,
    **changes: Any,
):
    """A trainer, and the list of the batches that it will make.

    Args:
        folder: Where checkpoints go, and weights for a moment.
        url: Of the server.
        tasks: By default the embedded model's.
        method: By default MT-GRPO.
        arguments: More of the trainer's own.
        changes: Go to the config.
    """
    args = AsyncGRPOConfig(
        str(folder / "async"),
        **{
            "max_steps": 4,
            "per_device_train_batch_size": SAMPLES // 2,
            "gradient_accumulation_steps": 2,
            "num_generations": GROUP,
            "max_completion_length": 16,
            "learning_rate": 1e-4,
            "vllm_server_base_url": url,
            "max_inflight_tasks": SAMPLES,
            "report_to": "none",
            "logging_steps": 1,
            "save_steps": 2,
            "disable_tqdm": True,
            "use_cpu": True,
            "bf16": False,
            "gradient_checkpointing": False,
            "dtype": "float32",
            **changes,
        },
    )
    trainer = MultiTaskAsyncGRPOTrainer(
        str(tiny.model_path()),
        tasks or easy_tasks(),
        args,
        method=method or Method(ImprovementAware(lam=0.2)),
        **{"weight_transfer": FileTransfer(url, folder), **(arguments or {})},
    )
    made, make_batch = [], trainer.batches.make

    def recorded():
        made.append(make_batch())
        return made[-1]

    trainer.batches.make = recorded
    return trainer, made


def check_batches(made, least: int) -> None:
    """Every batch has its quotas, and as many samples as a step."""
    assert len(made) >= least
    for batch in made:
        assert len(batch.samples) == SAMPLES
        assert Counter(batch.groups) == Counter({t: n for t, n in batch.quotas.items() if n})


def steps_logged(trainer) -> list[dict[str, float]]:
    """What was logged of each step, on the main process."""
    names = {"sampler/rounds", "kl"}
    return [entry for entry in trainer.state.log_history if names <= entry.keys()]
