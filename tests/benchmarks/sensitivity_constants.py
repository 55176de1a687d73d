"""The named numeric constants of a package: where they are, where they are read, and how one is changed.

A constant is an upper-case name that a module binds to numbers, or to a tuple of them: ``MANY = 100``, ``2.0**-7``. One
that is computed from another, as ``SECOND_SHARE = SHARE / 16``, counts too where it has a number of its own: not
``NODES = DEGREE + 1``.
"""

from __future__ import annotations

import ast
import math
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

TRIVIAL = (0, 1, 2, 0.5)

Line = tuple[str, int]
"""A file, relative to the package, and a line of it."""


@dataclass(frozen=True)
class Constant:
    """A named numeric constant.

    Attributes:
        file: the file that holds it, relative to the package.
        name: what it is bound to.
        text: its value as it is written.

    """

    file: str
    name: str
    text: str


def constants(root: Path, folders: tuple[str, ...]) -> Iterator[Constant]:
    """Yield the constants of some folders of the package at a root."""
    for path in (path for folder in folders for path in sorted((root / folder).rglob("*.py"))):
        for statement in ast.parse(path.read_text()).body:
            if (found := _bound(statement)) and _is_numeric(found[1]) and _has_a_number_of_its_own(found[1]):
                yield Constant(str(path.relative_to(root)), found[0], ast.unparse(found[1]))


class Readings:
    """The lines of a package, given by its root, that read names, and the names that its files import from others.

    What a module computes from a name as it is imported reads nothing by itself: the lines that read that do. A default
    of a function is read by the lines of the function.
    """

    def __init__(self, root: Path) -> None:
        self._lines: dict[tuple[str, str], set[Line]] = defaultdict(set)
        self._imported: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
        self._made: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
        for path in sorted(root.rglob("*.py")):
            file = str(path.relative_to(root))
            for statement in ast.parse(path.read_text()).body:
                self._note(file, statement)

    def _note(self, file: str, statement: ast.stmt) -> None:
        if isinstance(statement, ast.ImportFrom):
            for made in statement.names:
                self._imported[_file_of(statement.module or ""), made.name].add((file, made.asname or made.name))
        if found := _bound(statement):
            for read in _names_read(statement):
                self._made[file, read.id].add((file, found[0]))
            return
        defaults: set[ast.Name] = set()
        for function in (node for node in ast.walk(statement) if isinstance(node, ast.FunctionDef)):
            within = {
                (file, part.lineno) for line in function.body for part in ast.walk(line) if hasattr(part, "lineno")
            }
            for default in (*function.args.defaults, *filter(None, function.args.kw_defaults)):
                for read in _names_read(default):
                    self._lines[file, read.id] |= within
                    defaults.add(read)
        for read in _names_read(statement):
            self._lines[file, read.id] |= set() if read in defaults else {(file, read.lineno)}

    def of(self, constant: Constant) -> set[Line]:
        """Return the lines that read a constant, or what is computed from it as the package is imported."""
        known: set[tuple[str, str]] = set()
        left = [(constant.file, constant.name)]
        while left:
            if (place := left.pop()) not in known:
                known.add(place)
                left += [*self._made[place], *self._imported[place]]
        return set().union(*(self._lines[place] for place in known))

    def importing(self, file: str, name: str) -> set[tuple[str, str]]:
        """Return the files that import a name from a file, and what each calls it."""
        return self._imported[file, name]


def change(root: Path, readings: Readings, constant: Constant, factor: float) -> None:
    """Multiply a constant wherever its package holds it: in its module, in what is computed from it, in importers.

    Functions whose arguments have it for their default get another default.
    """
    values = vars(sys.modules[_module_of(constant.file)])
    before = values[constant.name]
    values[constant.name] = times(before, factor)
    _follow(root, readings, constant.file, constant.name, before)


def _follow(root: Path, readings: Readings, file: str, name: str, before: Any) -> None:
    """Bring everything up to date that was made of what a name of a file was before."""
    values = vars(sys.modules[_module_of(file)])
    for function in _functions(sys.modules[_module_of(file)]):
        if any(default is before for default in function.__defaults__ or ()):
            defaults = function.__defaults__ or ()
            function.__defaults__ = tuple(values[name] if default is before else default for default in defaults)
    for statement in ast.parse((root / file).read_text()).body:
        found = _bound(statement)
        if found and found[0] != name and any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(found[1])):
            was = values[found[0]]
            exec(compile(ast.Module([statement], []), file, "exec"), values)
            _follow(root, readings, file, found[0], was)
    for other, alias in readings.importing(file, name):
        if (module := sys.modules.get(_module_of(other))) and vars(module).get(alias) is before:
            vars(module)[alias] = values[name]
            _follow(root, readings, other, alias, before)


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    """Yield the functions of a module, and those of its classes."""
    for value in list(vars(module).values()):
        if isinstance(value, FunctionType):
            yield value
        elif isinstance(value, type) and value.__module__ == module.__name__:
            yield from (part for part in vars(value).values() if isinstance(part, FunctionType))


def times(value: Any, factor: float) -> Any:
    """Return a number, or each in a tuple, times a factor; whole numbers stay whole, and a half is rounded up."""
    if isinstance(value, tuple):
        return tuple(times(part, factor) for part in value)
    return math.floor(value * factor + 0.5) if isinstance(value, int) else value * factor


def _module_of(file: str) -> str:
    return "gradaudit." + file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def names_bound(statement: ast.stmt) -> str | None:
    """Return the upper-case name that a statement binds; None for none."""
    found = _bound(statement)
    return found[0] if found else None


def _file_of(module: str) -> str:
    return module.partition(".")[2].replace(".", "/") + ".py"


def _bound(statement: ast.stmt) -> tuple[str, ast.expr] | None:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if name.isupper():
            return name, value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if name.isupper():
            return name, value
    return None


def _names_read(node: ast.AST) -> Iterator[ast.Name]:
    return (part for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load))


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _has_a_number_of_its_own(value: ast.expr) -> bool:
    parts = list(ast.walk(value))
    numbers = [part.value for part in parts if isinstance(part, ast.Constant) and _is_number(part)]
    alone = not any(isinstance(part, ast.Name | ast.Tuple) for part in parts)
    return bool(numbers) and (alone or any(number not in TRIVIAL for number in numbers))


def _is_numeric(node: ast.AST) -> bool:
    """Whether an expression is made of numbers, names and arithmetic, in tuples or not."""
    match node:
        case ast.Name() | ast.Attribute(value=ast.Name(id="math")):
            return True
        case ast.Tuple(elts=parts):
            return all(map(_is_numeric, parts))
        case ast.UnaryOp(operand=operand):
            return _is_numeric(operand)
        case ast.BinOp(left=left, right=right):
            return _is_numeric(left) and _is_numeric(right)
    return _is_number(node)
