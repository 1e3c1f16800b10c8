"""What is installed here, and whether it is what the tests ran with."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import NamedTuple

from mtgrpo import __version__

TESTED = {
    "numpy": ("2.4.6", ""),
    "torch": ("2.13.0", "trl"),
    "trl": ("1.16.0", "trl"),
    "transformers": ("5.23.0", "trl"),
    "accelerate": ("1.15.0", "trl"),
    "datasets": ("5.2.0", "trl"),
    "peft": ("0.21.2", "peft"),
    "reasoning-gym": ("0.1.25", "reasoning-gym"),
    "math-verify": ("0.9.0", "math"),
    "rich": ("", "cli"),
    "pyyaml": ("", "cli"),
    "matplotlib": ("", "report"),
    "verl": ("0.9.1", "verl"),
    "vllm": ("", ""),
}
"""Version that the tests run with, where one is pinned, and the extra that brings it."""

OLDEST_PYTHON = (3, 10)


class Finding(NamedTuple):
    """One line of what was found."""

    name: str
    state: str
    """``ok``, ``missing`` or ``look``."""
    text: str


def version_of(package: str) -> str | None:
    """The installed version, or None; nothing is imported."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def versions() -> str:
    """mtgrpo's version, with those of the libraries that decide what a run does."""
    parts = [f"mtgrpo {__version__}"]
    for package in ("torch", "trl", "transformers"):
        found = version_of(package)
        parts.append(f"{package} {found}" if found else f"{package} not installed")
    return ", ".join(parts)


def examine() -> list[Finding]:
    """Python, packages, device and threads; each with the way out where something is to be done."""
    return [_python(), *_packages(), *_device(), _threads()]


def _python() -> Finding:
    found = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        return Finding("python", "look", f"{found}; 3.10 or newer is needed")
    return Finding("python", "ok", found)


def _packages() -> Iterator[Finding]:
    for package, (tested, extra) in TESTED.items():
        found = version_of(package)
        if found is None:
            way_out = f"for what needs it: pip install 'mtgrpo[{extra}]'" if extra else "optional"
            yield Finding(package, "missing", f"not installed; {way_out}")
            continue

        release = found.partition("+")[0]  # torch's CPU and CUDA builds are one release
        if tested and release != tested:
            yield Finding(package, "ok", f"{found}; tests ran with {tested}")
        else:
            yield Finding(package, "ok", f"{found}, as in the tests" if tested else found)


def _device() -> Iterator[Finding]:
    if version_of("torch") is None:
        return

    from mtgrpo.integrations.devices import gpus

    found = gpus()
    if not found:
        yield Finding("gpu", "ok", "none that torch can use; runs take the CPU")
    for gpu in found:
        yield Finding("gpu", "ok", gpu)


def _threads() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    asked = os.environ.get("OMP_NUM_THREADS")
    if asked is None:
        text = f"{cores} cores, OMP_NUM_THREADS not set; set it to 1 for small models on a CPU"
        return Finding("threads", "look", text)
    return Finding("threads", "ok", f"{cores} cores, OMP_NUM_THREADS={asked}")
