"""What the files of a model say, without loading it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mtgrpo import tiny
from mtgrpo.config import ModelShape
from mtgrpo.errors import ConfigError
from mtgrpo.jobs.model_files import find_model


def shape_of(place: Path) -> ModelShape | None:
    files = find_model(str(place))
    assert files is not None
    return files.shape


def test_the_embedded_model() -> None:
    found = find_model(str(tiny.model_path()))
    assert found is not None
    assert found.has_weights
    assert found.has_tokenizer

    config = json.loads((tiny.model_path() / "config.json").read_text())
    assert isinstance(found.shape, ModelShape)
    assert found.shape.hidden_size == config["hidden_size"]
    assert found.shape.vocab_size == config["vocab_size"]

    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny.model_path())
    assert found.shape.num_parameters == sum(p.numel() for p in model.parameters())


def test_a_hub_name_is_looked_up_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert find_model("some/model") is None
    snapshot = tmp_path / "models--some--model" / "snapshots" / "abc"
    shutil.copytree(tiny.model_path(), snapshot)
    found = find_model("some/model")
    assert found is not None
    assert found.path == snapshot
    assert found.shape == shape_of(tiny.model_path())


@pytest.mark.parametrize(
    "content", [b"", b"\x05\0\0\0\0\0\0\0[1,2]", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0{]"]
)
def test_files_that_do_not_say_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    assert shape_of(tmp_path) is None
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "vocab_size": 3}
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    (tmp_path / "model.safetensors").write_bytes(content)
    assert shape_of(tmp_path) is None
    for text in ("[]", "{", ""):
        (tmp_path / "config.json").write_text(text)
        assert shape_of(tmp_path) is None


def test_a_place_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such directory; give one, or a hub name"):
        find_model(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"has no config\.json"):
        find_model(str(tmp_path))
