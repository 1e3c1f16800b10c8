"""Hook of the documentation site: links that leave docs/ lead to the repository, or are words."""

from __future__ import annotations

import posixpath
from typing import Any

from links import rewrite  # beside this file, which MkDocs adds to the path


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """The page as the site shows it."""
    here = posixpath.join("docs", posixpath.dirname(page.file.src_uri)).rstrip("/")
    return rewrite(markdown, here, config.repo_url or None, lambda file: file.startswith("docs/"))
