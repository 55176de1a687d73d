"""A page as Markdown, for an issue or a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gradaudit.report.explanation.blocks import Block, Code, Drawing, Entries, Heading, Markdown, Prose, Table
from gradaudit.report.visible import visible


def markdown(blocks: Iterable[Block]) -> str:
    """Return the text of a page."""
    return "\n\n".join(filter(None, map(_written, blocks))) + "\n"


def _written(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_escaped(text)}"
        case Prose(text):
            return "\n".join(_escaped(line) for line in text.splitlines())
        case Entries(rows):
            return "\n".join(f"- **{_escaped(label)}**: {_escaped(' '.join(text.split()))}" for label, text in rows)
        case Table():
            return _table(block)
        case Drawing(lines):
            return _fenced("\n".join(map(visible, lines)), "text")
        case Code(text, language):
            return _fenced(text.rstrip("\n"), language)
        case Markdown(text):
            return text


def _escaped(text: str) -> str:
    """Return text in which nothing is taken for markup."""
    return re.sub(r"([\\`*_<>|\[\]~#])", r"\\\1", visible(text))


def _fenced(text: str, language: str) -> str:
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _table(block: Table) -> str:
    rules = ["--:" if k in block.right else "---" for k in range(len(block.header))]
    rows = [block.header, tuple(rules), *(tuple(map(_cell, row)) for row in block.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(text: str) -> str:
    return "; ".join(map(_escaped, text.splitlines()))
