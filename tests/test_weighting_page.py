"""The weighting of docs/writing-a-weighting.md holds to the contract, as its test there says, and runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from mtgrpo.build import build_weighting

PAGE = Path(__file__).parent.parent / "docs" / "writing-a-weighting.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_page_is_a_rule_a_test_and_a_configuration(tmp_path, monkeypatch):
    rule, test = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "my_rules.py").write_text(rule)
    (tmp_path / "test_my_rules.py").write_text(test)

    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_rules.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) >= 12

    monkeypatch.chdir(tmp_path)
    (configuration,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    weighting = build_weighting(yaml.safe_load(configuration)["weighting"], "weighting")
    assert repr(weighting) == "Tilted(tilt=0.5)"
    weighting = weighting.bind(["a", "b"])
    weighting.update(task_rewards={"a": 0.1, "b": 0.9})
    assert weighting.weights()["a"] > 0.5
