"""The pytest plugin under which TRL's tests run unmodified: local datasets, the class replaced, each outcome kept."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
import trl
from trl_tests_hub import ORGANIZATION, load_made

WORK = Path(os.environ["MTGRPO_TRL_WORK"])
OUTCOMES = Path(os.environ["MTGRPO_TRL_OUTCOMES"])
LIMIT = int(os.environ["MTGRPO_TRL_LIMIT"])
REPLACED = os.environ["MTGRPO_TRL_CLASS"] == "ours"
HUB = os.environ["MTGRPO_TRL_HUB"]
MISSING = json.loads((WORK / f"missing-{HUB}.json").read_text(encoding="utf-8"))
# What a test says that writes ids of a released vocabulary down, or needs an end that is as good as never drawn.
NEEDS_REAL = re.compile(r"\b[12]\d{5}\b|EOS token")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: TRL's own mark")
    load_from_hub = datasets.load_dataset

    def load_dataset(path: str, *args: Any, **kwargs: Any) -> Any:
        if path.startswith(f"{ORGANIZATION}/"):
            return load_made(WORK / "datasets", path, *args, **kwargs)
        return load_from_hub(path, *args, **kwargs)

    datasets.load_dataset = load_dataset
    add_missing_checks()

    if REPLACED:
        from mtgrpo.integrations.trl import MultiTaskGRPOTrainer

        trl.GRPOTrainer = MultiTaskGRPOTrainer


def add_missing_checks() -> None:
    """Tests of another version than the installed one ask for packages by functions that it may not have."""
    import_utils = importlib.import_module("trl.import_utils")
    text = (WORK / "source" / "tests" / "testing_utils.py").read_text(encoding="utf-8")

    for name in set(re.findall(r"\bis_\w+_available\b", text)):
        if not hasattr(import_utils, name):
            setattr(import_utils, name, lambda: False)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Function]) -> None:
    """Leave out the tests for the other hub, and those that an earlier run has the outcome of."""
    done = {line["test"] for line in outcomes(OUTCOMES)}
    left, out = [], []

    for item in items:
        real = NEEDS_REAL.search(inspect.getsource(item.function)) is not None
        here = real == (HUB == "real") and short(item.nodeid) not in done
        (left if here else out).append(item)

    config.hook.pytest_deselected(items=out)
    items[:] = left


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """End a test that runs for too long, as one that failed."""

    def stop(number: int, frame: Any) -> None:
        raise TimeoutError(f"still running after {LIMIT} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    yield
    signal.alarm(0)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    if report.when != "call" and report.outcome == "passed":
        return

    outcome_word = report.outcome
    reason = ""
    if hasattr(report, "wasxfail"):
        reason = f"expected to fail: {report.wasxfail}"
    elif report.skipped:
        reason = report.longrepr[2].removeprefix("Skipped: ")
    elif report.failed and call.excinfo is not None:
        reason = f"{call.excinfo.typename}: {call.excinfo.value}"
        for name in MISSING:
            if name in reason:
                outcome_word, reason = "skipped", f"{name} cannot be made here: {MISSING[name]}"
    line = {
        "test": short(item.nodeid),
        "outcome": outcome_word,
        "seconds": round(call.duration, 1),
        "reason": " ".join(reason.split())[:300],
        "at": round(time.time()),
    }

    with OUTCOMES.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def short(nodeid: str) -> str:
    """A test's name without the file's."""
    return nodeid.split("::", 1)[1].replace("trl-internal-testing/", "")


def outcomes(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []

    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
