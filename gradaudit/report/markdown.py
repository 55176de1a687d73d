"""Markdown for pages that GitHub renders, whatever the names in it hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_PLAIN = re.compile(r"[\w .:/(),=+-]*")


def code(text: str) -> str:
    """Write a name as code; nothing in it can end the code, its cell or its line."""
    if text and _PLAIN.fullmatch(text):
        return f"`{text}`"
    return f"<code>{escaped(text)}</code>"


def escaped(text: str) -> str:
    """Write text so that nothing in it is markup: what could be is written by its number."""
    return "".join(char if _harmless(char) else f"&#{ord(char)};" for char in " ".join(text.split()))


def _harmless(char: str) -> bool:
    return (char.isalnum() or char in " .,:;/()=+-%'\"") and not 0xD800 <= ord(char) < 0xE000


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Write a table; a heading that ends in a colon is of a column aligned to the right."""
    rule = ["---:" if heading.endswith(":") else "---" for heading in headings]
    names = [heading.removesuffix(":") for heading in headings]
    return [_line(names), _line(rule), *(_line(row) for row in rows)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
