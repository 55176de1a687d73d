"""The functions that an op is implemented by: those of its target, and what they call in the same source tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradaudit.coverage.fingerprint import functions_of
from gradaudit.source.modules import Module
from gradaudit.source.reach import Reach, chains, reach_finder
from gradaudit.spec.case import Case
from gradaudit.spec.level import Level, level_of


@dataclass(frozen=True)
class Function:
    """A function: its name, dotted below classes, its file, and its lines; the first of ``body`` is not its ``def``."""

    name: str
    file: Path
    line: int
    body: range


def implementations(cases: Sequence[Case], folders: Sequence[Path]) -> Mapping[str, tuple[Function, ...]]:
    """Return the functions that each op is implemented by, by the op; none where there is no source of them.

    A model has none: what it calls are ops with cases of their own, and the rest of what it reaches is its framework.

    Args:
        cases: the cases of all ops.
        folders: where the project's modules are, besides the folder of each spec.

    """
    find = reach_finder(folders)
    found = {}
    for case in {case.op: case for case in cases}.values():
        functions = functions_of(case.target) if level_of(case.target) is Level.UNIT else ()
        found[case.op] = tuple(_called(functions, find(functions, case.target.folder)))
    return found


def _called(functions: Sequence[str], reach: Reach) -> Iterator[Function]:
    located = [found for found in map(reach.modules.locate, functions) if found is not None and found.module.own]
    waiting = [(found.module, found.name) for found in located]
    seen: set[tuple[Path, str]] = set()
    while waiting:
        module, name = waiting.pop()
        if (module.file, name) not in seen:
            seen.add((module.file, name))
            for function, node in _functions(module, name):
                yield Function(function, module.file, node.lineno, _body(node))
            bodies = [part for node in module.definitions[name.partition(".")[0]] for part in _running(node, name)]
            waiting += [found for part in bodies for chain in chains(part) for found in reach.behind(module, chain)]


def _functions(module: Module, name: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield the functions that a name stands for: itself, or the methods of a class, or one of them."""
    top, _, method = name.partition(".")
    for node in module.definitions[top]:
        if isinstance(node, ast.FunctionDef):
            yield top, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{top}.{part.name}", part) for part in _methods(node, method))


def _running(node: ast.AST, name: str) -> Iterator[ast.AST]:
    """Yield what runs when a name is called: bodies, but no decorators, defaults and annotations, which ran before."""
    if isinstance(node, ast.ClassDef):
        for part in _methods(node, name.partition(".")[2]):
            yield from part.body
    elif isinstance(node, ast.FunctionDef):
        yield from node.body
    else:
        yield node


def _methods(node: ast.ClassDef, name: str) -> list[ast.FunctionDef]:
    """Return the methods of a class that one stands for: all for none and for ``apply``, which torch brings."""
    methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
    named = [part for part in methods if part.name == name]
    return methods if name in ("", "apply") and not named else named


def _body(node: ast.FunctionDef) -> range:
    last = node.body[-1].end_lineno
    assert last is not None
    return range(node.body[0].lineno, last + 1)
