"""What the README says comes in order and holds; the examples run. Its code runs in tests/docs."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def test_the_first_screen_is_claim_picture_install_diff_table_links() -> None:
    fold = README.split("\n---\n")[0]
    order = (
        "leaves no task behind",
        "![",
        "pip install",
        "```diff",
        "<!-- table: equal-cost-brief -->",
        "plain GRPO is the one to beat",
        "<!-- table: unequal-sizes -->",
        "docs/start.md",
    )
    places = [fold.index(text) for text in order]
    assert places == sorted(places)
    assert fold.count("\n") <= 55


def test_bullets_are_short() -> None:
    bullets = re.findall(r"^ *[*-] .*(?:\n  .*)*", README, flags=re.MULTILINE)
    assert all(bullet.count(",") + bullet.count(";") < 3 for bullet in bullets)


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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grpotrainer_script", "graded_reward", "own_weighting"])
def test_examples_of_the_guides_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, "--steps", "2"])
    runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
    assert capsys.readouterr().out.strip()


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
