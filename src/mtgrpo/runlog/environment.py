"""What a run ran on. Reads package metadata; imports none of the packages."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from typing import Any

PACKAGES = (
    "mtgrpo", "numpy", "torch", "trl", "transformers", "accelerate", "peft", "datasets", "vllm",
    "verl", "reasoning-gym", "pyyaml", "matplotlib",
)  # fmt: skip
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "WORLD_SIZE",
)


def describe_environment() -> dict[str, Any]:
    """Versions, machine, thread settings, and the git commit of the working directory, if any."""
    machine = {
        "system": platform.platform(),
        "architecture": platform.machine(),
        "num_cpus": os.cpu_count(),
        "memory_gib": _memory_gib(),
    }
    variables = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}

    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "machine": machine,
        "variables": variables,
        "arguments": sys.argv[1:],
        "git": _git(),
    }


def _versions() -> dict[str, str]:
    versions: dict[str, str] = {}

    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue

    return versions


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _git() -> dict[str, Any] | None:
    try:
        commit = _run_git("rev-parse", "HEAD")
        changed = _run_git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "uncommitted_changes": bool(changed)}


def _run_git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
