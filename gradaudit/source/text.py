"""The text of a source file, with the place of every part of its syntax tree in it, and changes to it."""

from __future__ import annotations

import ast
import io
import tokenize
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class Edit:
    """Bytes ``start`` to ``end`` of a file's text replaced."""

    start: int
    end: int
    replacement: str


class SourceText:
    """A file's text; places are bytes of its UTF-8 encoding, as in a syntax tree.

    Args:
        text: the text, its lines ended by newlines only.

    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._bytes = text.encode()
        self._starts = [0, *accumulate(len(line) for line in self._bytes.splitlines(keepends=True))]

    def of(self, node: ast.expr | ast.stmt) -> str:
        """Return the text of a node, without the brackets around it."""
        start, end = self.span(node)
        return self._bytes[start:end].decode()

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Return where a node begins and ends."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        end = self._starts[node.end_lineno - 1] + node.end_col_offset
        return self._starts[node.lineno - 1] + node.col_offset, end

    def operand(self, node: ast.expr) -> str:
        """Return the text of an expression such that an operator may stand beside it."""
        return self.of(node) if isinstance(node, ATOMS) else f"({self.of(node)})"

    def between(self, left: ast.expr, right: ast.expr) -> tuple[int, int]:
        """Return the place from the end of one node to the beginning of another."""
        return self.span(left)[1], self.span(right)[0]

    def slice(self, start: int, end: int) -> str:
        """Return the text at a place."""
        return self._bytes[start:end].decode()

    def replaced(self, node: ast.expr | ast.stmt, replacement: str) -> Edit:
        """Return the edit that puts a text in the place of a node."""
        return Edit(*self.span(node), replacement)

    def expression(self, node: ast.expr, expression: str) -> Edit:
        """Return the edit that puts another expression in the place of one, in brackets unless it stands in some."""
        start, end = self.span(node)
        inside = self._bytes[start - 1 : start] == b"(" and self._bytes[end : end + 1] == b")"
        return Edit(start, end, expression if inside else f"({expression})")

    def left_over(self, node: ast.expr, part: ast.expr) -> Edit:
        """Return the edit that leaves only a part of an expression."""
        return self.replaced(node, self.of(part)) if isinstance(part, ATOMS) else self.expression(node, self.of(part))

    def edited(self, edit: Edit) -> str:
        """Return the text with an edit made."""
        return (self._bytes[: edit.start] + edit.replacement.encode() + self._bytes[edit.end :]).decode()


ATOMS = (ast.Name, ast.Constant, ast.Call, ast.Attribute, ast.Subscript, ast.List)
"""Expressions that need no brackets beside an operator."""


def decoded(source: bytes) -> str:
    """Return the text of a Python file in whatever encoding it declares."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    return io.TextIOWrapper(io.BytesIO(source), encoding).read()
