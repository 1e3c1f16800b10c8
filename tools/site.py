"""Hook of the documentation site: flowcharts are drawn, links that leave docs/ lead elsewhere.

To the repository where there is a public one; else they are words.
"""

from __future__ import annotations

import posixpath
from typing import Any

from flowchart import drawn  # beside this file, which MkDocs adds to the path
from links import rewrite


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """The page as the site shows it."""
    here = posixpath.join("docs", posixpath.dirname(page.file.src_uri)).rstrip("/")
    linked = rewrite(markdown, here, config.repo_url or None, lambda f: f.startswith("docs/"))
    return drawn(linked)
