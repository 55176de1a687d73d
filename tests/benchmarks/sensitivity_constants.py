"""The named numeric constants of a source file: where they are, where they are read, and the file with one scaled.

A constant is an upper-case name that a module binds to numbers, or to a tuple of them: ``MANY = 100``, ``2.0**-7``. One
that is computed from another, as ``SECOND_SHARE = SHARE / 16``, counts too where it has a number of its own: not
``NODES = DEGREE + 1``.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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


def scaled(source: str, constant: Constant, factor: float) -> ast.Module:
    """Return the syntax tree of a file with a constant of it times a factor."""
    tree = ast.parse(source)
    for statement in tree.body:
        if (found := _bound(statement)) and found[0] == constant.name:
            statement.value = _times(found[1], factor)  # type: ignore[attr-defined]
    return ast.fix_missing_locations(tree)


class Readings:
    """The lines of a package, given by its root, that read names, and the names that its files import from others."""

    def __init__(self, root: Path) -> None:
        self._lines: dict[tuple[str, str], set[Line]] = defaultdict(set)
        self._imported: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
        for path in sorted(root.rglob("*.py")):
            file = str(path.relative_to(root))
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom):
                    for made in node.names:
                        self._imported[_file_of(node.module or ""), made.name].add((file, made.asname or made.name))
                elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                    self._lines[file, node.id].add((file, node.lineno))

    def of(self, constant: Constant) -> set[Line]:
        """Return the lines that read a constant, in its own file and in those that import it by name."""
        here = (constant.file, constant.name)
        return set().union(*(self._lines[place] for place in (here, *self._imported[here])))


def _file_of(module: str) -> str:
    return module.partition(".")[2].replace(".", "/") + ".py"


def _bound(statement: ast.stmt) -> tuple[str, ast.expr] | None:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if name.isupper():
            return name, value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if name.isupper():
            return name, value
    return None


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


def _times(value: ast.expr, factor: float) -> ast.expr:
    """Return an expression times a factor; whole numbers stay whole, and one stays one where it is halved."""
    if isinstance(value, ast.Tuple):
        return ast.Tuple([_times(part, factor) for part in value.elts], ast.Load())
    text = f"(lambda number: number * {factor} if isinstance(number, float) else round(number * {factor} + 0.25))"
    return ast.parse(f"{text}({ast.unparse(value)})", mode="eval").body
