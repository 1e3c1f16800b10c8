"""Two environments of OpenEnv, a task each, train the embedded model through TRL's `environment_factory`.

pip install openenv-core
python examples/openenv_environment.py --steps 3

The environments run in this process. One of a hub runs in its own server: its client has the same `reset` and `step`, so
that `Room` is all that changes. A chat model that calls tools gets them as public methods of `Room`; the embedded model
cannot, so its one completion is its one action.
"""

import argparse
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here needs the network

import torch
from datasets import Dataset
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State
from transformers import AutoTokenizer
from trl import GRPOConfig

from mtgrpo import ImprovementAware, Method, tiny
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer

# Environments speak in chat messages, the embedded model reads their text alone. TRL wants a template that could show
# calls of tools; there are none.
TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}{% for call in message['tool_calls'] or [] %}"
    "{{ call['function']['name'] }} {{ call['function']['arguments'] }}{% endfor %}{% endfor %}"
)


class Answer(Action):
    text: str


class Question(Observation):
    text: str = ""


class OneQuestion(Environment):
    """Asks one question of a family of the embedded model's tasks, and pays for the answer."""

    family = ""

    def reset(self, seed=None, episode_id=None, **kwargs):
        self.task = tiny.tiny_task(self.family, "easy", num_test=8)
        self.row = self.task.train[seed or 0]
        return Question(text=self.row["prompt"])

    def step(self, action, timeout_s=None, **kwargs):
        (score,) = self.task.score([self.row], [action.text])
        return Question(done=True, reward=score.reward)

    @property
    def state(self):
        return State(step_count=0)


class CountdownGame(OneQuestion):
    family = "countdown"


class ZebraGame(OneQuestion):
    family = "zebra"


def room_of(environment: type[Environment]) -> type:
    """What TRL makes for each completion, around an environment of OpenEnv."""

    class Room:
        def __init__(self):
            self._environment = environment()

        def reset(self, seed, **row):
            return self._environment.reset(seed=seed).text

        def _act(self, text: str) -> float:
            return float(self._environment.step(Answer(text=text)).reward)

    return Room


def paid(completions, environments, **columns):
    said = [completion[-1]["content"] for completion in completions]
    return [room._act(text) for room, text in zip(environments, said, strict=True)]


def two_games(num_rows: int = 500) -> dict:
    """Rows, environments and rewards of two tasks, as the trainer takes them."""
    tokenizer = AutoTokenizer.from_pretrained(tiny.model_path())
    tokenizer.chat_template = TEMPLATE

    empty = [{"role": "user", "content": ""}]  # the environment adds what `reset` returns
    games = {"countdown": CountdownGame, "zebra": ZebraGame}
    rows = [
        {"task": name, "environment": name, "prompt": empty, "seed": seed}
        for name in games
        for seed in range(num_rows)
    ]
    return {
        "reward_funcs": paid,
        "train_dataset": Dataset.from_list(rows),
        "environment_factory": {name: room_of(game) for name, game in games.items()},
        "processing_class": tokenizer,
        "correct_at": 1.0,
    }


def show(step, report) -> None:
    print(f"step {step}  groups: {dict(report.realized)}  scores: {report.running_scores}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--output", default="runs/openenv")
    options = parser.parse_args()
    torch.set_num_threads(1)

    trainer = MultiTaskGRPOTrainer(
        str(tiny.model_path()),
        **two_games(),
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
