"""Params that may stand in the place of a case's: those of the spec's other cases, and values at which code turns.

A param that no case names counts where forward and backward both have a default for it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gradaudit.depth.implementation import Function
from gradaudit.source.modules import read_tree
from gradaudit.spec.case import Case
from gradaudit.spec.op_targets import PythonTarget

ABSENT: Any = object()
"""Stands for a param that is not given."""

AXES = ("axis", "dim", "axes", "dims")
"""What params are called that count axes: of a whole number from the last to the first."""

SHARES = ("p", "rate", "ratio", "prob", "drop", "dropout", "momentum", "smoothing")
"""What params, or the ends of their names, are called that lie between 0 and 1."""

MOST_AXES = 3


def choices(cases: Sequence[Case], functions: Sequence[Function]) -> Mapping[str, tuple[Any, ...]]:
    """Return the values that may be drawn for each param of the cases, beside its own."""
    known: dict[str, list[Any]] = {name: [] for case in cases for name in case.params}
    for name, found in known.items():
        found += [case.params.get(name, ABSENT) for case in cases]
    for name, default in _defaults(cases[0], functions):
        known.setdefault(name, [ABSENT, default])
    return {name: _distinct([*found, *_around(name, found)]) for name, found in known.items()}


def _around(name: str, found: Sequence[Any]) -> Iterator[Any]:
    """Yield more values of the kind of those that are known."""
    for value in list(found):
        if isinstance(value, bool):
            yield not value
        elif isinstance(value, int) and name in AXES:
            yield from (-1, *range(MOST_AXES))
        elif isinstance(value, int) and value > 0:
            yield from (1, 2, 3, value + 1)
        elif isinstance(value, int) and value == 0:
            yield from (1, 2)
        elif isinstance(value, float):
            yield from _numbers(name, value)


def _numbers(name: str, value: float) -> tuple[float, ...]:
    if "eps" in name:
        return (1e-3, 1.0)
    if name.rpartition("_")[2] in SHARES:
        return (0.0, 0.5)
    return (2 * value, value / 2)


def _distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    """Return values without those that were there before; true is not 1."""
    return tuple({(type(value), str(value)): value for value in values}.values())


def _defaults(case: Case, functions: Sequence[Function]) -> Iterator[tuple[str, Any]]:
    """Yield the params that the Python functions of a target both have a plain default for."""
    if not isinstance(case.target, PythonTarget):
        return
    names = [call.partition(":")[2] for call in (case.target.forward, case.target.backward.call)]
    written = [_defaults_of(function) for name in names for function in functions if function.name == name]
    if len(written) == len(names):
        own = {made.name for made in case.inputs}
        yield from ((name, value) for name, value in written[0].items() if name in written[1] and name not in own)


def _defaults_of(function: Function) -> dict[str, Any]:
    tree = read_tree(function.file)
    nodes = [] if isinstance(tree, str) else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.FunctionDef) and node.lineno == function.line:
            own = [*node.args.posonlyargs, *node.args.args]
            defaults = [*node.args.defaults, *node.args.kw_defaults]
            given = zip([*own[len(own) - len(node.args.defaults) :], *node.args.kwonlyargs], defaults, strict=True)
            return {arg.arg: value for arg, text in given if (value := _plain(text)) is not None}
    return {}


def _plain(node: ast.expr | None) -> Any:
    """Return the number or truth value that a default is, None for any other."""
    try:
        value = ast.literal_eval(node) if node is not None else None
    except ValueError:
        return None
    return value if isinstance(value, (bool, int, float)) else None
