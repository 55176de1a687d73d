"""Backwards with a term missing, made from the source of the right ones.

Every ``a + b`` and ``a - b`` in a backward, and in the functions of its module that it calls, is replaced by ``a`` and
by ``b``; every ``a += b`` by ``a = b`` and by nothing. One at a time.
"""

from __future__ import annotations
import __future__

import ast
import copy
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

Function = Callable[..., Any]
Term = ast.BinOp | ast.AugAssign
Definitions = Mapping[str, ast.FunctionDef]


@dataclass(frozen=True)
class Mutant:
    """A backward with one term missing, and what was done to it."""

    change: str
    backward: Function


def has_terms(backward: Function) -> bool:
    """Whether there is any term to drop."""
    return any(_terms(definition) for definition in _reachable(backward).values())


def mutants(backward: Function) -> Iterator[Mutant]:
    """Yield the backward with each of its terms dropped in turn."""
    definitions = _reachable(backward)
    for name, definition in definitions.items():
        for position, term in enumerate(_terms(definition)):
            for keep in ("left", "right"):
                dropper = _TermDropper(position, keep)
                changed = dropper.visit(copy.deepcopy(definition))
                where = f"{name}, line {term.lineno}: {ast.unparse(term)}  ->  keeps the {keep}"
                yield Mutant(where, _compiled(backward, {**definitions, name: changed}))


def _terms(definition: ast.FunctionDef) -> list[Term]:
    return [node for part in definition.body for node in ast.walk(part) if _is_term(node)]


def _is_term(node: ast.AST) -> bool:
    return isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, (ast.Add, ast.Sub))


class _TermDropper(ast.NodeTransformer):
    """Replaces the term at a position, counted as ``_terms`` does."""

    def __init__(self, position: int, keep: str) -> None:
        self.position = position
        self.keep = keep

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.term = _terms(node)[self.position]
        node.body = [self.visit(part) for part in node.body]
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        if node is self.term:
            return node.left if self.keep == "left" else node.right
        return self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        if node is self.term:
            return ast.Pass() if self.keep == "left" else ast.Assign([node.target], node.value)
        return self.generic_visit(node)


def _reachable(backward: Function) -> Definitions:
    """Return the definitions of a function and of those of its module that it calls, directly or not."""
    known = _definitions(backward.__module__)
    found: dict[str, ast.FunctionDef] = {}
    waiting = [backward.__name__]
    while waiting:
        name = waiting.pop()
        if name in known and name not in found:
            found[name] = known[name]
            waiting += [node.id for node in ast.walk(known[name]) if isinstance(node, ast.Name)]
    return found


@cache
def _definitions(module: str) -> Definitions:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _compiled(backward: Function, definitions: Definitions) -> Function:
    """Define the functions anew beside everything else that their module holds; the module keeps its own."""
    module = sys.modules[backward.__module__]
    tree = ast.fix_missing_locations(ast.Module(list(definitions.values()), type_ignores=[]))
    flags = __future__.annotations.compiler_flag
    namespace = dict(vars(module))
    exec(compile(tree, str(module.__file__), "exec", flags, dont_inherit=True), namespace)
    return namespace[backward.__name__]  # type: ignore[no-any-return]
