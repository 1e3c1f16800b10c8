"""Everything to be measured on a GPU, in parts that each fit in nine minutes and go on where they were stopped.

On a machine with network, once: what a bare machine with torch, transformers, accelerate and peft lacks, in folders of
less than 64 MiB each, pieces of the model among them:

    python benchmarks/gpu/kit.py pack --carry carry

On the GPU, from the folder of this repository (one call brings carry/1, the next carry/2, and so on; setup with each):

    python benchmarks/gpu/kit.py setup --carry carry --work /tmp/kit
    python benchmarks/gpu/kit.py exact --work /tmp/kit --out $OUT       # (a) bit for bit, resumed, fp32 and bf16
    python benchmarks/gpu/kit.py time --work /tmp/kit --out $OUT        # (b) a step against TRL's GRPOTrainer
    python benchmarks/gpu/kit.py learn --work /tmp/kit --out $OUT       # (c) grpo and grpo_fair, seed after seed
    python benchmarks/gpu/kit.py memory --work /tmp/kit --out $OUT      # (d) measured against the estimate
    python benchmarks/gpu/kit.py fsdp --work /tmp/kit --out $OUT        # (e) one process, sharded

A part writes <part>.json in OUT after each measurement, and leaves out those that are in it. ``--rehearse`` runs the
same code on a CPU with the embedded model and tiny sizes; the tests do so.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

HERE = Path(__file__).parent
PARTS = {
    "exact": "kit_exact",
    "time": "kit_time",
    "learn": "kit_learn",
    "memory": "kit_memory",
    "fsdp": "kit_fsdp",
}
LIMIT_S = 520
"""Seconds after which a part begins no further measurement; a call may take ten minutes."""


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=("pack", "setup", *PARTS))
    parser.add_argument("--carry", type=Path, default=Path("carry"), help="what pack wrote")
    parser.add_argument("--work", type=Path, default=Path("/tmp/kit"), help="for setup and models")
    parser.add_argument("--out", type=Path, default=Path("gpu_records"), help="for records")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds")
    parser.add_argument("--rehearse", action="store_true", help="CPU, embedded model, tiny sizes")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    sys.path.insert(0, str(HERE))

    if args.part in ("pack", "setup"):
        return int(importlib.import_module("kit_setup").run(args))

    site = args.work / "site"
    if site.is_dir() and str(site) not in sys.path:
        again = [sys.executable, str(HERE / "kit.py"), *(arguments or sys.argv[1:])]
        return subprocess.call(again, env=with_packages(args.work))

    args.out.mkdir(parents=True, exist_ok=True)
    return int(importlib.import_module(PARTS[args.part]).run(args))


def with_packages(work: Path) -> dict[str, str]:
    """The environment in which the carried packages are found, and the model's cache."""
    paths = [str((work / "site").absolute()), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "MTGRPO_CACHE": str((work / "cache").absolute()),
    }


if __name__ == "__main__":
    sys.exit(main())
