"""A configuration of `mtgrpo train`, trained by TRL's asynchronous trainer: a vLLM server generates meanwhile.

VLLM_SERVER_DEV_MODE=1 vllm serve MODEL --weight-transfer-config '{"backend": "nccl"}' --logprobs-mode processed_logprobs
python examples/asynchronous.py my_run.yaml --server http://localhost:8000

Model, tasks, method, sizes, environments and tools are the file's. What `mtgrpo train` does besides, evaluations and its
run directory, is not done; weights, shares and rewards are logged as TRL logs. `--resume` goes on from the last checkpoint.
The tests run it on a CPU, where a file takes the place of NCCL; on GPUs it was not run.
"""

import argparse
import os
from pathlib import Path

import torch
from trl.experimental.async_grpo import AsyncGRPOConfig

from mtgrpo.config import load_config
from mtgrpo.integrations.trl.own_code import trainer_parts
from mtgrpo.integrations.trl_async import MultiTaskAsyncGRPOTrainer
from mtgrpo.jobs.named_models import model_place
from mtgrpo.tasks import build_tasks


def make_trainer(config: str, server: str, arguments: dict, **changes) -> MultiTaskAsyncGRPOTrainer:
    """The trainer of a configuration: a file, or the name of one that comes with the library.

    Args:
        config: The file.
        server: Address of the vLLM server.
        arguments: More of the trainer's own.
        changes: Go to TRL's config.
    """
    run = load_config(config)
    tasks = build_tasks(run.tasks, "tasks")

    has_gpu = torch.cuda.is_available()
    samples = run.batch_size * run.group_size // int(os.environ.get("WORLD_SIZE", "1"))
    rows = run.micro_batch_size or samples
    values = {
        "max_steps": run.steps,
        "num_generations": run.group_size,
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": samples // rows,
        "learning_rate": run.learning_rate,
        "lr_scheduler_type": "constant",
        "max_completion_length": run.max_completion_length,
        "seed": run.seed,
        "save_steps": run.checkpoint.every or run.steps,
        "logging_steps": 1,
        "vllm_server_base_url": server,
        "report_to": "none",
        "use_cpu": not has_gpu,
        "bf16": has_gpu,
    }
    return MultiTaskAsyncGRPOTrainer(
        model_place(run.model),
        tasks,
        AsyncGRPOConfig(str(Path(run.output) / "checkpoints"), **{**values, **changes}),
        method=run.method,
        **trainer_parts(run, tasks),
        **arguments,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("--server", default="http://localhost:8000")
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()

    trainer = make_trainer(options.config, options.server, {})
    trainer.train(resume_from_checkpoint=options.resume or None)
    trainer.save_model(str(Path(trainer.args.output_dir).parent / "model"))


if __name__ == "__main__":
    main()
