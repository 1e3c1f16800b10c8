"""docs/balanced.md says what the committed benchmarks say."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_tables_are_those_of_the_committed_benchmarks():
    spec = importlib.util.spec_from_file_location(
        "balanced_page", ROOT / "research" / "balanced.py"
    )
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = (ROOT / "docs" / "balanced.md").read_text(encoding="utf-8")
    assert script.written(page) == page
