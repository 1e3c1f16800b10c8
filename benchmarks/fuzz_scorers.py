r"""A campaign against the bundled scorers: a million hostile, broken and nearly right completions, and a judge.

python benchmarks/fuzz_scorers.py                 # 11 chunks of 100,000; chunks that are done are kept
python benchmarks/fuzz_scorers.py --chunks 1      # the first chunk alone

What counts as found: an exception, a completion that takes more than 10 s of CPU (the kernel ends the process then,
also in the middle of C code), and a full score for an answer that `fuzz_oracles.py` does not take for right. Inputs
are made from right answers (rewritten, cut, swapped, off by one), from grammars, from what has reached new lines of the
scorers before (the corpus grows with their coverage), and from a list of bombs. Everything follows from the number of
a chunk.

Chunks go to runs/fuzz/, the tally to fuzz_scorers.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import random
import resource
import signal
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from fuzz_cases import Case, all_cases
from fuzz_mutations import STRATEGIES, make_text

RECORD = Path(__file__).with_suffix(".json")
CHUNKS = Path("runs/fuzz")
LIMIT_S = 10.0
SLOW_S = 0.1
MARK = str(Path("mtgrpo") / "tasks")
SHOWN = (
    "completions",
    "exceptions",
    "wrong_answers_scored",
    "right_answers_refused",
    "max_cpu_s",
)
MOST = 20  # examples kept of each kind of finding


class Coverage:
    """Pairs of lines that were run one after the other in mtgrpo/tasks, the scorers' own code."""

    def __init__(self) -> None:
        self.edges: set[tuple[int, int, int]] = set()
        self.new = 0

    def run(self, case: Case, text: str) -> tuple[float, float]:
        """Score under the tracer; `new` counts what had never been reached."""
        before = len(self.edges)
        sys.settrace(self._call)
        try:
            return case.score(text)
        finally:
            sys.settrace(None)
            self.new = len(self.edges) - before

    def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
        if MARK not in frame.f_code.co_filename:
            return None
        code, last = id(frame.f_code), 0

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal last
            self.edges.add((code, last, frame.f_lineno))
            last = frame.f_lineno
            return line

        return line


class Tally:
    """What a chunk came to: counts by scorer and strategy, and examples of what was found."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.completions = 0
        self.by_scorer: dict[str, Counter[str]] = {}
        self.by_strategy: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.found: dict[str, list[Any]] = {
            "exceptions": [],
            "wrong_answers_scored": [],
            "right_answers_refused": [],
        }

    def find(self, kind: str, *example: Any, count: bool = True) -> None:
        """Keep an example, and count it unless it is counted elsewhere."""
        self.counts[kind] += count
        self.found.setdefault(kind, []).append(list(example))

    def add(self, case: Case, strategy: str, text: str, reward: float, accuracy: float) -> None:
        """Count a completion that was scored, and compare its score with the judge."""
        self.completions += 1
        self.by_strategy[strategy] += 1
        row = self.by_scorer.setdefault(case.family, Counter())
        row["completions"] += 1
        full = accuracy >= 1.0
        row["full" if full else "part" if reward > 0.0 else "none"] += 1

        right = case.judge(text)
        if full and right is None:
            row["full_and_unjudged"] += 1
            self.find("full_and_unjudged", case.name, strategy, text[:300], count=False)
        elif full and not right:
            self.find("wrong_answers_scored", case.name, strategy, text[:500])

        if not full and right is False and strategy == "right":  # scorer and judge agree
            self.find("references_that_are_wrong", case.name, strategy, text[:300])
        elif not full and (right or strategy == "right"):
            row["right_but_refused"] += 1
            odd = "" if strategy == "right" else "odd_"
            self.find(f"{odd}right_answers_refused", case.name, strategy, text[:300])
        elif right:
            row["judged_right"] += 1

    def time(self, case: Case, strategy: str, text: str, seconds: float) -> None:
        """Count the processor time of a completion that was scored without a tracer."""
        row = self.by_scorer[case.family]
        row["max_cpu_s"] = max(row["max_cpu_s"], seconds)  # type: ignore[assignment]
        row["over_0.1_s"] += seconds > SLOW_S
        if seconds > SLOW_S:
            self.find("slow", case.name, strategy, round(seconds, 3), text[:300])


def run_chunk(number: int, size: int) -> dict[str, Any]:
    """Score `size` completions; the tally."""
    rng = random.Random(f"fuzz {number}")
    cases = all_cases(number)
    coverage = Coverage()
    corpus: dict[str, list[str]] = {case.family: [] for case in cases}
    tally = Tally(number)
    peak = 0.0
    started = time.process_time()

    CHUNKS.mkdir(parents=True, exist_ok=True)
    with open(CHUNKS / f"current-{number}", "w+b") as file:
        file.truncate(2**20)
        current = mmap.mmap(file.fileno(), 2**20)

        for i in range(size):
            case = cases[i % len(cases)]
            if rng.random() > case.share:
                case = cases[(i + 1) % len(cases)]
            strategy = rng.choices(list(STRATEGIES), weights=list(STRATEGIES.values()))[0]
            text = make_text(rng, strategy, case, corpus[case.family])

            body = json.dumps([case.name, strategy, text[:50_000]]).encode()
            current[: len(body) + 1] = body + b"\0"
            traced = rng.random() < 0.15 and len(text) < 5_000
            measured = len(text) > 20_000 and rng.random() < 0.1
            if measured:
                tracemalloc.start()

            signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
            begin = time.thread_time()
            try:
                reward, accuracy = coverage.run(case, text) if traced else case.score(text)
            except Exception as error:
                tally.find("exceptions", case.name, strategy, repr(error)[:300], text[:500])
                continue
            finally:
                seconds = time.thread_time() - begin
                signal.setitimer(signal.ITIMER_PROF, 0.0)
                if measured:
                    size_in_bytes = len(text.encode("utf-8", "surrogatepass"))
                    peak = max(peak, tracemalloc.get_traced_memory()[1] / size_in_bytes)
                    tracemalloc.stop()

            if traced and coverage.new and len(text) < 2_000:
                corpus[case.family].append(text)
            tally.add(case, strategy, text, reward, accuracy)
            if not traced and not measured:
                tally.time(case, strategy, text, seconds)

    os.unlink(CHUNKS / f"current-{number}")
    return {
        "chunk": number,
        "completions": tally.completions,
        "by_scorer": tally.by_scorer,
        "by_strategy": tally.by_strategy,
        "counts": tally.counts,
        "found": {kind: examples[:MOST] for kind, examples in tally.found.items()},
        "edges": len(coverage.edges),
        "corpus": sum(map(len, corpus.values())),
        "cpu_s": round(time.process_time() - started, 1),
        "peak_bytes_per_byte": round(peak, 1),
        "max_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def collect(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """All chunks as one tally."""
    scorers: dict[str, Counter[str]] = {}
    for chunk in chunks:
        for name, row in chunk["by_scorer"].items():
            total = scorers.setdefault(name, Counter())
            for key, value in row.items():
                total[key] = max(total[key], value) if key == "max_cpu_s" else total[key] + value
    counts = sum((Counter(chunk["counts"]) for chunk in chunks), Counter[str]())
    kinds = sorted({kind for chunk in chunks for kind in chunk["found"]})
    return {
        "completions": sum(chunk["completions"] for chunk in chunks),
        "exceptions": counts["exceptions"],
        "hangs": sum("hang" in chunk for chunk in chunks),
        "wrong_answers_scored": counts["wrong_answers_scored"],
        "right_answers_refused": counts["right_answers_refused"],
        "references_that_are_wrong": counts["references_that_are_wrong"],
        "full_and_unjudged": sum(row["full_and_unjudged"] for row in scorers.values()),
        "odd_right_answers_refused": counts["odd_right_answers_refused"],
        "over_0.1_s_cpu": counts["slow"],
        "max_cpu_s": round(max(row["max_cpu_s"] for row in scorers.values()), 4),
        "limit_cpu_s": LIMIT_S,
        "peak_bytes_per_byte": max(chunk["peak_bytes_per_byte"] for chunk in chunks),
        "max_rss_mib": max(chunk["max_rss_mib"] for chunk in chunks),
        "line_pairs_reached": max(chunk["edges"] for chunk in chunks),
        "cpu_s": round(sum(chunk["cpu_s"] for chunk in chunks), 1),
        "chunks": len(chunks),
        "by_strategy": sum((Counter(chunk["by_strategy"]) for chunk in chunks), Counter[str]()),
        "by_scorer": {
            k: {n: round(v, 4) for n, v in sorted(row.items())}
            for k, row in sorted(scorers.items())
        },
        "examples": {
            kind: [e for chunk in chunks for e in chunk["found"].get(kind, [])][:MOST]
            for kind in kinds
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chunks", type=int, default=11)
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--chunk", type=int, help="run this one here and print its tally")
    parser.add_argument("--dry", action="store_true", help="leave the record alone")
    arguments = parser.parse_args()

    if arguments.chunk is not None:
        # A bomb is an exception, not a dead machine.
        resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30))
        print(json.dumps(run_chunk(arguments.chunk, arguments.size)))
        return

    chunks: list[dict[str, Any]] = []
    version = fingerprint()
    for number in range(arguments.chunks):
        path = CHUNKS / f"chunk-{number:03}-{arguments.size}-{version}.json"
        if not path.is_file():
            run_apart(number, arguments.size, path)

        chunks.append(json.loads(path.read_text()))
        total = collect(chunks)
        print({key: total[key] for key in SHOWN}, flush=True)
        if not arguments.dry:
            RECORD.write_text(json.dumps(total, indent=1) + "\n")


def run_apart(number: int, size: int, path: Path) -> None:
    """A chunk in a process of its own, which the kernel may end; its tally goes to `path`."""
    command = [sys.executable, __file__, "--chunk", str(number), "--size", str(size)]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment)

    if done.returncode == -signal.SIGPROF:
        text = (CHUNKS / f"current-{number}").read_bytes().partition(b"\0")[0].decode()
        sys.exit(f"chunk {number}: over {LIMIT_S:g} s of CPU: {text[:2000]}")
    if done.returncode:
        sys.exit(f"chunk {number}: exit code {done.returncode}")

    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".tmp").write_bytes(done.stdout)
    path.with_suffix(".tmp").replace(path)


def fingerprint() -> str:
    """A hash of the scorers and of this campaign: chunks of other code do not count."""
    import mtgrpo.tasks

    tasks = Path(mtgrpo.tasks.__file__).parent
    files = [
        *tasks.glob("answers/**/*.py"),
        *tasks.glob("sources/*.py"),
        *Path(__file__).parent.glob("fuzz_*.py"),
    ]
    return f"{zlib.crc32(b''.join(path.read_bytes() for path in sorted(files))):08x}"


if __name__ == "__main__":
    main()
