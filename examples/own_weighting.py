"""A rule for task weights of your own, in a run (docs/writing-a-weighting.md).

python examples/own_weighting.py --steps 20
"""

import argparse
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here needs the network

import numpy as np
from transformers import PrinterCallback
from trl import GRPOConfig

from mtgrpo import Method, TaskSet, TaskWeighting, tiny
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer


class Tilted(TaskWeighting):
    """More weight for what a task has not reached yet: z_k ~ (1 - J_k) ** tilt."""

    per_task = ("_level",)

    def __init__(self, tilt=1.0):
        self.tilt = tilt

    def _start(self, num_tasks):
        self._level = np.full(num_tasks, 0.5)

    def _update(self, rewards, improvements, mean_abs_advantages):
        for observed in rewards:
            seen = ~np.isnan(observed)
            self._level[seen] += 0.2 * (observed[seen] - self._level[seen])

    def _weights(self):
        left = np.clip(1 - self._level, 0.01, None) ** self.tilt
        return left / left.sum()

    def _state(self):
        return {"level": self._level.tolist()}

    def _load(self, state):
        self._level = np.array(state["level"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--output", default="runs/own-weighting")
    options = parser.parse_args()

    trainer = MultiTaskGRPOTrainer(
        str(tiny.model_path()),
        tasks=TaskSet(*tiny.tiny_tasks(levels=["easy"])),
        method=Method(Tilted(tilt=2.0)),
        args=GRPOConfig(
            options.output,
            max_steps=options.steps,
            per_device_train_batch_size=96,
            num_generations=8,
            max_completion_length=16,
            learning_rate=1e-4,
            use_cpu=True,  # leave these two out on a GPU
            bf16=False,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        ),
        on_mixer_step=lambda step, report: print(
            step, {task: round(weight, 2) for task, weight in report.weights.items()}
        ),
    )
    trainer.remove_callback(PrinterCallback)  # prints every metric of every step

    trainer.train()


if __name__ == "__main__":
    main()
