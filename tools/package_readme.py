"""Build hook: the README as the package index shows it.

Links to files of the repository become absolute with ``Repository`` in project.urls. Without it
they are plain words, and pictures are left out, for a relative one would be broken there.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class PackageReadme(MetadataHookInterface):
    """Sets ``readme``, which pyproject.toml declares dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Put the rewritten page into the metadata."""
        root = Path(self.root)
        rewrite = runpy.run_path(str(root / "tools" / "links.py"))["rewrite"]

        text = (root / "README.md").read_text(encoding="utf-8")
        repository = metadata.get("urls", {}).get("Repository")
        ref = f"v{metadata['version']}"
        shown = rewrite(text, "", repository, lambda file: False, ref)

        metadata["readme"] = {"content-type": "text/markdown", "text": shown}
