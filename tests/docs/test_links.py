"""Links between the pages lead somewhere; nothing is fetched for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from .pages import PAGES, ROOT

FENCE = re.compile(r"^```.*?^```[ \t]*$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(((?!\w+:)[^)\s]+)\)")
EXPLICIT = re.compile(r"\{[^}]*#([\w-]+)[^}]*\}|id=\"([\w-]+)\"")


def anchors(page: Path) -> set[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*?)(?: \{.*\})?$", text, re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    slugs = {re.sub(r"[^\w -]", "", heading).strip().lower() for heading in plain}
    named = {one or other for one, other in EXPLICIT.findall(text)}
    return {re.sub(r"[ -]+", "-", slug) for slug in slugs} | named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    dead = []
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        is_page = target.is_file() and target.suffix == ".md"
        wanted = {anchor} if anchor and is_page else set()
        if not target.exists() or (wanted and wanted - anchors(target)):
            dead.append(link)

    assert dead == []


def test_every_page_is_in_the_navigation_and_the_other_way_round():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r": ([\w/-]+\.md)$", text, re.MULTILINE))
    there = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert listed == {page for page in there if not page.startswith("upstream/")}


def test_the_site_loads_nothing_from_elsewhere():
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert site["theme"]["font"] is False
    assert site["strict"] is True
    assert not [name for name in site.get("extra_javascript", []) if "//" in name]
    assert not [name for name in site["extra_css"] if "//" in name]
    assert all((ROOT / "docs" / name).is_file() for name in site["extra_css"])
