"""Hashes of what a result is about: the source of an op's implementation, and the spec of a case.

The hash of a function is that of its syntax tree and of everything it reaches in the project: what it calls, the
constants it uses, wherever they were imported from. Comments, docstrings and layout do not count, nor does what else
stands in the same file.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gradaudit.coverage.modules import Imported, Module, Modules
from gradaudit.spec.case import Case, Target
from gradaudit.store.records import Provenance

DIGITS = 16
"""Hexadecimal digits of a hash: 64 bits, for which two alike by chance are not a concern."""

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def functions_of(target: Target) -> tuple[str, ...]:
    """Return every ``module:function`` that a target names, of whatever kind it is."""

    def names(value: Any) -> Iterator[str]:
        if isinstance(value, str) and _FUNCTION.fullmatch(value):
            yield value
        elif isinstance(value, dict):
            for item in value.values():
                yield from names(item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                yield from names(item)

    return tuple(dict.fromkeys(names(asdict(target))))


def hash_case(case: Case) -> str:
    """Return the hash of all that a case says, save its notes and where it stands."""
    said = asdict(case)
    for aside in ("notes", "location"):
        del said[aside]
    del said["target"]["folder"]
    return _hashed(json.dumps(said, sort_keys=True, default=str))


def provenances(cases: Sequence[Case], folder: Path) -> dict[str, Provenance]:
    """Return what the results of each case are about, by the case's id, for cases that are audited from a folder."""
    hash_source = source_hasher(folder)
    return {case.id: Provenance(hash_source(case), hash_case(case), case.seed) for case in cases}


def source_hasher(folder: Path) -> Callable[[Case], str]:
    """Return a function that hashes the implementation of a case's op, for cases that are audited from a folder.

    It returns an empty text where the source of none of the op's functions is found.
    """

    @cache
    def reach(*folders: Path) -> _Reach:
        return _Reach(Modules(folders))

    @cache
    def of_target(functions: tuple[str, ...], spec_folder: Path) -> str:
        reached: set[tuple[str, str, str]] = set()
        for function in functions:
            reached |= reach(folder).everything(function) or reach(folder, spec_folder).everything(function)
        return _hashed(json.dumps(sorted(reached))) if reached else ""

    return lambda case: of_target(functions_of(case.target), case.target.folder)


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


@dataclass(frozen=True)
class _Part:
    """A definition: its hash, and what it mentions as chains of names (``a.b.c``)."""

    digest: str
    mentions: frozenset[str]


class _Reach:
    """What definitions reach in the project's own modules."""

    def __init__(self, modules: Modules) -> None:
        self._modules = modules
        self._parts: dict[tuple[str, str], _Part] = {}

    def everything(self, function: str) -> set[tuple[str, str, str]]:
        """Return module, name and hash of each definition that a function reaches, itself included."""
        found = self._modules.locate(function)
        if found is None:
            return set()
        waiting = [(found.module, found.name.partition(".")[0])]
        reached: dict[tuple[str, str], str] = {}
        while waiting:
            module, name = waiting.pop()
            if (module.name, name) in reached:
                continue
            part = self._part(module, name)
            reached[module.name, name] = part.digest
            waiting += [entry for chain in part.mentions for entry in self._behind(module, chain)]
        return {(module, name, digest) for (module, name), digest in reached.items()}

    def _part(self, module: Module, name: str) -> _Part:
        key = (module.name, name)
        if key not in self._parts:
            nodes = module.definitions[name]
            text = json.dumps([plain(node) for node in nodes])
            self._parts[key] = _Part(_hashed(text), frozenset(chain for node in nodes for chain in _chains(node)))
        return self._parts[key]

    def _behind(self, module: Module, chain: str) -> list[tuple[Module, str]]:
        """Return the definition in the project that a chain of names leads to, if it leads to one."""
        first, _, rest = chain.partition(".")
        if first in module.definitions:
            return [(module, first)]
        source = module.imports.get(first)
        if source is None or not self._is_own(source):
            found = self._modules.locate(f"{module.name}:{first}") if source is None and module.stars else None
        elif source.name or rest:
            found = self._modules.locate(f"{module.name}:{chain}")
        else:
            found = None
        if found is None or not found.module.own:
            return []
        return [(found.module, found.name.partition(".")[0])]

    def _is_own(self, source: Imported) -> bool:
        top = self._modules.find(source.module) or self._modules.find(source.module.partition(".")[0])
        return top is not None and top.own


def plain(node: Any) -> Any:
    """Return a syntax tree as lists of plain values, the same for every version of Python that can parse it.

    Places, docstrings and fields that hold nothing are left out.
    """
    if isinstance(node, ast.AST):
        documented = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and ast.get_docstring(node)
        fields = [
            [name, plain(value[1:] if documented and name == "body" else value)]
            for name, value in ast.iter_fields(node)
            if value not in (None, []) and name not in ("ctx", "kind")
        ]
        return [type(node).__name__, *fields]
    if isinstance(node, list):
        return [plain(item) for item in node]
    return node if isinstance(node, (str, bool)) else repr(node)


def _chains(node: ast.AST) -> Iterator[str]:
    """Yield the names that a tree mentions, each with the attributes that follow it."""
    for below in ast.walk(node):
        if isinstance(below, ast.Name):
            yield below.id
        elif isinstance(below, ast.Attribute):
            parts: list[str] = []
            inner: ast.expr = below
            while isinstance(inner, ast.Attribute):
                parts.append(inner.attr)
                inner = inner.value
            if isinstance(inner, ast.Name):
                yield ".".join([inner.id, *reversed(parts)])
