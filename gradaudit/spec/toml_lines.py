"""Where a key stands in a TOML file, which ``tomllib`` does not tell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import takewhile

HEADER = re.compile(r"^\s*\[{1,2}\s*([^\[\]]+?)\s*\]{1,2}\s*(#.*)?$")
"""A line that begins a table."""

KEY = re.compile(r"""^\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
"""A line that begins with a key, dotted or not, and its value."""

PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")
"""One part of a dotted key, which may be quoted."""


def place_of(text: str, path: Sequence[str]) -> tuple[int, int]:
    """Return the line and column at which a path of keys begins, or else the longest part of it that stands there.

    Keys of a table that is written in one line, as in ``float32 = {rtol = 1}``, count where that line begins.
    """
    best, place = 0, (1, 1)
    for line, column, keys in _keys(text):
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(keys, path, strict=False)))
        if shared > best:
            best, place = shared, (line, column)
    return place


def _keys(text: str) -> Iterator[tuple[int, int, list[str]]]:
    """Yield line, column and full path of every table and key."""
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if header := HEADER.match(line):
            table = _parts(header[1])
            yield number, line.index("[") + 1, table
        elif key := KEY.match(line):
            yield number, key.start(1) + 1, [*table, *_parts(key[1])]


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in PART.findall(dotted)]
