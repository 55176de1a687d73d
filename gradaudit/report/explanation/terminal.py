"""A page on a console: wrapped to its width, plain where it is no terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import rich.box
import rich.table
from rich.console import Console, RenderableType
from rich.markdown import Markdown as RichMarkdown
from rich.padding import Padding
from rich.text import Text

from gradaudit.report.explanation.blocks import Block, Code, Drawing, Entries, Heading, Markdown, Prose, Table
from gradaudit.report.terminal import COLOURS
from gradaudit.report.visible import visible

MARGIN = "  "
"""What stands before everything but headings, and code that is to be copied."""

MAX_NAME = 24
"""Columns that the first column of a table has at least where its names need them."""

MIN_NAME = 8
"""Columns that it has at least however little room the others leave."""

GAP = 2
"""Columns between two of a table."""

MAX_LABEL = 12
"""Columns for the labels of entries; what is longer runs into the text."""


def print_page(blocks: Iterable[Block], console: Console) -> None:
    """Write the blocks of a page, an empty line between them."""
    for k, block in enumerate(blocks):
        if k:
            console.print()
        as_it_stands = isinstance(block, (Code, Drawing, Heading))
        console.print(_rendered(block, console.width), soft_wrap=as_it_stands)


def _rendered(block: Block, width: int) -> RenderableType:
    match block:
        case Heading(text, level):
            return _heading(text, level, width)
        case Prose(text):
            return Text("\n").join(_wrapped(line, width, MARGIN, MARGIN) for line in text.splitlines())
        case Entries(rows):
            return _entries(rows, width)
        case Table():
            return Padding(_table(block, width - len(MARGIN)), (0, 0, 0, len(MARGIN)), expand=False)
        case Drawing(lines):
            return Text("\n".join(MARGIN + visible(line) if line else "" for line in lines))
        case Code(text):
            return Text(text.rstrip("\n"))
        case Markdown(text):
            return Padding(RichMarkdown(text), (0, 0, 0, len(MARGIN)), expand=False)


def _heading(text: str, level: int, width: int) -> Text:
    lines = textwrap.wrap(visible(text), width, break_long_words=False, break_on_hyphens=False)
    heading = Text("\n".join(lines), style="bold" if level > 1 else "bold underline")
    for verdict, colour in COLOURS.items():
        heading.highlight_regex(rf"\b{verdict}\b", colour)
    return heading


def _wrapped(text: str, width: int, first: str, rest: str) -> Text:
    lines = textwrap.wrap(
        visible(text).strip(),
        max(width, 40),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return Text("\n".join(lines))


def _entries(rows: tuple[tuple[str, str], ...], width: int) -> Text:
    column = min(max((len(label) for label, _ in rows), default=0), MAX_LABEL) + 2
    texts = []
    for label, text in rows:
        head = MARGIN + (label.ljust(column) if len(label) < column else f"{label}: ")
        texts.append(_wrapped(" ".join(text.split()), width, head, MARGIN + " " * column))
        texts[-1].stylize("bold", len(MARGIN), len(MARGIN) + len(label))
    return Text("\n").join(texts)


def _table(block: Table, width: int) -> rich.table.Table:
    table = rich.table.Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    columns = [[heading, *cells] for heading, *cells in zip(block.header, *block.rows, strict=True)]
    first, *others = [max(len(line) for cell in column for line in cell.split("\n")) for column in columns]
    room = width - sum(GAP + min(other, MAX_NAME) for other in others)
    for k, heading in enumerate(block.header):
        table.add_column(
            heading,
            justify="right" if k in block.right else "left",
            overflow="fold",
            no_wrap=k in block.right,
            min_width=max(min(first, MAX_NAME, room), MIN_NAME) if k == 0 else None,
        )
    for row in block.rows:
        table.add_row(*(_cell(text) for text in row))
    return table


def _cell(text: str) -> Text:
    cell = Text("\n".join(map(visible, text.splitlines())))
    for verdict, colour in COLOURS.items():
        cell.highlight_regex(rf"^{verdict}\b", colour)
    return cell
