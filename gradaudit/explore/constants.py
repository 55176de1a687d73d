"""The numbers in an op's own source: block sizes, thresholds and kinks stand there."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gradaudit.depth.implementation import Function
from gradaudit.source.modules import read_tree

MOST = 32
"""Numbers of a source that are drawn: a table of coefficients says little of each."""

LARGEST_BLOCK = 1024


@dataclass(frozen=True)
class Constants:
    """Numbers that stand in a source.

    Attributes:
        sizes: whole ones that a size may be compared with, in order.
        values: all of them, with either sign, the plainest first.

    """

    sizes: tuple[int, ...] = ()
    values: tuple[float, ...] = ()


def constants_in(functions: Iterable[Function]) -> Constants:
    """Return the numbers in the bodies of functions."""
    found = {number for function in functions for number in _numbers(function)}
    sizes = sorted(int(number) for number in found if number == int(number) and 2 < number <= LARGEST_BLOCK)
    values = sorted({sign * number for number in found for sign in (1.0, -1.0)}, key=_plainness)
    return Constants(tuple(sizes[:MOST]), tuple(values[:MOST]))


def _plainness(number: float) -> tuple[int, float, bool]:
    return len(repr(abs(number))), abs(number), number < 0


def _numbers(function: Function) -> Iterator[float]:
    for line, number in _numbers_by_line(function.file):
        if line in function.body:
            yield number


@cache
def _numbers_by_line(file: Path) -> tuple[tuple[int, float], ...]:
    tree = read_tree(file)
    if isinstance(tree, str):
        return ()
    return tuple(
        (node.lineno, float(node.value))
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and abs(node.value) < 1e6
    )
