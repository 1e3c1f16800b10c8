"""Many methods x seeds of one experiment, as separate resumable processes, and their results in one table."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtgrpo.config import CONFIGS_DIR, ResolvedRun, parse_config
from mtgrpo.errors import ConfigError, RunError, require, unknown
from mtgrpo.evidence import digest_run
from mtgrpo.runlog import read_run
from mtgrpo.runlog.lock import locked_by_live_process
from mtgrpo.yaml_text import read_yaml

EXPERIMENTS_DIR = CONFIGS_DIR / "experiments"
KEYS = ("base", "methods", "seeds", "baseline", "thresholds")


@dataclass(frozen=True)
class Experiment:
    """What is compared, and on what.

    Attributes:
        name: Of the file.
        base: Keys of a run configuration that all runs share.
        methods: Name -> keys of a run configuration that make the method.
        seeds: Every method is run with each of them.
        baseline: The method relative changes refer to.
        thresholds: Worst-task accuracies whose cost is reported.
    """

    name: str
    base: Mapping[str, Any]
    methods: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...]
    baseline: str
    thresholds: tuple[float, ...]

    def config(self, method: str, seed: int, output: Path) -> ResolvedRun:
        """The resolved configuration of one run."""
        values = {
            **self.base,
            **self.methods[method],
            "seed": seed,
            "output": str(run_path(output, method, seed)),
        }
        for key in ("trl", "weighting", "sampler"):
            if key in self.base and key in self.methods[method]:
                values[key] = {**self.base[key], **self.methods[method][key]}
        return parse_config(values, f"{self.name}: methods.{method}")


def run_path(output: Path, method: str, seed: int) -> Path:
    """Where one run of a study goes."""
    return output / method / f"seed-{seed}"


def shipped_experiments() -> dict[str, Path]:
    """Experiments inside the package, by name."""
    return {path.stem: path for path in sorted(EXPERIMENTS_DIR.glob("*.yaml"))}


def load_experiment(
    source: str,
    *,
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
    overrides: Mapping[str, Any] | None = None,
) -> Experiment:
    """Read an experiment and check every run configuration in it.

    Args:
        source: Path of a YAML file, or the name of a shipped experiment.
        methods: Only these; all by default.
        seeds: Instead of the experiment's own.
        overrides: Keys of the run configuration that replace those of ``base``.

    Raises:
        ConfigError: Unreadable, unknown keys or methods, or a run configuration that cannot work.
    """
    shipped = shipped_experiments()
    path = Path(source) if Path(source).is_file() else shipped.get(source)
    if path is None:
        raise ConfigError(
            unknown(source, "experiment: no such file, nor a shipped one named", source, shipped)
        )
    data = read_yaml(path)
    where = path.stem
    if (
        not isinstance(data, Mapping)
        or not isinstance(data.get("methods"), Mapping)
        or "base" not in data
    ):
        raise ConfigError(f"{where}: a mapping with the keys {', '.join(KEYS)} is needed")
    for key in data:
        if key not in KEYS:
            raise ConfigError(unknown(where, "key", key, KEYS))
    for name in methods:
        if name not in data["methods"]:
            raise ConfigError(unknown(where, "method", name, data["methods"]))
    experiment = Experiment(
        name=where,
        base={**data["base"], **(overrides or {})},
        methods={
            name: values or {}
            for name, values in data["methods"].items()
            if not methods or name in methods
        },
        seeds=tuple(seeds) or tuple(data.get("seeds", (0,))),
        baseline=data.get("baseline", next(iter(data["methods"]))),
        thresholds=tuple(data.get("thresholds", ())),
    )
    for method in experiment.methods:
        experiment.config(method, 0, Path("runs"))
    return experiment


def run_study(
    experiment: Experiment,
    output: Path,
    *,
    jobs: int = 2,
    on_event: Callable[[str, str, int], None] = lambda event, method, seed: None,
) -> list[str]:
    """Run what is missing. A study that was killed goes on where its runs stood.

    Runs are started seed by seed, so that an unfinished study has every method with equally many seeds. SIGINT and
    SIGTERM let the running ones save and stop; when the study itself is killed, they notice and do the same.

    Args:
        experiment: From `load_experiment`.
        output: Directory of the study; each run is in ``<method>/seed-<n>``.
        jobs: Processes at a time, one thread each.
        on_event: Called with ``kept`` (finished before), ``waiting`` (for a process that still writes the run),
            ``started``, ``finished`` or ``failed``, the method and seed.

    Returns:
        One line per run that failed, with the end of what it said.

    Raises:
        KeyboardInterrupt: A signal arrived; the runs have saved what they had.
    """
    queue: list[tuple[str, int]] = []
    for method, seed in ((m, s) for s in experiment.seeds for m in experiment.methods):
        if is_finished(experiment, output, method, seed):
            on_event("kept", method, seed)
        else:
            queue.append((method, seed))
    failures: list[str] = []
    processes: set[subprocess.Popen[str]] = set()

    def run(method: str, seed: int) -> str:
        path = run_path(output, method, seed)
        if locked_by_live_process(path / ".lock"):
            on_event("waiting", method, seed)
        while locked_by_live_process(path / ".lock"):
            time.sleep(0.5)
        on_event("started", method, seed)
        process = _start(experiment.config(method, seed, output), path)
        processes.add(process)
        text, _ = process.communicate()
        processes.discard(process)
        return (
            ""
            if process.returncode == 0
            else f"exit code {process.returncode}: {text.strip()[-500:]}"
        )

    with _signals_interrupt(), ThreadPoolExecutor(max_workers=jobs) as pool:
        running: dict[Future[str], tuple[str, int]] = {}
        try:
            while queue or running:
                while queue and len(running) < jobs:
                    method, seed = queue.pop(0)
                    running[pool.submit(run, method, seed)] = (method, seed)
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    method, seed = running.pop(future)
                    problem = future.result()
                    if problem:
                        failures.append(f"{method}, seed {seed}: {problem}")
                    on_event("failed" if problem else "finished", method, seed)
        except KeyboardInterrupt:
            for process in list(processes):  # each saves and stops; --resume finds it again
                process.send_signal(signal.SIGTERM)
            raise
    return failures


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Both signals raise KeyboardInterrupt, also where a shell started us with SIGINT ignored (``command &``)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_finished(experiment: Experiment, output: Path, method: str, seed: int) -> bool:
    """Whether a run of the study has nothing left to do."""
    path = run_path(output, method, seed)
    if not (path / "summary.json").is_file():
        return False
    summary = read_run(path).summary
    config = experiment.config(method, seed, output)
    return (
        summary.get("status") == "finished"
        and summary.get("steps", 0) >= config.steps * config.updates_per_step
    )


def _start(config: ResolvedRun, path: Path) -> subprocess.Popen[str]:
    yaml = require("yaml", "cli")
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.parent / f"{path.name}.yaml"
    file.write_text(yaml.safe_dump(config.as_dict(), sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "mtgrpo", "train", str(file), "--resume"]
    threads = str(config.threads)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "MTGRPO_PARENT": str(os.getpid()),
    }
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )


def collect(experiment: Experiment, output: Path) -> dict[str, Any]:
    """All results of a study as plain values, small enough to keep beside the code.

    Returns:
        What `mtgrpo.evidence.load_results` reads.

    Raises:
        RunError: No run has been evaluated yet.
    """
    runs: list[dict[str, Any]] = []
    num_samples = 1
    for method in experiment.methods:
        for seed in experiment.seeds:
            if is_finished(experiment, output, method, seed):
                run = read_run(run_path(output, method, seed))
                config = experiment.config(method, seed, output)
                num_samples = config.evaluation.samples_per_prompt
                runs.append(
                    {"method": method, "seed": seed, **digest_run(run, config.updates_per_step)}
                )
    if not runs:
        raise RunError(f"{output}: no finished run of {experiment.name}; run the study first")
    return {
        "experiment": experiment.name,
        "baseline": experiment.baseline,
        "thresholds": list(experiment.thresholds),
        "base": dict(experiment.base),
        "methods": {name: dict(values) for name, values in experiment.methods.items()},
        "num_samples": num_samples,
        "runs": runs,
    }


def write_results(results: Mapping[str, Any], path: Path) -> None:
    """Write what `collect` returned as JSON, one run a line so that changes show."""
    head = {key: value for key, value in results.items() if key != "runs"}
    lines = ",\n".join(json.dumps(run, separators=(",", ":")) for run in results["runs"])
    text = json.dumps(head, indent=1)[:-2] + ',\n "runs": [\n' + lines + "\n]}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
