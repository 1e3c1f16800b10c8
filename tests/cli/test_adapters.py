"""`mtgrpo train` and `eval` with an adapter and an environment, from YAML alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtgrpo import tiny
from mtgrpo.cli import main

ENVIRONMENT = '''
class Room:
    """Pays for itself."""

    def reset(self, **row):
        return " knock"

    def get_reward(self):
        return 0.0


def reward(completions, environments, **columns):
    return [float(len(str(completion)) % 2) for completion in completions]
'''


def config(path: Path, **changes: Any) -> str:
    values = {
        "output": str(path / "run"),
        "tasks": [{"tiny": "zebra", "level": "easy"}],
        "preset": "grpo",
        "steps": 2,
        "batch_size": 4,
        "group_size": 4,
        "max_completion_length": 4,
        "evaluation": {"samples_per_prompt": 1, "prompts_per_task": 2},
        "checkpoint": {"every": 1},
        **changes,
    }
    file = path / "config.yaml"
    file.write_text(yaml.safe_dump(values))
    return str(file)


@pytest.mark.slow
def test_an_adapter_is_trained_saved_evaluated_and_resumed(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    file = config(tmp_path, peft={"r": 4, "target_modules": "all-linear"})
    assert main(["train", file]) == 0
    run = tmp_path / "run"
    assert (run / "model" / "adapter_model.safetensors").is_file()
    assert not (run / "model" / "model.safetensors").exists()
    assert main(["eval", str(run)]) == 0

    # Killed between its last step and its summary: what is left is the evaluation, and saving.
    weights = (run / "model" / "adapter_model.safetensors").read_bytes()
    lines = (run / "evaluations.jsonl").read_text().splitlines()
    (run / "summary.json").unlink()
    (run / "model" / "adapter_model.safetensors").unlink()
    (run / "evaluations.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    assert main(["train", file, "--resume"]) == 0
    assert (run / "model" / "adapter_model.safetensors").read_bytes() == weights
    assert json.loads((run / "summary.json").read_text())["status"] == "finished"


def test_what_the_adapter_does_not_fit_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("peft")
    file = config(tmp_path, peft={"target_modules": ["no_such_module"]})
    assert main(["train", file]) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert line.startswith(f"error: {file}: peft: refused: Target modules")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft": {"rank": 4}}, "config.yaml: peft: unknown argument of LoraConfig 'rank'"),
        ({"peft": 8}, "peft: 8 is a whole number; "),
        ({"environment": "rooms.py:Room"}, "config.yaml: environment: no file rooms.py"),
        (
            {"environment": "collections:Counter"},
            "has no method 'reset', which is called for every",
        ),
        ({"environments": "rooms.py:Room"}, "'environments' (did you mean 'environment'?)"),
        ({"tools": ["json:dumps"]}, "config.yaml: tools[0]: json:dumps cannot be described"),
        ({"tools": "json:dumps"}, "tools: 'json:dumps' is text; a list of text"),
        ({"report_to": "trakio"}, "config.yaml: report_to: unknown tracker 'trakio'"),
        (
            {"trl": {"report_to": "wandb"}},
            "config.yaml: trl.report_to: derived from this configuration",
        ),
    ],
)
def test_bad_uses_are_refused_before_a_model_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    if "peft" in changes:
        pytest.importorskip("peft")
    assert main(["train", config(tmp_path, **changes), "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def chatting_model(path: Path) -> str:
    """The embedded model with a chat template in which tools can be called."""
    import trl
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny.model_path())
    template = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"
    tokenizer.chat_template = template.read_text()
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>"})

    model = AutoModelForCausalLM.from_pretrained(tiny.model_path())
    model.resize_token_embeddings(len(tokenizer))
    tokenizer.save_pretrained(path)
    model.save_pretrained(path)
    return str(path)


def test_an_environment_from_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    rooms = tmp_path / "rooms.py"
    rooms.write_text(ENVIRONMENT)
    rows = [{"prompt": [{"role": "user", "content": f"{i}="}]} for i in range(8)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    reward = f"{rooms}:reward"
    task = {"rows": str(tmp_path / "rows.jsonl"), "name": "rooms", "reward": reward}
    model = chatting_model(tmp_path / "chat")
    file = config(tmp_path, environment=f"{rooms}:Room", model=model, tasks=[task], steps=1)
    assert main(["train", file]) in (0, 1)  # 1 where no group had a gradient
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "finished"


@pytest.mark.parametrize("module", ["torch", "trl"])
@pytest.mark.parametrize("command", ["train", "eval"])
def test_without_the_extra_the_way_to_it_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    command: str,
) -> None:
    from mtgrpo.integrations import trl

    monkeypatch.setattr(trl, "NEEDED", (*trl.NEEDED, f"no_{module}"))
    assert main([command, config(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: no_{module}: not installed; ")
    assert "pip install 'mtgrpo[trl]'" in error
    assert error.count("\n") == 1


def test_what_training_needs_is_looked_for() -> None:
    from mtgrpo.integrations import trl

    assert set(trl.NEEDED) == {
        *("torch", "transformers", "datasets", "accelerate", "safetensors", "trl"),
    }
