"""What the README and the examples say can be typed and runs."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mtgrpo.cli import main
from mtgrpo.config import load_config
from mtgrpo.evidence.paired import compare
from mtgrpo.evidence.results import load_results

from .integrations.trl.toy import save_model

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_trl_block_is_within_the_first_thirty_lines_and_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import trl

    import mtgrpo
    from mtgrpo.integrations import trl as integration

    block = next(b for b in blocks("python") if "MultiTaskGRPOTrainer" in b)
    assert README[: README.index(block) + len(block)].count("\n") <= 30
    real_config, real_trainer = trl.GRPOConfig, integration.MultiTaskGRPOTrainer
    trainers: list[Any] = []

    def config(output: str, **given: Any) -> Any:
        small = {
            "per_device_train_batch_size": 8,
            "max_completion_length": 4,
            "max_steps": 1,
            "use_cpu": True,
        }
        off = {
            "bf16": False,
            "gradient_checkpointing": False,
            "report_to": "none",
            "save_strategy": "no",
        }
        return real_config(str(tmp_path / output), **{**given, **small, **off})

    def trainer(model: str, **given: Any) -> Any:
        assert model == "Qwen/Qwen2.5-3B"  # not to be had offline: a toy model stands in
        save_model(tmp_path / "model")
        trainers.append(real_trainer(str(tmp_path / "model"), **given))
        return trainers[-1]

    def hub_task(
        name: str, dataset: str, *, prompt: str, reward: str, correct_at: float
    ) -> mtgrpo.Task:
        rows = [{prompt: f"What is {i} + {i}?", "solution": str(2 * i)} for i in range(8)]
        return mtgrpo.rows_task(name, rows, prompt=prompt, reward=equals, correct_at=correct_at)

    monkeypatch.setattr(trl, "GRPOConfig", config)
    monkeypatch.setattr(mtgrpo, "hub_task", hub_task)
    few = functools.partial(
        mtgrpo.reasoning_gym_task, num_train=50, num_test=2
    )  # a zebra row takes 0.1 s upstream
    monkeypatch.setattr(mtgrpo, "reasoning_gym_task", few)
    monkeypatch.setattr(integration, "MultiTaskGRPOTrainer", trainer)
    run_block(block)
    assert trainers[0].mixer.step == 1
    assert set(trainers[0].mixer.tasks) == {"countdown", "zebra_puzzles", "math"}


def equals(completions: list[str], solution: list[str], **columns: Any) -> list[float]:
    return [float(c.strip() == s) for c, s in zip(completions, solution, strict=True)]


def run_block(block: str) -> None:
    exec(compile(block, "README.md", "exec"), {})


def test_other_python_blocks_run() -> None:
    for block in blocks("python"):
        if "MultiTaskGRPOTrainer" not in block:
            run_block(block)


def test_commands_of_the_readme_are_understood(capsys: pytest.CaptureFixture[str]) -> None:
    targets = set(
        re.findall(
            r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE
        )
    )
    commands = [
        line.split("#")[0].split()
        for block in blocks("bash")
        for line in block.splitlines()
        if line.strip()
    ]
    assert commands
    for words in commands:
        if words[0] == "make":
            assert words[1] in targets, words
        elif words[0] == "mtgrpo":
            with pytest.raises(SystemExit) as stopped:
                main([words[1], "--help"])
            assert stopped.value.code == 0, words
            if words[1] == "train":
                load_config(words[2])
    capsys.readouterr()


@pytest.mark.parametrize("link", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_links_of_the_readme_exist(link: str) -> None:
    path, _, anchor = link.partition("#")
    assert (ROOT / path).exists()
    if anchor:
        headings = re.findall(r"^#+ (.*)", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings]


def test_the_first_screen_is_claim_install_code_then_picture_why_table_links() -> None:
    order = (
        "GRPO so that no task",
        "pip install",
        "```python",
        "![",
        "## Why",
        "| method |",
        "## Where to",
    )
    places = [README.index(text) for text in order]
    assert places == sorted(places)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["examples/plain_pytorch.py", "--steps", "2"],
        ["examples/trl_script.py", "--steps", "2"],
        ["examples/simulate.py"],
    ],
    ids=lambda arguments: Path(arguments[0]).stem,
)
def test_examples_run(arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / arguments[0]), *arguments[1:]]
    done = subprocess.run(
        command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_method_fits_in_a_hundred_lines() -> None:
    assert (
        len((ROOT / "examples" / "plain_pytorch.py").read_text(encoding="utf-8").splitlines()) < 100
    )


def test_the_numbers_of_the_demo_are_those_of_its_record() -> None:
    seeds = json.loads((ROOT / "benchmarks" / "demo.json").read_text(encoding="utf-8"))["seeds"]
    before = {f"{100 * seed['worst_before']:.1f}" for seed in seeds}
    after = [100 * seed["worst_after"] for seed in seeds]
    low, mean, high = min(after), sum(after) / len(after), max(after)

    assert len(before) == 1
    assert f"from {before.pop()} to {mean:.1f} ({low:.1f} to {high:.1f}) percent" in README
    assert all(seed["shares_met_rate"] >= 0.95 for seed in seeds)


def final_rows(study: str) -> dict[str, list[str]]:
    """Rows of a study's first table in docs/results-archive.md, by method."""
    page = (ROOT / "docs" / "results-archive.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {study}\n")[1].split("**Accuracy at the end**")[1].split("\n**")[0]
    cells = [line.split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return {row[0].removeprefix("| "): row for row in cells}


@pytest.mark.parametrize(
    ("shown", "three", "nine"),
    [
        ("`grpo`", "grpo", "grpo"),
        ("`dapo`", "dapo", "dapo"),
        (
            "`mt_grpo` released, best lambda",
            "mt_grpo released lam=0.2",
            "mt_grpo released lam=1.2",
        ),
        ("`mt_grpo` default", "mt_grpo default", "mt_grpo default"),
        ("`balanced`", "balanced", "balanced"),
    ],
)
def test_the_numbers_of_the_table_are_those_of_the_results(
    shown: str, three: str, nine: str
) -> None:
    cells = [f"| {shown}"]
    for study, method in (("three_tasks", three), ("nine_tasks", nine)):
        row = final_rows(study)[method]
        worst, mean = (cell.split(" (")[0] for cell in row[2:4])
        cells += [f"{worst} / {mean}", row[5].removesuffix(" |")]
    assert f"{' | '.join(cells)} |" in README


def test_the_ratios_of_the_readme_are_those_of_the_results() -> None:
    page = (ROOT / "docs" / "results-archive.md").read_text(encoding="utf-8")
    for study, words in (("three_tasks", "three tasks, "), ("nine_tasks", "nine, ")):
        row = next(
            line
            for line in page.splitlines()
            if re.match(rf"\| {study} \| [\d.]+ \| balanced \|", line)
        )
        value, low, high = re.findall(r"0(\.\d\d)", row.split(" | ")[4])
        assert f"{value} ({words}{low} to {high})" in README.replace("\n  ", " ")


@pytest.mark.parametrize("study", ["three_tasks", "nine_tasks"])
def test_the_comparison_with_plain_grpo_is_that_of_the_record(study: str) -> None:
    runs = load_results(ROOT / "research" / f"{study}.json").runs
    found = compare(
        [run for run in runs if run.method == "balanced"],
        [run for run in runs if run.method == "grpo"],
        at="rollouts",
    )
    for interval in (found.worst, found.mean):
        value, low, high = (
            f"{100 * v:+.1f}" for v in (interval.value, interval.low, interval.high)
        )
        assert f"{value} ({low} to {high})" in README.replace("\n  ", " ")


@pytest.mark.parametrize(
    ("record", "rollouts", "num_seeds"),
    [("three_tasks_short", 11_520, 5), ("three_tasks_long", 38_400, 2)],
)
def test_the_comparison_with_grpo_at_its_own_best_is_that_of_the_record(
    record: str, rollouts: int, num_seeds: int
) -> None:
    results = load_results(ROOT / "research" / "equal_cost" / f"{record}.json")
    ours, plain = (
        [run for run in results.runs if run.method == name]
        for name in ("balanced, one round", "grpo")
    )
    assert len(ours) == len(plain) == num_seeds

    text = README.replace("\n  ", " ")
    for runs in (ours, plain):
        assert {run.rollouts[-1] for run in runs} == {rollouts}
        worst = [run.accuracy[-1].min() for run in runs]
        if num_seeds == 5:
            assert f"{100 * sum(worst) / 5:.1f}" in text

    found = compare(ours, plain, at="rollouts")
    for interval in (found.worst, found.mean):
        value, low, high = (
            f"{100 * v:+.1f}" for v in (interval.value, interval.low, interval.high)
        )
        assert f"{value} ({low} to {high})" in text


@pytest.mark.parametrize("study", ["three_tasks", "nine_tasks"])
def test_the_rank_correlation_of_the_readme_is_that_of_the_record(study: str) -> None:
    record = json.loads((ROOT / "research" / f"{study}_simulated.json").read_text(encoding="utf-8"))
    value, low, high = (f"{v:.2f}".lstrip("0") for v in record["rank_correlation"]["worst"])
    assert f"{value}, {low} to {high}" in README.replace("\n  ", " ")
