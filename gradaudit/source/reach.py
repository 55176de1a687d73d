"""What a function reaches: the definitions in the project that it mentions, and those that they mention."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gradaudit.source.modules import Imported, Module, Modules

DIGITS = 16
"""Hexadecimal digits of a hash: 64 bits, for which two alike by chance are not a concern."""


@dataclass(frozen=True)
class Part:
    """A definition: its hash, and what it mentions as chains of names (``a.b.c``)."""

    digest: str
    mentions: frozenset[str]


class Reach:
    """What definitions reach in the project's own modules.

    Args:
        modules: where definitions are looked up.

    """

    def __init__(self, modules: Modules) -> None:
        self.modules = modules
        self._parts: dict[tuple[str, str], Part] = {}
        self._behind: dict[tuple[str, str], list[tuple[Module, str]]] = {}

    def everything(self, function: str) -> set[tuple[str, str, str]]:
        """Return module, name and hash of each definition that a function reaches, itself included."""
        found = self.modules.locate(function)
        if found is None:
            return set()
        waiting = [(found.module, found.name.partition(".")[0])]
        reached: dict[tuple[str, str], str] = {}
        while waiting:
            module, name = waiting.pop()
            if (module.name, name) in reached:
                continue
            part = self.part(module, name)
            reached[module.name, name] = part.digest
            waiting += [entry for chain in part.mentions for entry in self.behind(module, chain)]
        return {(module, name, digest) for (module, name), digest in reached.items()}

    def part(self, module: Module, name: str) -> Part:
        """Return what is known of a definition of a module."""
        key = (module.name, name)
        if key not in self._parts:
            nodes = module.definitions[name]
            try:
                text = json.dumps([plain(node) for node in nodes])
            except RecursionError:  # thousands of nested brackets: its layout counts then
                text = module.file.read_text(errors="replace")
            self._parts[key] = Part(hashed(text), frozenset(chain for node in nodes for chain in chains(node)))
        return self._parts[key]

    def behind(self, module: Module, chain: str) -> list[tuple[Module, str]]:
        """Return the definition in the project that a chain of names leads to, if it leads to one."""
        key = (module.name, chain)
        if key not in self._behind:
            self._behind[key] = self._followed(module, chain)
        return self._behind[key]

    def _followed(self, module: Module, chain: str) -> list[tuple[Module, str]]:
        first, _, rest = chain.partition(".")
        if first in module.definitions:
            return [(module, first)]
        source = module.imports.get(first)
        if source is None or not self._is_own(source):
            found = self.modules.locate(f"{module.name}:{first}") if source is None and module.stars else None
        elif source.name or rest:
            found = self.modules.locate(f"{module.name}:{chain}")
        else:
            found = None
        if found is None:
            return self._made_when_asked_for(source, rest) if source and rest and self._is_own(source) else []
        return [(found.module, found.name.partition(".")[0])] if found.module.own else []

    def _made_when_asked_for(self, source: Imported, rest: str) -> list[tuple[Module, str]]:
        """Return what stands behind a name that a module's ``__getattr__`` makes of the modules of packages.

        Those are the packages whose ``__path__`` it looks into; from an op's name it may make its backward as well.
        """
        module = self.modules.find(f"{source.module}.{source.name}" if source.name else source.module)
        if module is None or "__getattr__" not in module.definitions:
            return []
        name = rest.partition(".")[0]
        mentions = {chain for defined in module.definitions for chain in self.part(module, defined).mentions}
        packages = [chain.removesuffix(".__path__") for chain in mentions if chain.endswith(".__path__")]
        inside = [inner for package in packages for inner in self._inside(package)]
        made = [(inner, own) for inner in inside for own in (name, f"{name}_backward") if own in inner.definitions]
        return [(module, "__getattr__"), *made]

    def _inside(self, package: str) -> Iterator[Module]:
        holder = self.modules.find(package)
        for file in sorted(holder.file.parent.glob("*.py")) if holder else ():
            if (found := self.modules.find(f"{package}.{file.stem}")) is not None:
                yield found

    def _is_own(self, source: Imported) -> bool:
        return self.modules.is_own(source.module) or self.modules.is_own(source.module.partition(".")[0])


ReachFinder = Callable[[Sequence[str], Path], Reach]
"""Where to look up the functions of a target, given the folder of its spec."""


def reach_finder(folders: Sequence[Path]) -> ReachFinder:
    """Return what finds where to look functions up: in these folders, or where that fails in their spec's as well.

    Every file is read once for all specs that do without a folder of their own.
    """

    @cache
    def reach(*places: Path) -> Reach:
        return Reach(Modules(places))

    def find(functions: Sequence[str], spec_folder: Path) -> Reach:
        everywhere = reach(*folders)
        if all(everywhere.modules.locate(function) for function in functions):
            return everywhere
        return reach(*folders, spec_folder)

    return find


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


def chains(node: ast.AST) -> Iterator[str]:
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


def hashed(text: str) -> str:
    """Return the hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
