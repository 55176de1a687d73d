"""What edits of a function may draw on."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gradaudit.source.text import ATOMS, SourceText
from gradaudit.source.written import Written

SHAPED = re.compile(r"\b(\w+)(?=\.shape\b)")
"""A variable that a call takes the shape of."""


def for_other_shapes(templates: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return calls, and those that take the shape of one variable for each other variable as well."""
    made = dict.fromkeys(templates)
    for template in templates:
        if len(set(SHAPED.findall(template))) == 1:
            made |= dict.fromkeys(SHAPED.sub(name, template) for name in names)
    return list(made)


@dataclass(frozen=True)
class Surroundings:
    """What edits of a function may draw on.

    Attributes:
        text: the file.
        names: variables and arguments of the function.
        templates: calls of the module, ``{}`` in the place of what they are applied to.
        numbers: the places of the expressions that are numbers or arrays of them.
        counts: the places of the expressions that are whole numbers.
        ndims: how many axes each expression has where it is an array, by its place.
        prefix: the name of the library of arrays.
        constants: numbers that the function and its forward mention, and their negatives.
        places: what stands between the brackets of their subscripts.
        expressions: short ones of theirs, such that an operator may stand beside them.

    """

    text: SourceText
    names: Sequence[str]
    templates: Sequence[str]
    numbers: frozenset[tuple[int, int]]
    counts: frozenset[tuple[int, int]]
    ndims: Mapping[tuple[int, int], int]
    prefix: str
    constants: Sequence[float] = ()
    places: Sequence[str] = ()
    expressions: Sequence[str] = ()

    @property
    def is_torch(self) -> bool:
        """Whether axes are called ``dim``."""
        return self.prefix == "torch"


def plain_surroundings(source: Written) -> Surroundings:
    """Return what edits of a function may draw on where it was not watched: its variables."""
    taken = source.node.args
    given = [argument.arg for argument in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs)]
    stored = [node.id for node in ast.walk(source.node) if isinstance(node, ast.Name) and not is_loaded(node)]
    names = list(dict.fromkeys([*given, *stored]))
    return Surroundings(source.text, names, (), frozenset(), frozenset(), {}, "")


def is_loaded(node: ast.AST) -> bool:
    """Whether a part of the tree is read, not assigned to."""
    return not isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del))


def templates_of(functions: Sequence[ast.AST], text: Callable[[ast.expr], str]) -> list[str]:
    """Return the calls in some functions, ``{}`` in the place of what each is applied to, each once."""
    found: dict[str, None] = {}
    for node in (below for function in functions for below in ast.walk(function)):
        parts: list[ast.expr] = []
        if isinstance(node, ast.Call):
            parts = [*node.args[:1], *([node.func.value] if isinstance(node.func, ast.Attribute) else [])]
        elif isinstance(node, ast.Subscript) and is_loaded(node):
            parts = [node.value]
        for part in parts:
            whole, inner = text(node), text(part)  # type: ignore[arg-type]
            if not isinstance(part, ast.Starred) and len(whole) <= MOST_OF_TEMPLATE:
                found[whole.replace(inner, "{}", 1)] = None
                if isinstance(part, ast.Name) and whole.count(inner) > 1:
                    found[re.sub(rf"\b{inner}\b", "{}", whole)] = None
    return list(found)[:MOST_TEMPLATES]


def places_of(functions: Sequence[ast.AST]) -> list[str]:
    """Return what stands between the brackets of the subscripts in some functions, each once.

    Those with variables of another function are there as well with what these variables are.
    """
    found: dict[str, None] = {}
    for function in functions:
        inlined = _Inlined(function)
        for place in (below.slice for below in ast.walk(function) if isinstance(below, ast.Subscript)):
            found |= dict.fromkeys((_bare(place), _bare(inlined.visit(copy.deepcopy(place)))))
    return list(found)[:MOST_TEMPLATES]


def _bare(place: ast.expr) -> str:
    text = ast.unparse(place)
    return text[1:-1] if isinstance(place, ast.Tuple) and text.startswith("(") else text


class _Inlined(ast.NodeTransformer):
    """Puts what variables are that a function assigns once in the place of their names."""

    def __init__(self, function: ast.AST) -> None:
        stored = [each.id for each in ast.walk(function) if isinstance(each, ast.Name) and not is_loaded(each)]
        self._values = {
            target.id: node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            for target in node.targets[:1]
            if isinstance(target, ast.Name) and stored.count(target.id) == 1
        }

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Return what a variable is."""
        return self._values.get(node.id, node)


MOST_OF_TEMPLATE = 100
"""Characters of a call that is taken over."""

MOST_TEMPLATES = 60
"""Calls that are taken over."""


def constants_of(nodes: Sequence[ast.AST]) -> list[float]:
    """Return the floating numbers that some functions mention, and their negatives, each once."""
    found = [each.value for node in nodes for each in ast.walk(node) if isinstance(each, ast.Constant)]
    values = [value for value in found if isinstance(value, float)]
    return list(dict.fromkeys([*values, *(-value for value in values)]))[:MOST_CONSTANTS]


def short(expressions: Sequence[str]) -> list[str]:
    """Return the expressions that an operator may stand beside, the shortest first."""
    atoms = [each for each in expressions if isinstance(ast.parse(each, mode="eval").body, ATOMS)]
    return sorted(atoms, key=len)[:MOST_SHORT]


MOST_SHORT = 12
"""Expressions that others are multiplied with."""

MOST_CONSTANTS = 16
"""Numbers that are tried in each other's places."""
