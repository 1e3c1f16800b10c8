"""Multi-task GRPO with TRL on the embedded model: three tasks, exact shares, weights that follow the weakest.

python examples/trl_script.py               # about two minutes on one CPU thread
python examples/trl_script.py --steps 3     # a look
"""

import argparse
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here needs the network

import torch
from transformers import PrinterCallback
from trl import GRPOConfig

from mtgrpo import ImprovementAware, Method, tiny
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.tasks import TaskSet


def show(step, report) -> None:
    worst = min(report.running_scores, key=report.running_scores.get)
    shares = " ".join(f"{task} {report.realized.get(task, 0)}" for task in report.weights)
    accuracy = f"{worst} {report.running_scores[worst]:.2f}"
    print(f"step {step:3}  worst {accuracy}  rounds {report.num_rounds}  groups: {shares}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--output", default="runs/trl-script")
    options = parser.parse_args()
    torch.set_num_threads(1)

    tasks = TaskSet(*(tiny.tiny_task(family, "medium", num_test=50) for family in tiny.FAMILIES))
    trainer = MultiTaskGRPOTrainer(
        str(tiny.model_path()),
        tasks=tasks,
        method=Method(ImprovementAware(lam=0.2)),
        on_mixer_step=show,
        args=GRPOConfig(
            options.output,
            max_steps=options.steps,
            per_device_train_batch_size=128,  # 16 prompts x 8 completions
            num_generations=8,
            max_completion_length=16,
            learning_rate=1e-4,
            lr_scheduler_type="constant",
            epsilon_high=0.28,
            num_generations_eval=4,
            per_device_eval_batch_size=64,
            save_steps=50,
            report_to="none",
            disable_tqdm=True,
            # TRL switches these on for GPUs; on a CPU they only cost time.
            use_cpu=not torch.cuda.is_available(),
            bf16=torch.cuda.is_available(),
            gradient_checkpointing=False,
        ),
    )
    trainer.remove_callback(PrinterCallback)  # prints every metric of every step

    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()

    for name in tasks.names:
        key = f"eval_task/{name}/accuracy"
        print(f"{name:20} {before[key]:.2f} -> {after[key]:.2f}")


if __name__ == "__main__":
    main()
