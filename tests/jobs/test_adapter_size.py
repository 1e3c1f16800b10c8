"""What an adapter adds, from a model's files: as peft counts it, without loading anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtgrpo import tiny
from mtgrpo.config import parse_config
from mtgrpo.errors import ConfigError
from mtgrpo.jobs.adapter_size import adapter_size
from mtgrpo.jobs.describe import describe_job
from mtgrpo.jobs.model_files import ModelFiles, find_model


@pytest.fixture(scope="module")
def model() -> ModelFiles:
    found = find_model(str(tiny.model_path()))
    assert found is not None
    return found


@pytest.mark.parametrize(
    "peft",
    [
        {"r": 4, "target_modules": "all-linear"},
        {"target_modules": ["q_proj", "v_proj"]},
        {"r": 2, "target_modules": r".*\.(up|down)_proj", "layers_to_transform": None},
        {"r": 4, "target_modules": ["q_proj", "k_proj"], "exclude_modules": ["k_proj"]},
        {"r": 4, "target_modules": ["q_proj"], "layers_to_transform": [1]},
    ],
)
def test_it_is_what_peft_makes(model: ModelFiles, peft: dict[str, Any]) -> None:
    library = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny.model_path())
    adapted = library.get_peft_model(base, library.LoraConfig(task_type="CAUSAL_LM", **peft))
    size = adapter_size(peft, model)
    assert size is not None
    assert size.num_parameters == adapted.get_nb_trainable_parameters()[0]
    assert size.unused == ()


def test_names_that_the_model_does_not_have(model: ModelFiles) -> None:
    size = adapter_size({"target_modules": ["q_proj", "query"]}, model)
    assert size is not None
    assert size.unused == ("query",)

    said = r"the model has no module 'q_prj' .did you mean 'q_proj'.*; modules there are: .*v_proj"
    with pytest.raises(ConfigError, match=said):
        adapter_size({"target_modules": ["q_prj"]}, model)
    with pytest.raises(ConfigError, match="no module 'query'; modules there are: "):
        adapter_size({"target_modules": "query"}, model)
    with pytest.raises(ConfigError, match="no module without a name"):
        adapter_size({"target_modules": []}, model)
    assert adapter_size({"r": 4}, model) is None, "peft chooses"


def test_a_dry_run_counts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("peft")
    monkeypatch.chdir(tmp_path)

    def described(**changes: Any) -> Any:
        tasks = [{"tiny": "zebra", "level": "easy"}]
        return describe_job(parse_config({"tasks": tasks, **changes}, "test"))

    whole = dict(described().sections["memory"])
    small = dict(described(peft={"r": 1, "target_modules": ["q_proj"]}).sections["memory"])
    assert "adapter" not in whole
    assert "M trained, beside" in small["adapter"]
    assert small["AdamW moments"] == "0 MiB"
    assert whole["AdamW moments"] != "0 MiB"

    unknown = described(peft={"r": 1}).sections["memory"]
    assert dict(unknown)["adapter"].startswith("of unknown size; the figures below are those of")
    (problem,) = described(peft={"target_modules": ["q_prj"]}).problems
    assert problem.startswith("test: peft.target_modules: the model has no module 'q_prj'")
