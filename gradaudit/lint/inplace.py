"""Changes of arrays in place, and names that stand for the same array."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from gradaudit.lint.flow import Function, own_nodes
from gradaudit.lint.vocabulary import dotted, last_word, words

CHANGING_METHODS = frozenset({"fill", "sort", "partition", "itemset", "setfield", "resize", "setflags"})
"""Methods of an array that change it, beside those whose names end with an underscore as torch's do."""

CHANGING_FUNCTIONS = frozenset(
    {"copyto", "put", "place", "putmask", "fill_diagonal", "at", "shuffle", "put_along_axis"}
)
"""Functions that change their first argument: ``np.copyto(x, ...)``, ``np.add.at(x, ...)``."""

HARMLESS_METHODS = frozenset({"requires_grad_", "retain_grad_", "zero_grad_", "share_memory_"})
"""Methods with an underscore at their end that do not change values."""

VIEWS = words(
    "data T flat real reshape view ravel transpose swapaxes squeeze asarray expand_dims unsqueeze atleast_2d detach"
)
"""Attributes, methods and functions whose result shares its memory with what they are taken of."""

BUFFERS = words(
    "zeros zeros_like empty empty_like ones ones_like full full_like list dict set deque defaultdict array eye"
)
"""Functions that make what is filled afterwards."""


@dataclass(frozen=True)
class Change:
    """A change in place: of what, where, and whether it is one only for arrays, as ``x += 1`` is."""

    name: str
    node: ast.stmt | ast.expr
    of_arrays_only: bool


def changes(function: Function | ast.Module) -> Iterator[Change]:
    """Yield what a function changes in place by itself."""
    for node in own_nodes(function.body):
        match node:
            case ast.Assign(targets=targets):
                for target in targets:
                    if isinstance(target, ast.Subscript) and not _is_key(target.slice):
                        yield Change(viewed(target), node, of_arrays_only=False)
            case ast.AugAssign(target=ast.Subscript() as target) if not _is_key(target.slice):
                yield Change(viewed(target), node, of_arrays_only=False)
            case ast.AugAssign(target=ast.Name() | ast.Attribute() as target):
                yield Change(viewed(target), node, of_arrays_only=last_word(target) != "data")
            case ast.Call():
                yield from _changes_by_call(node)


def _changes_by_call(node: ast.Call) -> Iterator[Change]:
    word = last_word(node.func)
    if isinstance(node.func, ast.Attribute):
        in_place = word.endswith("_") and not word.endswith("__") and word not in HARMLESS_METHODS
        if in_place or word in CHANGING_METHODS:
            yield Change(viewed(node.func.value), node, of_arrays_only=False)
        if word in CHANGING_FUNCTIONS and node.args:
            yield Change(viewed(node.args[0]), node, of_arrays_only=False)
    for keyword in node.keywords:
        if keyword.arg == "out":
            yield Change(viewed(keyword.value), node, of_arrays_only=False)


def _is_key(index: ast.expr) -> bool:
    return isinstance(index, ast.Constant) and isinstance(index.value, str)


def viewed(node: ast.expr) -> str:
    """Return the dotted name whose memory an expression shares; empty where it has its own, or that is not seen."""
    match node:
        case ast.Subscript(value=value, slice=index):
            return f"{viewed(value)}.{index.value}" if _is_key(index) else viewed(value)  # type: ignore[attr-defined]
        case ast.Attribute(value=value, attr="data" | "T" | "flat" | "real"):
            return viewed(value)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="np" | "numpy" | "torch"), attr=word), args=[first, *_]):
            return viewed(first) if word in VIEWS else ""
        case ast.Call(func=ast.Attribute(value=value, attr=word)):
            return viewed(value) if word in VIEWS else ""
    return dotted(node)


def shares_memory(node: ast.expr) -> str:
    """Return the dotted name that a value is the same array as, or a view of; empty where it is a copy."""
    inner = node
    while isinstance(inner, (ast.Subscript, ast.Attribute)):
        if isinstance(inner, ast.Subscript) and not _is_slice(inner.slice) and not _is_key(inner.slice):
            return ""
        inner = inner.value
    return viewed(node)


def _is_slice(index: ast.expr) -> bool:
    parts = index.elts if isinstance(index, ast.Tuple) else [index]
    return all(isinstance(part, (ast.Slice, ast.Constant)) for part in parts)


def is_array(node: ast.expr) -> bool:
    """Whether an expression is a raw array as far as one can see: an array of a tensor, or a result of NumPy."""
    match node:
        case ast.Attribute(attr="data"):
            return True
        case ast.Call(func=func):
            root = dotted(func).partition(".")[0]
            method = isinstance(func, ast.Attribute) and is_array(func.value)
            return (root in ("np", "numpy") or method) and last_word(func) not in BUFFERS
        case ast.Subscript(value=value) | ast.UnaryOp(operand=value):
            return is_array(value)
        case ast.BinOp(left=left, right=right):
            return is_array(left) or is_array(right)
    return False


def is_buffer(node: ast.expr) -> bool:
    """Whether an expression makes something that is filled afterwards, or no array at all."""
    if isinstance(node, (ast.List, ast.Dict, ast.ListComp, ast.DictComp, ast.Constant, ast.Set)):
        return True
    return isinstance(node, ast.Call) and last_word(node.func) in BUFFERS
