"""Many methods x seeds of one experiment, as separate resumable processes; their results as one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mtgrpo.config import ResolvedRun
from mtgrpo.errors import RunError, require
from mtgrpo.evidence import digest_run
from mtgrpo.jobs.experiment import Experiment, run_path
from mtgrpo.jobs.stopping import PARENT, SIGNALS
from mtgrpo.jobs.summary import is_complete
from mtgrpo.runlog import read_run
from mtgrpo.runlog.lock import locked_by_live_process

POLL_S = 0.5
SHOWN_OF_A_FAILURE = 500
"""Characters of what a failed run said last."""


def run_study(
    experiment: Experiment,
    output: Path,
    *,
    jobs: int = 2,
    on_event: Callable[[str, str, int], None] = lambda event, method, seed: None,
) -> list[str]:
    """Run what is missing. A study that was killed goes on where its runs stood.

    Runs are started seed by seed, so that an unfinished study has every method with equally many
    seeds. SIGINT and SIGTERM let the running ones save and stop; when the study itself is killed,
    they notice and do the same.

    Args:
        experiment: From `load_experiment`.
        output: Directory of the study; each run is in ``<method>/seed-<n>``.
        jobs: Processes at a time, one thread each.
        on_event: Called with ``kept`` (finished before), ``waiting`` (for a process that still
            writes the run), ``started``, ``finished`` or ``failed``, the method and the seed.

    Returns:
        One line per run that failed, with the end of what it said.

    Raises:
        KeyboardInterrupt: A signal arrived; the runs have saved what they had.
    """
    queue: list[tuple[str, int]] = []
    for seed in experiment.seeds:
        for method in experiment.methods:
            if is_finished(experiment, output, method, seed):
                on_event("kept", method, seed)
            else:
                queue.append((method, seed))

    failures: list[str] = []
    runs = _Processes(experiment, output, on_event)

    with _signals_interrupt(), ThreadPoolExecutor(max_workers=jobs) as pool:
        running: dict[Future[str], tuple[str, int]] = {}
        try:
            while queue or running:
                while queue and len(running) < jobs:
                    method, seed = queue.pop(0)
                    running[pool.submit(runs.run, method, seed)] = (method, seed)

                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    method, seed = running.pop(future)
                    problem = future.result()
                    if problem:
                        failures.append(f"{method}, seed {seed}: {problem}")

                    on_event("failed" if problem else "finished", method, seed)
        except KeyboardInterrupt:
            runs.stop()
            raise

    return failures


class _Processes:
    """The processes of a study, each a resumable run of its own."""

    def __init__(
        self, experiment: Experiment, output: Path, on_event: Callable[[str, str, int], None]
    ) -> None:
        self.experiment, self.output, self.on_event = experiment, output, on_event
        self.alive: set[subprocess.Popen[str]] = set()

    def run(self, method: str, seed: int) -> str:
        """One run, to its end. Returns what went wrong, in words."""
        path = run_path(self.output, method, seed)
        if locked_by_live_process(path / ".lock"):
            self.on_event("waiting", method, seed)

        while locked_by_live_process(path / ".lock"):
            time.sleep(POLL_S)

        self.on_event("started", method, seed)
        process = _start(self.experiment.run(method, seed, self.output), path)
        self.alive.add(process)
        text, _ = process.communicate()
        self.alive.discard(process)

        if process.returncode == 0:
            return ""

        return f"exit code {process.returncode}: {text.strip()[-SHOWN_OF_A_FAILURE:]}"

    def stop(self) -> None:
        """Let each save and stop; ``--resume`` finds it again."""
        for process in list(self.alive):
            process.send_signal(signal.SIGTERM)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Both signals raise KeyboardInterrupt, also where a shell started us with SIGINT ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(run: ResolvedRun, path: Path) -> subprocess.Popen[str]:
    yaml = require("yaml", "cli")
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.parent / f"{path.name}.yaml"
    file.write_text(yaml.safe_dump(run.as_dict(), sort_keys=False), encoding="utf-8")

    threads = str(run.threads)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        PARENT: str(os.getpid()),
    }

    return subprocess.Popen(
        [sys.executable, "-m", "mtgrpo", "train", str(file), "--resume"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )


def is_finished(experiment: Experiment, output: Path, method: str, seed: int) -> bool:
    """Whether a run of the study has nothing left to do."""
    path = run_path(output, method, seed)
    if not (path / "summary.json").is_file():
        return False
    return is_complete(read_run(path).summary, experiment.run(method, seed, output))


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
            if not is_finished(experiment, output, method, seed):
                continue

            run = experiment.run(method, seed, output)
            num_samples = run.evaluation.samples_per_prompt
            digest = digest_run(read_run(run_path(output, method, seed)), run.updates_per_step)
            runs.append({"method": method, "seed": seed, **digest})

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
