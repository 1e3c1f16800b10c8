"""The pages people read, and the code blocks in them.

A block of Python, YAML or shell runs as it stands, in the page's order, unless a comment right
before its fence says otherwise:

    <!-- not run: why not -->
    <!-- run by tests/some_test.py -->
    <!-- slow -->        runs in `make test` alone

`<!-- blocks run by tests/some_test.py -->` anywhere on a page speaks for all of its blocks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
]

CODE = {"python": "python", "py": "python", "yaml": "yaml", "bash": "shell", "sh": "shell"}
FENCE = re.compile(
    r"(?:^<!-- *(?P<marker>[^\n]*?) *-->\n(?:<!-- \w+ -->\n)?)?^```(?P<info>[^\n`]*)\n(?P<code>.*?)^```[ \t]*$",
    re.DOTALL | re.MULTILINE,
)
WHOLE_PAGE = re.compile(r"<!-- *blocks (run by [^\n]*?) *-->")


@dataclass(frozen=True)
class Block:
    """A fenced block: what it is, what it is called, and what is said of it."""

    page: Path
    line: int
    kind: str
    title: str | None
    code: str
    marker: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def runs(self) -> bool:
        return self.marker in (None, "slow")


def blocks(page: Path) -> list[Block]:
    """Blocks of code, in order; diagrams, diffs and plain text are none."""
    text = page.read_text(encoding="utf-8")
    whole = WHOLE_PAGE.search(text)

    found = []
    for match in FENCE.finditer(text):
        language, _, rest = match["info"].partition(" ")
        if language not in CODE:
            continue
        title = re.search(r'title="([^"]+)"', rest)
        found.append(
            Block(
                page=page,
                line=text.count("\n", 0, match.start("info")) + 1,
                kind=CODE[language],
                title=title[1] if title else None,
                code=match["code"],
                marker=match["marker"] or (whole[1] if whole else None),
            )
        )
    return found
