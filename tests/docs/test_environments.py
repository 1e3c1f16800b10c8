"""The script of docs/environments.md trains, with a toy model in the place of the Hub's."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import trl

from mtgrpo.integrations import trl as integration

from ..integrations.trl.toy import make_tokenizer, save_model
from .pages import ROOT, blocks

SMALL = {
    "max_steps": 1,
    "num_generations": 4,
    "per_device_train_batch_size": 8,
    "max_completion_length": 4,
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "report_to": "none",
    "save_strategy": "no",
}


def save_chat_model(path: Path) -> Any:
    """A toy model whose chat template knows tools; returns its tokenizer."""
    save_model(path)
    tokenizer = make_tokenizer()
    template = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"
    tokenizer.chat_template = template.read_text(encoding="utf-8")
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>"})
    tokenizer.save_pretrained(path)
    return tokenizer


@pytest.mark.slow
def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    save_chat_model(tmp_path / "model")
    arguments = ["--model", str(tmp_path / "model"), "--steps", "1", "--batch-size", "8"]
    monkeypatch.setattr(sys, "argv", ["environments", *arguments, "--max-completion-length", "4"])

    runpy.run_path(str(ROOT / "examples" / "environments.py"), run_name="__main__")
    assert "'game'" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.slow
def test_the_script_of_environments_md_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")  # it warns of all environments
    tokenizer = save_chat_model(tmp_path / "model")

    real_config, real_trainer = trl.GRPOConfig, integration.MultiTaskGRPOTrainer
    trainers: list[Any] = []

    def config(output: str, **given: Any) -> Any:
        return real_config(output, **{**given, **SMALL})

    def trainer(model: str, **given: Any) -> Any:
        assert "/" in model  # a name of the Hub, which is not there offline
        made = real_trainer(str(tmp_path / "model"), processing_class=tokenizer, **given)
        trainers.append(made)
        return made

    monkeypatch.setattr(trl, "GRPOConfig", config)
    monkeypatch.setattr(integration, "MultiTaskGRPOTrainer", trainer)
    script = blocks(ROOT / "docs" / "environments.md")[0]
    names: dict[str, Any] = {}
    exec(compile(script.code, str(script), "exec"), names)

    (trained,) = trainers
    assert trained.mixer.step == 1
    assert set(trained.mixer.tasks) == {"game", "shop"}

    log = next(line for line in trained.state.log_history if "task/game/score" in line)
    assert 0 <= log["task/game/score"] <= 1

    game = names["HigherLower"]()
    game.reset(seed=0)
    assert game.get_reward() == 0
    assert game.guess(game.number) == "right"
    assert game.get_reward() == 1
    shop = names["Shop"]()
    shop.reset(item="pear")
    assert shop.price("pear") == 4
