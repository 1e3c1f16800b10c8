"""Links of Markdown pages that leave the place they are shown in, made to lead somewhere.

The package index shows the README alone, and the site shows docs/ alone. A link from there to
another file of the repository is absolute where project.urls names a repository, else plain text.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

LINK = re.compile(r"(!?)\[([^\[\]]*)\]\(((?!\w+:|#)[^)\s]+)\)")
FENCE = re.compile(r"(^```.*?^```[ \t]*$)", re.DOTALL | re.MULTILINE)


def rewrite(
    text: str, here: str, repository: str | None, stays: Callable[[str], bool], ref: str = "main"
) -> str:
    """The page with links that lead somewhere from where it is shown.

    Args:
        text: Markdown; what stands in fenced blocks is left alone.
        here: Folder of the page in the repository, "" for its root.
        repository: Address of the repository, or None while there is no public one.
        stays: Whether a file of the repository is shown beside the page, so that the link holds.
        ref: Branch or tag that the links lead to.
    """

    def moved(match: re.Match[str]) -> str:
        mark, words, target = match.groups()
        path, _, anchor = target.partition("#")
        file = posixpath.normpath(posixpath.join(here, path))
        if stays(file):
            return match[0]

        if repository is None:
            return "" if mark else words

        kind = "raw" if mark else "blob"
        place = f"{repository.rstrip('/')}/{kind}/{ref}/{file}"
        return f"{mark}[{words}]({place}{'#' + anchor if anchor else ''})"

    parts = FENCE.split(text)
    return "".join(part if i % 2 else LINK.sub(moved, part) for i, part in enumerate(parts))
