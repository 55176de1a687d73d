"""Markdown for pages that GitHub renders, whatever the names in it hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gradaudit.report.visible import visible

_MARKUP = re.compile(r"""[^\w .,:;/()=+%'"-]|(?<![^\W_])_|_(?![^\W_])""")
"""What may be markup in text; an underscore is none inside a word."""

_PLAIN = re.compile(r"[\w .:/(),=+-]*")


def code(text: str) -> str:
    """Write a name as code; nothing in it can end the code, its cell or its line."""
    if text and _PLAIN.fullmatch(text):
        return f"`{text}`"
    return f"<code>{escaped(text)}</code>"


def escaped(text: str) -> str:
    """Write text so that nothing in it is markup: what could be is written by its number."""
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", visible(" ".join(text.split())))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Write a table; a heading that ends in a colon is of a column aligned to the right."""
    rule = ["---:" if heading.endswith(":") else "---" for heading in headings]
    names = [heading.removesuffix(":") for heading in headings]
    return [_line(names), _line(rule), *(_line(row) for row in rows)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
