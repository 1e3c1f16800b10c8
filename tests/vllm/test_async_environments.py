"""Environments in TRL's own asynchronous loop and trainer, over a real vLLM server."""

import runpy
from pathlib import Path

import pytest

pytest.importorskip("trl")
pytest.importorskip("requests")

EXAMPLE = Path(__file__).parents[2] / "examples" / "openenv_environment.py"
GAMES = ("countdown", "zebra")


@pytest.fixture(autouse=True)
def attention(monkeypatch):
    """On a CPU TRL's packed attention is computed by torch."""
    from .cpu_attention import use_on_cpu

    use_on_cpu(monkeypatch)


def game_of(family: str) -> type:
    """A game of two answers: a call of the tool, whose result is the question again, and a last word."""
    from mtgrpo import tiny

    task = tiny.tiny_task(family, "easy", num_train=200, num_test=8)

    class Game:
        num_resets = 0

        def reset(self, seed, **row):
            type(self).num_resets += 1
            self.row, self.paid = task.train[seed], 0.0
            return self.row["prompt"]

        def answer(self, text: str) -> str:
            """Answer.

            Args:
                text: The answer.
            """
            (score,) = task.score([self.row], [text])
            self.paid += score.reward / 2
            return self.row["prompt"]

    Game._score = lambda self, text: self.paid + task.score([self.row], [text])[0].reward / 2
    return Game


class Paying(game_of("countdown")):
    """Its reward is its own: for the first answer."""

    def get_reward(self) -> float:
        return self.paid


def games() -> tuple:
    from mtgrpo.tasks import Task, TaskSet

    def nothing(completions, **columns):
        return [0.0] * len(completions)

    def scored(completions, environments, **columns):
        said = [completion[-1]["content"] for completion in completions]
        return [one._score(text) for one, text in zip(environments, said, strict=True)]

    def rows(name):
        empty = [{"role": "user", "content": ""}]
        return [{"environment": name, "prompt": empty, "seed": seed} for seed in range(200)]

    tasks = TaskSet(
        Task("countdown", rows("countdown"), [], nothing),
        Task("zebra", rows("zebra"), [], scored, correct_at=1.0),
    )
    return tasks, {"countdown": Paying, "zebra": game_of("zebra")}


def calling_tokenizer():
    """The embedded model's, for which a first answer is a call of the tool."""
    from transformers import AutoTokenizer

    from mtgrpo import tiny

    tokenizer = AutoTokenizer.from_pretrained(tiny.model_path())
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['content'] }}"
        "{% for call in m['tool_calls'] or [] %}{{ call['function']['arguments']['text'] }}{% endfor %}"
        "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    )
    tokenizer.response_template = {}

    def parse_response(ids, prefix, tools=None):
        text = tokenizer.decode(ids, skip_special_tokens=True)
        if tokenizer.eos_token_id in prefix:
            return {"role": "assistant", "content": text}
        call = {"name": "answer", "arguments": {"text": text}}
        return {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": call}],
        }

    tokenizer.parse_response = parse_response
    return tokenizer


def test_two_tasks_play_their_own_games_and_what_the_games_say_is_not_trained_on(url, tmp_path):
    from .async_lab import check_batches, make, steps_logged

    tasks, factory = games()
    arguments = {"environment_factory": factory, "processing_class": calling_tokenizer()}
    trainer, made = make(
        tmp_path,
        url,
        tasks=tasks,
        arguments=arguments,
        max_steps=2,
        save_strategy="no",
        max_completion_length=8,
    )
    trainer.train()
    check_batches(made, 2)
    assert min(game.num_resets for game in factory.values()) > 0

    decode = trainer.processing_class.decode
    for sample in made[0].samples:
        mask = sample.completion_mask
        assert (mask[1:] > mask[:-1]).sum() == 2  # turns
        assert mask.sum() <= 2 * 8

        # What `reset` returned, and then the tool.
        start = int(mask.argmax())
        question, later = sample.input_ids[:start], sample.input_ids[start:]
        assert decode(question).startswith(tuple(GAMES))
        assert decode(later[mask[start:] == 0]).endswith(decode(question))

    logs = steps_logged(trainer)
    assert logs[0]["kl"] < 1e-6  # of the tokens that the server said, in both turns
    assert logs[0]["tools/call_frequency"] == 1
    for name in GAMES:
        assert max(entry[f"task/{name}/reward"] for entry in logs) > 0


def test_environments_of_openenv_train_by_the_default_method(url, tmp_path):
    pytest.importorskip("openenv.core", reason="openenv-core is not installed")
    from mtgrpo.tasks import Task, TaskSet

    from .async_lab import make, steps_logged

    example = runpy.run_path(str(EXAMPLE))
    given = example["two_games"](num_rows=40)
    tokenizer = given["processing_class"]
    tokenizer.response_template = {}
    rows = {name: [row for row in given["train_dataset"] if row["task"] == name] for name in GAMES}
    tasks = TaskSet(*(Task(name, rows[name], [], example["paid"], correct_at=1.0) for name in rows))

    trainer, made = make(
        tmp_path,
        url,
        tasks=tasks,
        method="grpo_fair",
        arguments={
            "environment_factory": given["environment_factory"],
            "processing_class": tokenizer,
        },
        max_steps=2,
        save_strategy="no",
    )
    trainer.train()
    assert len(made) >= 2
    logs = steps_logged(trainer)
    for entry in logs:
        assert sum(entry[f"task/{name}/loss_share"] for name in GAMES) == pytest.approx(1)
    for name in GAMES:
        assert max(entry[f"task/{name}/num_informative"] for entry in logs) > 0
