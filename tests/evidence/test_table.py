"""A table as text."""

from __future__ import annotations

from mtgrpo.evidence.table import Table


def test_markdown_makes_no_html_no_link_no_line_and_no_hidden_text():
    hostile = "a\nb\x1b[31m\u202e<script>\\[x](javascript:y)&"
    table = Table(hostile, (hostile,), ((hostile,),), hostile)
    text = table.markdown()
    assert len(text.splitlines()) == 7
    assert "<" not in text
    assert "](" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert Table("", ("h",), (("**+1.0**",),)).markdown().endswith("| **+1.0** |")
