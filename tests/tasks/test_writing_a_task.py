"""docs/writing-a-task.md lists every kind of task, and examples/custom_task.py runs."""

import subprocess
import sys
from pathlib import Path

from mtgrpo.tasks import Task, build_task, kinds
from mtgrpo.testing import TaskContract

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "writing-a-task.md").read_text(encoding="utf-8")


def test_the_page_lists_every_kind():
    assert all(f"`{{{kind}: " in PAGE for kind in kinds())


def test_the_example_runs():
    command = [sys.executable, "-W", "error", "examples/custom_task.py"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "problems: none" in result.stdout


class TestExample(TaskContract):
    def make_task(self) -> Task:
        spec = {
            "task": f"{ROOT / 'examples' / 'custom_task.py'}:make_task",
            "arguments": {"length": 5},
        }
        return build_task(spec, "example")[0]
