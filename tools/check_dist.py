"""What is in sdist and wheel: all of the package, nothing of a working copy.

python tools/check_dist.py dist
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from pathlib import Path

NEEDED = (
    "mtgrpo/py.typed",
    "mtgrpo/configs/demo.yaml",
    "mtgrpo/tiny/model/model.safetensors",
    "mtgrpo/tiny/model/tokenizer.json",
)
SHIPPED = {"src", "tests", "docs", "examples", "benchmarks", "research", "tools", ".github"}
RELATIVE = re.compile(r"\]\((?!\w+:|#)")


def problems(dist: Path) -> list[str]:
    """A line for each thing that is wrong."""
    (wheel_path,), (sdist_path,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    found: list[str] = []

    with zipfile.ZipFile(wheel_path) as wheel:
        names = wheel.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        text = wheel.read(metadata).decode()
    found += [f"wheel: {name} is missing" for name in NEEDED if name not in names]
    strange = [n for n in names if not n.startswith(("mtgrpo/", "mtgrpo-")) or "__pycache__" in n]
    found += [f"wheel: {name} is not of the package" for name in strange]
    readme = text.split("\n\n", 1)[1]
    if RELATIVE.search(readme):
        found.append("wheel: the README has a link that leads nowhere from an index")
    if "# mtgrpo" not in readme:
        found.append("wheel: no README")

    with tarfile.open(sdist_path) as sdist:
        inside = [name.split("/", 1)[1] for name in sdist.getnames() if "/" in name]
    folders = {name.split("/")[0] for name in inside if "/" in name}
    found += [f"sdist: {name}/ is missing" for name in sorted(SHIPPED - folders)]
    found += [f"sdist: {name}/ is of a working copy" for name in sorted(folders - SHIPPED)]
    return found


def main() -> None:
    """Print what is wrong, and fail if anything is."""
    lines = problems(Path(sys.argv[1]))
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    raise SystemExit(bool(lines))


if __name__ == "__main__":
    main()
