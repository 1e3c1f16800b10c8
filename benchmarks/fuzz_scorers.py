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


def run_chunk(number: int, size: int) -> dict[str, Any]:
    """Score `size` completions; the tally."""
    rng = random.Random(f"fuzz {number}")
    cases = all_cases(number)
    coverage = Coverage()
    corpus: dict[str, list[str]] = {case.family: [] for case in cases}
    tally: dict[str, Any] = {
        "chunk": number,
        "completions": 0,
        "by_scorer": {},
        "by_strategy": Counter(),
    }
    found: dict[str, list[Any]] = {
        "exceptions": [],
        "wrong_answers_scored": [],
        "right_answers_refused": [],
    }
    counts: Counter[str] = Counter()
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
                counts["exceptions"] += 1
                found["exceptions"].append([case.name, strategy, repr(error)[:300], text[:500]])
                continue
            finally:
                seconds = time.thread_time() - begin
                signal.setitimer(signal.ITIMER_PROF, 0.0)
                if measured:
                    peak = max(
                        peak,
                        tracemalloc.get_traced_memory()[1]
                        / len(text.encode("utf-8", "surrogatepass")),
                    )
                    tracemalloc.stop()
            if traced and coverage.new and len(text) < 2_000:
                corpus[case.family].append(text)
            tally["completions"] += 1
            tally["by_strategy"][strategy] += 1
            row = tally["by_scorer"].setdefault(case.family, Counter())
            row["completions"] += 1
            row["full" if accuracy >= 1.0 else "part" if reward > 0.0 else "none"] += 1
            if not traced and not measured:
                row["max_cpu_s"] = max(row["max_cpu_s"], seconds)
                row["over_0.1_s"] += seconds > SLOW_S
                if seconds > SLOW_S:
                    counts["slow"] += 1
                    found.setdefault("slow", []).append(
                        [case.name, strategy, round(seconds, 3), text[:300]]
                    )
            right = case.judge(text)
            if accuracy >= 1.0 and right is None:
                row["full_and_unjudged"] += 1
                found.setdefault("full_and_unjudged", []).append([case.name, strategy, text[:300]])
            elif accuracy >= 1.0 and not right:
                counts["wrong_answers_scored"] += 1
                found["wrong_answers_scored"].append([case.name, strategy, text[:500]])
            if accuracy < 1.0 and right is False and strategy == "right":
                counts["references_that_are_wrong"] += 1  # scorer and judge agree
                found.setdefault("references_that_are_wrong", []).append(
                    [case.name, strategy, text[:300]]
                )
            elif accuracy < 1.0 and (right or strategy == "right"):
                row["right_but_refused"] += 1
                kind = (
                    "right_answers_refused" if strategy == "right" else "odd_right_answers_refused"
                )
                counts[kind] += 1
                found.setdefault(kind, []).append([case.name, strategy, text[:300]])
            elif right:
                row["judged_right"] += 1
    os.unlink(CHUNKS / f"current-{number}")
    tally |= {
        "counts": counts,
        "found": {kind: examples[:MOST] for kind, examples in found.items()},
        "edges": len(coverage.edges),
        "corpus": sum(map(len, corpus.values())),
        "cpu_s": round(time.process_time() - started, 1),
        "peak_bytes_per_byte": round(peak, 1),
        "max_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    return tally


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
        resource.setrlimit(
            resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30)
        )  # a bomb is an exception, not a dead machine
        print(json.dumps(run_chunk(arguments.chunk, arguments.size)))
        return
    chunks: list[dict[str, Any]] = []
    for number in range(arguments.chunks):
        path = CHUNKS / f"chunk-{number:03}-{arguments.size}-{fingerprint()}.json"
        if not path.is_file():
            command = [
                sys.executable,
                __file__,
                "--chunk",
                str(number),
                "--size",
                str(arguments.size),
            ]
            done = subprocess.run(
                command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONHASHSEED": "0"}
            )
            if done.returncode == -signal.SIGPROF:
                text = (CHUNKS / f"current-{number}").read_bytes().partition(b"\0")[0].decode()
                sys.exit(f"chunk {number}: over {LIMIT_S:g} s of CPU: {text[:2000]}")
            if done.returncode:
                sys.exit(f"chunk {number}: exit code {done.returncode}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".tmp").write_bytes(done.stdout)
            path.with_suffix(".tmp").replace(path)
        chunks.append(json.loads(path.read_text()))
        total = collect(chunks)
        keys = (
            "completions",
            "exceptions",
            "wrong_answers_scored",
            "right_answers_refused",
            "max_cpu_s",
        )
        print({key: total[key] for key in keys}, flush=True)
        if not arguments.dry:
            RECORD.write_text(json.dumps(total, indent=1) + "\n")


def fingerprint() -> str:
    """Of the scorers and of this campaign: chunks of other code do not count."""
    import mtgrpo.tasks

    folders = (Path(mtgrpo.tasks.__file__).parent, Path(__file__).parent)
    names = (
        "answers",
        "arithmetic",
        "boxed",
        "latex",
        "rewards",
        "reasoning_gym",
        "science",
        "fuzz_*",
    )
    files = sorted(
        path for folder in folders for name in names for path in folder.glob(f"{name}.py")
    )
    return f"{zlib.crc32(b''.join(path.read_bytes() for path in files)):08x}"


if __name__ == "__main__":
    main()
