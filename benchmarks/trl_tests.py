"""TRL's own GRPOTrainer tests with the class replaced by MultiTaskGRPOTrainer, and nothing else.

The tests come from a checkout of TRL (a folder, or a git folder and a revision) and are copied to a temporary folder
only. What they load from the hub is made there, by TRL's own scripts (trl_tests_hub.py). Outcomes are kept as they
come, so that a run that was stopped goes on where it was. Writes trl_tests.json beside this file.

python benchmarks/trl_tests.py --trl ~/trl --plain              # TRL's class: which tests can pass here
python benchmarks/trl_tests.py --trl ~/trl                      # ours
python benchmarks/trl_tests.py --trl ~/trl -k "tools or vlm"    # some of them
python benchmarks/trl_tests.py --trl ~/trl/.git --revision v1.9.0

Without jmespath the tests with tools and environments are skipped, without torchvision those with images are. Beside a
CPU build of torch, torchvision from PyPI stops transformers from being imported anywhere but here, so keep it apart:

pip install --no-deps --target ~/beside jmespath "torchvision==0.28.*"      # 0.28 goes with torch 2.13
PYTHONPATH=~/beside python benchmarks/trl_tests.py --trl ~/trl
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SOURCE = HERE.parent / "src"
RECORD = Path(__file__).with_suffix(".json")
WANTED = (
    "scripts/generate_tiny_models",
    "scripts/generate_zen_dataset.py",
    "scripts/generate_zen_image_dataset.py",
    "scripts/generate_zen_multi_image_dataset.py",
    "tests/__init__.py",
    "tests/conftest.py",
    "tests/testing_utils.py",
    "tests/test_grpo_trainer.py",
    "VERSION",
)
HUBS = ("small", "real")
PACKAGES = (
    "trl",
    "transformers",
    "torch",
    "datasets",
    "peft",
    "jmespath",
    "torchvision",
    "liger-kernel",
)
# A torchvision that was built for CUDA cannot be imported beside a CPU build of torch, for two operators that no
# test needs. Python runs this file first, in the loaders' own processes too.
SITE = """\
import importlib.metadata
import sys


class DeclareOperators:
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            for operator in ("nms", "qnms"):
                schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                torch.library.define(f"torchvision::{operator}", schema)


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "+"


if "+cpu" in version("torch") and "+" not in version("torchvision"):
    sys.meta_path.insert(0, DeclareOperators())
"""


def git(folder: Path, *arguments: str) -> bytes:
    bare = folder if (folder / "HEAD").is_file() else folder / ".git"
    return subprocess.run(
        ["git", f"--git-dir={bare}", *arguments], check=True, capture_output=True
    ).stdout


def is_git(folder: Path) -> bool:
    return (folder / "HEAD").is_file() or (folder / ".git").exists()


def commit_of(checkout: Path, revision: str | None) -> str:
    if is_git(checkout):
        return git(checkout, "rev-parse", f"{revision or 'HEAD'}^{{commit}}").decode().strip()
    if revision is not None:
        raise SystemExit(f"--revision {revision}: {checkout} is not a git folder; leave it out")

    return "unknown"


def take_tests(checkout: Path, revision: str | None, target: Path) -> None:
    """Copy TRL's tests, and the scripts that make what they load, to `target`."""
    if revision is None and (checkout / "tests").is_dir():
        for name in WANTED:
            path = checkout / name
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, target / name)
        return

    packed = git(checkout, "archive", revision or "HEAD", *WANTED)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(target, filter="data")


def prepare(work: Path, checkout: Path, revision: str | None) -> None:
    """Make the folder to run in, once: tests, models and datasets."""
    made = work / "made"
    if made.is_file():
        return

    source = work / "source"
    shutil.rmtree(source, ignore_errors=True)
    take_tests(checkout, revision, source)
    (work / "site").mkdir(exist_ok=True)
    (work / "site" / "sitecustomize.py").write_text(SITE, encoding="utf-8")

    print(f"making the tiny models and datasets in {work} ...", flush=True)
    for hub in HUBS:
        maker = [sys.executable, "-W", "ignore", str(HERE / "trl_tests_hub.py"), str(work), hub]
        subprocess.run(maker, check=True, env=environment(work, hub), stdout=subprocess.DEVNULL)
    made.touch()


def environment(work: Path, hub: str) -> dict[str, str]:
    before = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(work / "site"), str(HERE), str(SOURCE), *before]),
        "HF_HOME": str(work / "home"),
        "HF_HUB_CACHE": str(work / "hubs" / hub),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        # Large blocks are kept for reuse: giving each back to the system takes longer than the tests' arithmetic.
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(2**40),
        "MALLOC_TOP_PAD_": str(2**27),
    }


def run_tests(work: Path, kind: str, hub: str, select: str | None, limit: int) -> None:
    """Run the tests that are for one of the hubs and have no outcome yet, in one process."""
    command = [sys.executable, "-m", "pytest", "-p", "trl_tests_plugin", "-p", "no:cacheprovider"]
    command += [
        "-q",
        "--tb=no",
        "-W",
        "ignore",
        "--no-header",
        "-c",
        os.devnull,
        "--rootdir",
        str(work / "source"),
    ]
    command += ["--basetemp", str(work / f"tmp-{kind}"), "-o", "tmp_path_retention_policy=none"]
    command += ["tests/test_grpo_trainer.py"]
    if select is not None:
        command += ["-k", select]
    ours = {
        "MTGRPO_TRL_WORK": str(work),
        "MTGRPO_TRL_OUTCOMES": str(outcome_file(work, kind)),
        "MTGRPO_TRL_CLASS": kind,
        "MTGRPO_TRL_HUB": hub,
        "MTGRPO_TRL_LIMIT": str(limit),
    }
    ended = subprocess.run(
        command, cwd=work / "source", env=environment(work, hub) | ours, check=False
    )
    # 0 and 1: the tests ran; 5: none was left to run.
    if ended.returncode not in (0, 1, 5):
        raise SystemExit(f"pytest ended with {ended.returncode} before the tests did")


def outcome_file(work: Path, kind: str) -> Path:
    return work / f"{kind}.jsonl"


def read_outcomes(work: Path, kind: str) -> dict[str, dict[str, Any]]:
    path = outcome_file(work, kind)
    if not path.is_file():
        return {}

    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {
        line["test"]: {key: line[key] for key in ("outcome", "seconds", "reason")} for line in lines
    }


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def write_record(
    path: Path, about: dict[str, Any], kind: str, found: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Put one class's outcomes into the record, beside the other's."""
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if record.get("tests_of") != about:
        record = {"tests_of": about, "plain": {}, "ours": {}}

    record["python"] = platform.python_version()
    record["packages"] = {package: version(package) for package in PACKAGES}
    record[kind] = dict(sorted((record[kind] | found).items()))
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    return record


def summary(record: dict[str, Any]) -> list[str]:
    lines = []
    for kind in ("plain", "ours"):
        counts = {"passed": 0, "failed": 0, "skipped": 0}
        for test in record[kind].values():
            counts[test["outcome"]] += 1
        seconds = sum(test["seconds"] for test in record[kind].values())
        said = ", ".join(f"{number} {outcome}" for outcome, number in counts.items())
        lines.append(f"{kind}: {said} of {len(record[kind])} ({seconds / 60:.0f} min)")

    able = [name for name, test in record["plain"].items() if test["outcome"] == "passed"]
    run = [name for name in able if name in record["ours"]]
    passed = [name for name in run if record["ours"][name]["outcome"] == "passed"]
    lines += [f"  {name}: {record['ours'][name]['reason']}" for name in run if name not in passed]
    if record["ours"]:
        lines.append(
            f"{len(passed)} of {len(able)} that plain TRL passes ({len(able) - len(run)} not run)"
        )

    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--trl", type=Path, required=True, help="checkout of TRL, or its git folder"
    )
    parser.add_argument(
        "--revision", help="take the tests from this revision instead of the files or HEAD"
    )
    parser.add_argument("--plain", action="store_true", help="run TRL's own class")
    parser.add_argument("-k", dest="select", help="as pytest's -k")
    parser.add_argument(
        "--again", action="store_true", help="forget the outcomes of earlier runs of this class"
    )
    parser.add_argument(
        "--limit", type=int, default=600, help="seconds a test may take (default %(default)s)"
    )
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "mtgrpo-trl-tests"
    )
    parser.add_argument("--out", type=Path, default=RECORD, help="the record (default %(default)s)")
    options = parser.parse_args()

    os.nice(19 - os.nice(0))
    kind = "plain" if options.plain else "ours"
    commit = commit_of(options.trl, options.revision)
    work = options.work / commit[:10]
    work.mkdir(parents=True, exist_ok=True)
    if options.again:
        outcome_file(work, kind).unlink(missing_ok=True)

    prepare(work, options.trl, options.revision)
    for hub in HUBS:
        run_tests(work, kind, hub, options.select, options.limit)

    about = {"version": (work / "source" / "VERSION").read_text(encoding="utf-8").strip()}
    about["commit"] = commit
    record = write_record(options.out, about, kind, read_outcomes(work, kind))
    print("\n".join(summary(record)))


if __name__ == "__main__":
    main()
