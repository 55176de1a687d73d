"""Shapes that a function says its arguments have: in its docstring, in annotations, in the strings of einsum."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from gradaudit.drafts.settings import tree_of

Shape = tuple[int, ...]
Axis = tuple[str, str]
"""A letter, and where it stands for one size: in the docstring, in one call of einsum."""

SIZES = (3, 4, 5, 7, 6, 8, 9, 10)
"""What letters stand for, in the order in which they come: no two alike."""

ELEMENTWISE = frozenset({"exp", "tanh", "sqrt", "log", "abs", "softmax", "sigmoid", "relu", "copy", "sin", "cos"})

WRITTEN = r"[(\[]\s*((?:[A-Za-z]\w*|\d+)\s*(?:,\s*(?:[A-Za-z]\w*|\d+)\s*)*,?)\s*[)\]]"
"""A shape in a docstring: ``(N, D)``, ``(N,)``, ``[batch, 3]``."""


def said_shapes(function: Callable[..., Any] | None) -> dict[str, Shape]:
    """Return the shapes of the arguments whose axes a function names; axes of one name are as long."""
    if (tree := tree_of(function)) is None:
        return {}
    arguments = [one.arg for one in ast.walk(tree) if isinstance(one, ast.arg)]
    alike = _elementwise(tree)
    said: dict[str, tuple[Axis, ...]] = {}
    same: dict[Axis, Axis] = {}

    def first(axis: Axis) -> Axis:
        return axis if axis not in same else first(same[axis])

    for name, axes in chain(_in_docstring(function, arguments), _in_annotations(tree), _in_einsums(tree)):
        known = said.setdefault(alike.get(name, name), axes)
        for one, other in zip(known, axes, strict=True) if len(known) == len(axes) else ():
            if first(one) != first(other):
                same[first(other)] = first(one)
    written = {axis[1] for axes in said.values() for axis in axes}
    left = iter([size for size in SIZES if str(size) not in written])
    sizes: dict[Axis, int] = {}
    for axis in (first(axis) for name in arguments for axis in said.get(name, ())):
        if axis not in sizes:
            sizes[axis] = int(axis[1]) if axis[1].isdigit() else next(left, SIZES[0])
    return {name: tuple(sizes[first(axis)] for axis in said[name]) for name in arguments if name in said}


def _elementwise(tree: ast.AST) -> dict[str, str]:
    """Return the names that are bound to a function of another array of the same shape, and whose that is."""
    found: dict[str, str] = {}
    for one in ast.walk(tree):
        match one:
            case ast.Assign([ast.Name(made)], ast.Call(ast.Attribute(attr=function), [ast.Name(of)])):
                if function in ELEMENTWISE:
                    found[made] = found.get(of, of)
    return found


def _in_docstring(function: Callable[..., Any] | None, arguments: list[str]) -> Iterator[tuple[str, tuple[Axis, ...]]]:
    text = inspect.getdoc(function) or ""
    for name in arguments:
        for found in re.finditer(rf"(?m)^[^\n(\[]*\b{re.escape(name)}\b[^\n(\[]*{WRITTEN}", text):
            words = [word.strip() for word in found[1].split(",") if word.strip()]
            if "," in found[1]:
                yield name, tuple(("docstring", word) for word in words)
                break


def _in_annotations(tree: ast.AST) -> Iterator[tuple[str, tuple[Axis, ...]]]:
    """Yield what annotations such as ``Float[Array, "batch dim"]`` say."""
    for one in ast.walk(tree):
        match one:
            case ast.arg(annotation=ast.Subscript(slice=ast.Tuple(elts=[_, ast.Constant(str(text))]))):
                if re.fullmatch(r"\s*\w+(\s+\w+)*\s*", text):
                    yield one.arg, tuple(("annotation", word) for word in text.split())


def _in_einsums(tree: ast.AST) -> Iterator[tuple[str, tuple[Axis, ...]]]:
    """Yield the letters of each operand of einsum that has a name, and of the name that its result is bound to."""
    bound = {id(below): one for one in ast.walk(tree) if isinstance(one, ast.Assign) for below in ast.walk(one.value)}
    for number, call in enumerate(below for below in ast.walk(tree) if isinstance(below, ast.Call)):
        match call:
            case ast.Call(func=ast.Attribute(attr="einsum"), args=[ast.Constant(str(text)), *operands]):
                given, _, result = text.replace(" ", "").partition("->")
                targets = bound[id(call)].targets if id(call) in bound else []
                named = zip([*given.split(","), result], [*operands, *targets[:1]], strict=False)
                for letters, one in named:
                    if isinstance(one, ast.Name) and letters.isalpha():
                        yield one.id, tuple((f"einsum {number}", letter) for letter in letters)
