"""Two tasksets of verifiers, a task each, train the embedded model.

pip install verifiers            # Python 3.11 or later
python examples/verifiers_taskset.py --steps 3

The tasksets are defined here, so that a model this small can read them; an installed one is `verifiers_task("its-name")`,
or `{verifiers: its-name}` in a configuration. Their own rewards score the completions.
"""

import argparse
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here needs the network

import torch
import verifiers.v1 as vf
from trl import GRPOConfig

from mtgrpo import ImprovementAware, Method, tiny
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.tasks import TaskSet, verifiers_task

GAMES = {family: tiny.tiny_task(family, "easy", num_test=8) for family in ("countdown", "zebra")}


class Question(vf.TaskData):
    family: str
    row: int


class OneTurn(vf.Task[Question]):
    @vf.reward
    async def paid(self, trace) -> float:
        game = GAMES[self.data.family]
        (score,) = game.score([game.train[self.data.row]], [trace.last_reply])
        return score.reward


class Countdown(vf.Taskset[OneTurn]):
    family = "countdown"

    def load(self):
        for i in range(500):
            prompt = GAMES[self.family].train[i]["prompt"]
            yield OneTurn(Question(prompt=prompt, family=self.family, row=i))


class Zebra(Countdown):
    family = "zebra"


def show(step, report) -> None:
    print(f"step {step}  groups: {dict(report.realized)}  scores: {report.running_scores}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--output", default="runs/verifiers")
    options = parser.parse_args()
    torch.set_num_threads(1)

    tasks = TaskSet(
        *(
            verifiers_task(
                kind(vf.TasksetConfig(id=kind.family)),
                kind.family,
                chat=False,  # the embedded model has no chat template
                correct_at=1.0,
            )
            for kind in (Countdown, Zebra)
        )
    )
    trainer = MultiTaskGRPOTrainer(
        str(tiny.model_path()),
        tasks=tasks,
        method=Method(ImprovementAware(lam=0.2)),
        on_mixer_step=show,
        args=GRPOConfig(
            options.output,
            max_steps=options.steps,
            per_device_train_batch_size=64,
            num_generations=8,
            max_completion_length=16,
            learning_rate=1e-4,
            lr_scheduler_type="constant",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            bf16=torch.cuda.is_available(),
            gradient_checkpointing=False,
        ),
    )
    trainer.train()


if __name__ == "__main__":
    main()
