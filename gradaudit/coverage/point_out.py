"""Which backward pass is meant by ``module:function`` or ``file:line``."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from pathlib import Path

from gradaudit.coverage.discover import discover
from gradaudit.coverage.passes import BackwardPass
from gradaudit.coverage.pattern_passes import Pattern
from gradaudit.source.modules import Modules
from gradaudit.spec.errors import nearest


class NoSuchPassError(Exception):
    """There is no backward pass where one was pointed at; says what there is."""


def pointed_out(
    target: str, folders: Sequence[Path], patterns: Sequence[Pattern], base: Path
) -> tuple[BackwardPass, Path]:
    """Return the backward pass that is meant, and its file.

    Args:
        target: ``module:name`` of a backward pass or of its forward, or ``file:line`` of a line of either.
        folders: where modules are looked for.
        patterns: what to search files with that are not Python.
        base: the folder that files are told from.

    Raises:
        NoSuchPassError: where there is none.

    """
    first, _, last = target.rpartition(":")
    if not first:
        raise NoSuchPassError(f"'{target}' is neither module:function nor file:line")
    if last.isdigit():
        file = next((path for path in (Path(first), base / first) if path.is_file()), None)
        if file is None:
            raise NoSuchPassError(f"there is no file '{first}'")
        within = _definition_at(file, int(last))
        return _in_file(
            file, patterns, base, lambda one: one.line == int(last) or _is_of(one, within), f"line {last}", last
        )
    located = Modules(folders).locate(target)
    if located is None:
        raise NoSuchPassError(_not_located(first, last, folders))
    name = located.name
    return _in_file(
        located.module.file,
        patterns,
        base,
        lambda one: _is_of(one, name),
        f"name '{name}'",
        name,
    )


def _is_of(one: BackwardPass, name: str) -> bool:
    """Whether a name is that of a backward pass, of its forward, or of a part of it."""
    return name in (one.name, one.op) or name.startswith(f"{one.name}.")


def _definition_at(file: Path, line: int) -> str:
    """Return the dotted name of the innermost definition of a Python file that a line belongs to, if any."""
    if file.suffix != ".py":
        return ""
    try:
        nodes: list[ast.stmt] = ast.parse(file.read_text(encoding="utf-8", errors="replace")).body
    except SyntaxError:  # which searching the file tells of
        return ""
    names: list[str] = []
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    while found := [n for n in nodes if isinstance(n, kinds) and n.lineno <= line <= (n.end_lineno or n.lineno)]:
        names.append(found[0].name)
        nodes = found[0].body
    return ".".join(names)


def _in_file(
    file: Path, patterns: Sequence[Pattern], base: Path, fits: Callable[[BackwardPass], bool], said: str, word: str
) -> tuple[BackwardPass, Path]:
    found = discover([file], patterns, base=base)
    if found.troubles:
        raise NoSuchPassError(str(found.troubles[0]))
    for one in found.passes:
        if fits(one):
            return one, file
    known = [f"{one.name} in line {one.line}" for one in found.passes]
    hint = nearest(word, [one.name for one in found.passes])
    there = f"; there are {', '.join(known)}" if known else "; there is none in the file"
    raise NoSuchPassError(f"{file} has no backward pass of {said}{hint or there}")


def _not_located(module: str, name: str, folders: Sequence[Path]) -> str:
    found = Modules(folders).find(module)
    if found is None:
        return f"there is no source of a module '{module}'"
    return f"module '{module}' has no '{name}'{nearest(name, found.definitions)}"
