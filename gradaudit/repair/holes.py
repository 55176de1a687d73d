"""The expressions of a function as holes: what each was worth in a call, and what backward answers for other values.

The function is compiled once, every expression of it handed to a hook. The hook notes what passes through, or puts
something else in its place; thousands of replacements cost a call each and no compiling.
"""

from __future__ import annotations

import ast
import copy
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.repair.values import as_numbers, like, reals
from gradaudit.source.written import Written, compiled_for

Array = NDArray[Any]

HOOK = "__gradaudit_hole__"

MOST_OCCURRENCES = 24
"""Times that an expression may be passed in a call, as in a loop, and still be looked at."""

LARGEST = 200
"""Numbers that a hole may hold, over all occurrences, for its responses to be measured one by one."""


@dataclass
class Hole:
    """An expression, its values in the call that was watched, and the variables at hand each time."""

    node: ast.expr
    values: list[Any] = field(default_factory=list)
    scopes: list[Mapping[str, Any]] = field(default_factory=list)

    def numbers(self) -> list[Array] | None:
        """Return its values where all of them are floating numbers, else None."""
        found = [as_numbers(value) for value in self.values]
        pairs = zip(found, self.values, strict=True)
        arrays = [array for array, value in pairs if array is not None and _counts(array, value, self.node)]
        return arrays if len(arrays) == len(found) and found else None


def _counts(array: Array, value: Any, node: ast.expr) -> bool:
    if array.dtype.kind == "b":
        return not isinstance(value, bool)
    return array.dtype.kind in "fc" or (array.ndim == 0 and array.dtype.kind in "iu" and isinstance(node, ast.Constant))


class Watched:
    """A function whose expressions are handed to a hook.

    Args:
        source: the function.

    """

    def __init__(self, source: Written) -> None:
        self.nodes = list(ast.walk(source.node))
        for k, node in enumerate(self.nodes):
            node.hole = k  # type: ignore[attr-defined]  # which a copy of the tree keeps
        self.code: CodeType = compiled_for(source.function, self._marked(source))
        self.holes: dict[int, Hole] = {}
        self._globals = source.function.__globals__
        self._hook: Callable[[int, Any], Any] = self._note
        self._array: Any = None

    def _marked(self, source: Written) -> ast.FunctionDef | ast.Lambda:
        marked: ast.FunctionDef | ast.Lambda = ast.fix_missing_locations(_Marking().mark(copy.deepcopy(source.node)))
        return marked

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Let the code find its hook, within the context."""
        self._globals[HOOK] = lambda k, value: self._hook(k, value)
        try:
            yield
        finally:
            del self._globals[HOOK]

    def watch(self, call: Callable[[], Any]) -> Any:
        """Call something that runs the code, and note what passes."""
        self.holes = {}
        self._hook = self._note
        return call()

    def _note(self, k: int, value: Any) -> Any:
        node = self.nodes[k]
        assert isinstance(node, ast.expr)
        hole = self.holes.setdefault(k, Hole(node))
        if len(hole.values) <= MOST_OCCURRENCES and not isinstance(value, ModuleType) and not callable(value):
            hole.values.append(value.copy() if isinstance(value, np.ndarray) else value)
            hole.scopes.append(dict(sys._getframe(2).f_locals))
            if self._array is None and hasattr(value, "shape"):
                self._array = value
        return value

    def replace(self, k: int, arrays: list[Array], call: Callable[[], Any]) -> Any:
        """Call something that runs the code, with other values in a hole, one for each time that it is passed."""
        models, given = self.holes[k].values, iter(zip(arrays, self.holes[k].values, strict=True))

        def hook(passed: int, value: Any) -> Any:
            if passed != k:
                return value
            array, model = next(given, (None, models[-1]))
            if array is None:
                return value
            return like(self._array if array.ndim and not hasattr(model, "shape") else model, array)

        self._hook = hook
        try:
            return call()
        finally:
            self._hook = self._note


UNMARKED_KEYWORDS = frozenset({"axis", "axes", "dim", "keepdims", "keepdim", "dtype"})
"""Arguments that are never numbers to compute with."""


class _Marking(ast.NodeTransformer):
    """Puts a call of the hook around every expression that may be a number."""

    def mark(self, node: ast.FunctionDef | ast.Lambda) -> ast.FunctionDef | ast.Lambda:
        """Mark the body of a function."""
        if isinstance(node, ast.Lambda):
            node.body = self.visit(node.body)
        else:
            node.body = [self.visit(statement) for statement in node.body]
        return node

    def visit(self, node: ast.AST) -> Any:
        """Return a node with what is below it, and itself, marked."""
        if isinstance(node, OPAQUE):
            return node
        is_value = _is_value(node)
        made = self._marked_below(node)
        if not is_value:
            return made
        hook = ast.Call(ast.Name(HOOK, ast.Load()), [ast.Constant(made.hole), made], [])
        return ast.copy_location(hook, made)

    def _marked_below(self, node: Any) -> Any:
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                node.func.value = self.visit(node.func.value)
            node.args = [self.visit(argument) for argument in node.args]
            for keyword in node.keywords:
                if keyword.arg not in UNMARKED_KEYWORDS:
                    keyword.value = self.visit(keyword.value)
            return node
        if isinstance(node, ast.AnnAssign):
            node.value = self.visit(node.value) if node.value else None
            return node
        return self.generic_visit(node)


OPAQUE = (
    ast.FunctionDef,
    ast.ClassDef,
    ast.Lambda,
    ast.JoinedStr,
    ast.Assert,
    ast.Raise,
    ast.ListComp,
    ast.GeneratorExp,
    ast.SetComp,
    ast.DictComp,
)
"""What is not looked into: it runs in a scope of its own, or computes nothing."""


def _is_value(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (int, float, complex)) and not isinstance(node.value, bool)
    if not isinstance(node, ast.expr) or isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del)):
        return False
    return not isinstance(node, (ast.Starred, ast.Slice, ast.Tuple, ast.List, ast.Dict, ast.Set))


def stacked(arrays: list[Array]) -> NDArray[np.float64]:
    """Return the numbers of several arrays as one vector of reals."""
    return np.concatenate([reals(array) for array in arrays])


def unstacked(vector: NDArray[np.float64], models: list[Array]) -> list[Array]:
    """Return arrays such as the models, of the numbers in a vector of reals."""
    made, start = [], 0
    for model in models:
        n = model.size
        part = vector[start : start + n].reshape(model.shape)
        start += n
        if model.dtype.kind == "c":
            part = part + 1j * vector[start : start + n].reshape(model.shape)
            start += n
        made.append(part)
    return made
