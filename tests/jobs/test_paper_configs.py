"""The paper's experiments as configurations: three steps on the embedded model, and local rows in the third."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtgrpo.cli import main
from mtgrpo.config import load_config, shipped_configs
from mtgrpo.jobs.describe import describe_job
from mtgrpo.runlog import read_run

NAMES = sorted(name for name in shipped_configs() if name.startswith("qwen_"))
FAMILIES = ("countdown", "zebra", "arc")
LEVELS = ("easy", "medium", "hard")

CPU = [
    "model=tiny",
    "steps=3",
    "batch_size=8",
    "group_size=4",
    "micro_batch_size=4",
    "max_completion_length=12",
    "learning_rate=1e-4",
    "evaluation={every: 2, samples_per_prompt: 2, prompts_per_task: 2}",
    "trl.use_vllm=false",
    "trl.bf16=false",
    "trl.gradient_checkpointing=false",
    "trl.model_init_kwargs={dtype: float32}",
]
"""What a CPU and the embedded model need; everything else is the experiment's."""


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_three_steps_on_the_embedded_model(name: str, tmp_path: Path) -> None:
    places = [{"tiny": family, "level": level} for level in LEVELS for family in FAMILIES]
    tasks = places[: len(load_config(name).tasks)]
    words = ["train", name, "--output", str(tmp_path / "run")]
    for change in [*CPU, f"tasks={json.dumps(tasks)}"]:
        words += ["--set", change]

    assert main(words) in (0, 1)  # 1: trained on nothing, which so few groups may come to
    run = read_run(tmp_path / "run")
    assert run.status == "finished"
    assert [line.step for line in run.metrics] == [4, 8, 12]  # policy updates, four a step
    assert run.config["variant"] == "paper"


def test_there_is_one_for_each_experiment_and_size() -> None:
    experiments = ("math_arc_science", "nine_tasks", "three_tasks")
    assert sorted(f"qwen_{e}{size}" for e in experiments for size in ("", "_1gpu")) == NAMES


@pytest.mark.parametrize("experiment", ["three_tasks", "nine_tasks"])
def test_one_gpu_trains_the_same_method_and_batch(experiment: str) -> None:
    eight = load_config(f"qwen_{experiment}").as_dict()
    one = load_config(f"qwen_{experiment}_1gpu").as_dict()
    differ = {key for key in eight if eight[key] != one[key]}
    assert differ == {"output", "trl"}
    options = {"model_init_kwargs": {"dtype": "bfloat16"}}
    assert one["trl"] == {**eight["trl"], **options}


MATH = [{"problem": f"What is {i} + {i}?", "answer": str(2 * i), "level": 1} for i in range(2, 40)]
SCIENCE = [
    {
        "domain": domain,
        "question": f"Which has number {i}?",
        "choices": {"label": ["A", "B"], "text": [f"the first {i}", f"the second {i}"]},
        "answerKey": "AB"[i % 2],
    }
    for domain in ("Chemistry", "Physics")
    for i in range(40)
]


def third_experiment(tmp_path: Path, science: list[dict[str, Any]]) -> Path:
    """Its configuration with local rows in the place of the downloaded ones."""
    config = yaml.safe_load(shipped_configs()["qwen_math_arc_science"].read_text())
    math, _, chemistry, physics = config["tasks"]
    math["arguments"] = {"train": MATH[8:], "test": MATH[:8]}
    for task in (chemistry, physics):
        task["arguments"]["rows"] = science
    path = tmp_path / "third.yaml"
    path.write_text(yaml.safe_dump({**config, "model": "tiny"}))
    return path


def test_the_third_experiments_data_are_prepared_from_local_rows(tmp_path: Path) -> None:
    pytest.importorskip("math_verify")
    pytest.importorskip("reasoning_gym")
    run = load_config(str(third_experiment(tmp_path, SCIENCE)), output=str(tmp_path / "run"))
    described = describe_job(run)
    assert described.problems == ()
    assert dict(described.sections["tasks"]) == {
        "math": "30 train, 8 test rows",
        "arc-medium": "10,000 train, 200 test rows",
        "chemistry": "36 train, 4 test rows",
        "physics": "36 train, 4 test rows",
    }


def test_rows_of_another_domain_alone_are_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("math_verify")
    chemistry = [row for row in SCIENCE if row["domain"] == "Chemistry"]
    assert main(["train", str(third_experiment(tmp_path, chemistry)), "--dry-run"]) == 2
    assert "no multiple-choice question of the domain 'Physics'" in capsys.readouterr().err
