"""The part of a function's source that computes: not what it says of types, and not what only complains."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

TYPES = ("annotation", "returns", "decorator_list")
"""Fields of nodes that say something about a function and compute none of its values."""


def computing(node: ast.AST, is_left_out: Callable[[ast.AST], bool]) -> Iterator[ast.AST]:
    """Yield a node and all that computes below it.

    Args:
        node: of a syntax tree.
        is_left_out: whether neither a node nor what is below it is wanted.

    """
    if is_left_out(node):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name not in TYPES:
            for below in value if isinstance(value, list) else [value]:
                if isinstance(below, ast.AST):
                    yield from computing(below, is_left_out)
