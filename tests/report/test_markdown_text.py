"""Text in Markdown pages, whatever it holds."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradaudit.report.markdown import code, escaped, table
from gradaudit.report.visible import visible


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("my_ops", "my_ops"),
        ("_x_", "&#95;x&#95;"),
        ("a|b", "a&#124;b"),
        ("<b>&amp;", "&#60;b&#62;&#38;amp;"),
        ("line\nbreak\t end ", "line break end"),
    ],
)
def test_characters_of_markup_are_escaped(text: str, written: str) -> None:
    assert escaped(text) == written


@given(st.text())
def test_nothing_is_lost_and_nothing_is_markup(text: str) -> None:
    written = escaped(text)
    assert html.unescape(written) == visible(" ".join(text.split()))
    assert not set("|`*<>[]\\~\n") & set(written)


def test_code_with_a_backtick_is_written_as_html() -> None:
    assert code("a.b:c_d") == "`a.b:c_d`"
    assert code("a`b") == "<code>a&#96;b</code>"
    assert code("") == "<code></code>"


def test_a_table_aligns_what_its_headings_say() -> None:
    assert table(["A", "B:"], [["x", "1"]]) == ["| A | B |", "| --- | ---: |", "| x | 1 |"]
