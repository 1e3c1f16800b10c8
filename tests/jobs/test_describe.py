"""A run in words, before it starts: the plan, and what would keep it from starting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtgrpo.cli import main
from mtgrpo.config import ModelShape, parse_config
from mtgrpo.jobs.describe import describe_job
from mtgrpo.jobs.memory import describe_memory
from mtgrpo.plan import make_plan
from mtgrpo.runlog import RunLog

TINY = [{"tiny": family, "level": "easy"} for family in ("zebra", "countdown")]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def config(**changes: Any) -> Any:
    return parse_config({"tasks": TINY, "batch_size": 4, "steps": 5, **changes}, "test")


def test_the_plan_in_words() -> None:
    described = describe_job(config(group_size=4, updates_per_step=2))
    sections = described.sections
    assert described.problems == ()
    assert dict(sections["run"])["method"] == "grpo_fair (default, three_tasks)"
    batch = dict(sections["batch"])
    assert batch["steps"] == "5 (10 policy updates)"
    assert batch["groups per step"] == "4 of 4 completions = 16 rows"
    assert batch["rows per update"] == "8 = 1 process x 1 accumulation step x 8 rows"
    assert dict(sections["weighting"])["rule"] == "balanced"
    assert dict(sections["sampler"])["rounds"] == "one"
    assert dict(sections["GRPOConfig"])["num_generations"] == "4"


def test_memory_in_words() -> None:
    run = config(max_completion_length=512, trl={"model_init_kwargs": {"dtype": "bfloat16"}})
    plan = make_plan(run)
    (line,) = describe_memory(run, plan, "some/model", None)
    assert line == (
        "estimate",
        "unknown: some/model is not on this machine; give its model_shape in the configuration",
    )
    lines = dict(describe_memory(run, plan, "some/model", ModelShape(3e9, 2048, 36, 151936)))
    assert lines["parameters"] == "3,000.0 M"
    assert lines["weights and gradients"] == "11.2 GiB"  # 2 x 2 bytes x 3e9
    assert lines["logits"].startswith("27.8 GiB for 32 completions")  # 3 x 4 x 32 x 512 x 151936


def test_what_would_keep_a_run_from_starting_is_found_and_nothing_is_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("")
    (tmp_path / "empty").mkdir()
    cases = {
        "output=folder": "folder: not empty and not a run (it holds 'notes.txt')",
        "output=folder/notes.txt/run": "folder/notes.txt is no directory",
        "model=./nowhere": "model: './nowhere': no such directory; give one, or a hub name",
        f"model={tmp_path / 'empty'}": "has no config.json",
    }
    for change, problem in cases.items():
        assert main(["train", "demo", "--dry-run", "--set", change]) == 2
        shown = capsys.readouterr()
        assert problem in shown.err, change
        assert "groups per step" in shown.out  # the plan is shown all the same
    assert not (tmp_path / "runs").exists()


def test_a_task_of_a_part_of_the_run_says_so() -> None:
    """From the step after from_step on, up to until_step."""
    spans = [{"until_step": 3}, {"from_step": 2}, {"from_step": 1, "until_step": 4}, {}]
    families = [("zebra", "easy"), ("zebra", "hard"), ("arc", "easy"), ("arc", "hard")]
    tasks = [
        {"tiny": family, "level": level, **span}
        for (family, level), span in zip(families, spans, strict=True)
    ]
    shown = dict(describe_job(config(tasks=tasks)).sections["tasks"])
    assert shown["zebra-easy"].endswith("test rows, trained on from step 1 to 3")
    assert shown["zebra-hard"].endswith("test rows, trained on from step 3 on")
    assert shown["arc-easy"].endswith("test rows, trained on from step 2 to 4")
    assert shown["arc-hard"].endswith("test rows")


def test_a_task_that_is_sampled_in_its_own_way_says_so() -> None:
    settings = {"temperature": 0.7, "max_completion_length": 8}
    tasks = [
        {"tiny": "zebra", "level": "easy", "generation": settings},
        {"tiny": "arc", "level": "easy"},
    ]
    shown = dict(describe_job(config(tasks=tasks)).sections["tasks"])
    assert shown["zebra-easy"].endswith("test rows; temperature 0.7, at most 8 tokens")
    assert shown["arc-easy"].endswith("test rows")


def test_settings_that_cannot_be_end_a_dry_run(capsys: pytest.CaptureFixture[str]) -> None:
    settings = "{temperature: 0.7, max_completion_length: 9999}"
    tasks = f"tasks=[{{tiny: zebra, level: easy, generation: {settings}}}]"
    assert main(["train", "demo", "--dry-run", "--set", tasks]) == 2
    assert "generation.max_completion_length: 9999, the run's" in capsys.readouterr().err

    tasks = "tasks=[{tiny: zebra, level: easy, generation: {top_p: 2}}]"
    assert main(["train", "demo", "--dry-run", "--set", tasks]) == 2
    assert "tasks[0] ('zebra'): generation.top_p: 2; a number above 0" in capsys.readouterr().err


def test_an_output_that_holds_a_run_is_for_resuming(tmp_path: Path) -> None:
    run = config(output=str(tmp_path / "run"))
    assert dict(describe_job(run).sections["run"])["output"].endswith("run (new)")
    asked = describe_job(run, resume=True)
    assert dict(asked.sections["run"])["output"].endswith("run (new: no run to resume there)")

    with RunLog.create(tmp_path / "run", ["a"]) as log:
        log.write_config(run.as_dict())
        (problem,) = describe_job(run).problems
        assert "in use by a run that goes on" in problem
        log.log_metrics(1, 8, {})

    (problem,) = describe_job(run).problems
    assert "already holds a run of 1 logged step; resume it (--resume)" in problem
    described = describe_job(run, resume=True)
    assert described.problems == ()
    assert dict(described.sections["run"])["output"].endswith("run (goes on from step 0)")

    (problem,) = describe_job(
        config(output=str(tmp_path / "run"), group_size=4), resume=True
    ).problems
    assert "started with group_size=8, now 4" in problem


def test_what_differs_inside_a_section_is_named_alone(tmp_path):
    run = config(output=str(tmp_path / "run"), preset="grpo_fair")
    with RunLog.create(tmp_path / "run", ["a"]) as log:
        log.write_config(run.as_dict())
        log.log_metrics(1, 8, {})

    other = config(
        output=str(tmp_path / "run"), preset="grpo_fair", sampler={"shares": "each_step"}
    )
    (problem,) = describe_job(other, resume=True).problems
    assert "started with sampler.shares='over_steps', now 'each_step' (1 key" in problem
