"""The faults that are planted: what people get wrong when they write a backward by hand.

Each kind is a function from a part of the syntax tree to the edits that plant it there. Comparisons are turned round,
not moved by their boundary (``<`` to ``<=``): that changes a gradient at a kink only, where any value between the
one-sided derivatives is right.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator, Mapping

from gradaudit.source.text import Edit, SourceText

Planter = Callable[[ast.AST, SourceText], Iterator[Edit]]

OTHER_OPERATOR: Mapping[type[ast.AST], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "//"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.Lt: ("<", ">"),
    ast.Gt: (">", "<"),
    ast.LtE: ("<=", ">="),
    ast.GtE: (">=", "<="),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
}
"""Operators, and what each is mistaken for; one of the same precedence, so that nothing else changes."""

OTHER_FUNCTION: Mapping[str, str] = {
    "maximum": "minimum",
    "minimum": "maximum",
    "max": "min",
    "min": "max",
    "argmax": "argmin",
    "argmin": "argmax",
    "sum": "mean",
    "mean": "sum",
    "sin": "cos",
    "cos": "sin",
    "floor": "ceil",
    "ceil": "floor",
    "zeros_like": "ones_like",
    "ones_like": "zeros_like",
}
"""Functions and methods, and what each is mistaken for."""

REDUCTIONS = frozenset({"sum", "mean", "prod", "max", "min", "std", "var", "trace", "nansum", "amax", "amin"})
"""Functions and methods that take axes away."""

MOVERS = frozenset({"transpose", "swapaxes", "moveaxis", "rollaxis", "flip", "fliplr", "flipud", "rot90", "roll"})
"""Functions and methods that put elements elsewhere."""

ORDERED = (ast.Sub, ast.Div, ast.Pow, ast.MatMult, ast.FloorDiv, ast.Mod)
"""Operators whose operands are not interchangeable."""

SCALE = 1.1
"""What a floating constant is multiplied by: a wrong digit, as one writes by mistake, not another magnitude."""


def sign(node: ast.AST, text: SourceText) -> Iterator[Edit]:
    """A minus left out, or a returned gradient with the wrong sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield text.left_over(node, node.operand)
    if isinstance(node, ast.Return) and node.value is not None:
        for part in node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]:
            if not isinstance(part, (ast.Constant, ast.Starred)):
                yield text.replaced(part, f"-{text.operand(part)}")


def operator(node: ast.AST, text: SourceText) -> Iterator[Edit]:
    """One operator, or one function, for another."""
    match node:
        case ast.BinOp(left, ast.Pow(), right):
            yield text.expression(node, f"{text.operand(left)} * {text.operand(right)}")
        case ast.BinOp(left, op, right) | ast.Compare(left, [op], [right]) if type(op) in OTHER_OPERATOR:
            yield from _other_sign(text.between(left, right), *OTHER_OPERATOR[type(op)], text)
        case ast.AugAssign(target, op, value) if type(op) in OTHER_OPERATOR:
            was, instead = OTHER_OPERATOR[type(op)]
            yield from _other_sign(text.between(target, value), f"{was}=", f"{instead}=", text)
        case ast.BoolOp(op, [left, right]):
            words = ("and", "or") if isinstance(op, ast.And) else ("or", "and")
            yield from _other_sign(text.between(left, right), *words, text)
        case ast.UnaryOp(ast.Not(), operand):
            yield text.left_over(node, operand)
        case ast.Call(ast.Attribute(owner, name) as function) if name in OTHER_FUNCTION:
            yield text.replaced(function, f"{text.operand(owner)}.{OTHER_FUNCTION[name]}")


def _other_sign(place: tuple[int, int], was: str, instead: str, text: SourceText) -> Iterator[Edit]:
    between = text.slice(*place)
    if "#" not in between and between.count(was) == 1:
        yield Edit(*place, between.replace(was, instead))


def constant(node: ast.AST, text: SourceText) -> Iterator[Edit]:
    """Another number, or the other truth value."""
    match node:
        case ast.Constant(bool(value)):
            yield text.replaced(node, repr(not value))
        case ast.Constant(int(value)):
            yield text.replaced(node, repr(value + 1))
        case ast.Constant(float(value)):
            yield text.replaced(node, repr(value * SCALE if value else 1.0))


def dropped_term(node: ast.AST, text: SourceText) -> Iterator[Edit]:
    """``a + b`` without ``a`` or without ``b``, ``a += b`` without either."""
    match node:
        case ast.BinOp(left, ast.Add() | ast.Sub() as op, right):
            yield text.left_over(node, left)
            minus = "-" if isinstance(op, ast.Sub) else ""
            yield text.replaced(node, minus + text.operand(right))
        case ast.AugAssign(target, ast.Add() | ast.Sub() as op, value):
            yield text.replaced(node, "pass")
            minus = "-" if isinstance(op, ast.Sub) else ""
            yield text.replaced(node, f"{text.of(target)} = {minus}{text.operand(value)}")


def dropped_factor(node: ast.AST, text: SourceText) -> Iterator[Edit]:
    """``a * b`` without ``a`` or without ``b``, ``a / b`` without ``b``, ``a ** b`` as ``a``."""
    match node:
        case ast.BinOp(left, ast.Mult(), right):
            yield text.left_over(node, left)
            yield text.left_over(node, right)
        case ast.BinOp(left, ast.Div() | ast.Pow()):
            yield text.left_over(node, left)
        case ast.AugAssign(op=ast.Mult() | ast.Div()):
            yield text.replaced(node, "pass")


def swapped_operands(node: ast.AST, text: SourceText) -> Iterator[Edit]:
    """``b - a`` for ``a - b``, and the like; the two choices of a condition exchanged."""
    match node:
        case ast.BinOp(left, op, right) if isinstance(op, ORDERED):
            gap = text.slice(*text.between(left, right)).strip("() \n\\")
            if "#" not in gap:
                yield text.expression(node, f"{text.operand(right)} {gap} {text.operand(left)}")
        case ast.Call(ast.Attribute(attr="where"), [_, chosen, other]):
            yield Edit(text.span(chosen)[0], text.span(other)[1], f"{text.operand(other)}, {text.operand(chosen)}")
        case ast.IfExp(test, _, _):
            yield text.expression(test, f"not {text.operand(test)}")
        case ast.If(test):
            yield text.replaced(test, f"not {text.operand(test)}")


def index(node: ast.AST, text: SourceText) -> Iterator[Edit]:
    """An index, the end of a slice or of a range that is off by one."""
    match node:
        case ast.Subscript(slice=place):
            for part in place.elts if isinstance(place, ast.Tuple) else [place]:
                yield from _moved(part, text)
        case ast.Call(ast.Name("range"), [end]):
            yield text.replaced(end, f"{text.operand(end)} - 1")
        case ast.Call(ast.Name("range"), [start, *_]):
            yield text.replaced(start, f"{text.operand(start)} + 1")


def _moved(part: ast.expr, text: SourceText) -> Iterator[Edit]:
    if isinstance(part, ast.Slice):
        if part.lower is None:
            start, _ = text.span(part)
            yield Edit(start, start, "1")
        for end, step in ((part.lower, "+ 1"), (part.upper, "- 1")):
            if end is not None and _integer(end) is None:
                yield text.replaced(end, f"{text.operand(end)} {step}")
    for end in (part.lower, part.upper) if isinstance(part, ast.Slice) else (part,):
        if end is not None and (place := _integer(end)) is not None:
            yield text.replaced(end, str(_neighbour(place)))


def axis(node: ast.AST, text: SourceText) -> Iterator[Edit]:
    """Another axis, one axis of several left out, a transposition left out."""
    match node:
        case ast.keyword("axis" | "axes" | "dim", value):
            if (place := _integer(value)) is not None:
                yield text.replaced(value, str(_neighbour(place)))
            elif isinstance(value, ast.Tuple):
                for left_out in value.elts:
                    kept = [text.of(part) for part in value.elts if part is not left_out]
                    yield text.replaced(value, f"({', '.join(kept)}{',' * (len(kept) == 1)})")
            elif not isinstance(value, ast.Constant):
                yield text.replaced(value, "None")
        case ast.Attribute(value, "T" | "mT", ast.Load()):
            yield text.left_over(node, value)
        case ast.Call() if _called(node) in MOVERS:
            yield from _without_call(node, text)


def missing_reduction(node: ast.AST, text: SourceText) -> Iterator[Edit]:
    """A sum, mean or the like that is not taken."""
    if isinstance(node, ast.Call) and _called(node) in REDUCTIONS:
        yield from _without_call(node, text)


def dropped_call(node: ast.AST, text: SourceText) -> Iterator[Edit]:
    """``a`` for ``f(a, ...)``: any other function that is not applied, as one that undoes a broadcast."""
    if isinstance(node, ast.Call) and _called(node) not in REDUCTIONS | MOVERS:
        yield from _without_call(node, text)


def _without_call(node: ast.Call, text: SourceText) -> Iterator[Edit]:
    """Put what a function is applied to in its place: the owner of a method, else the first argument."""
    match node.func:
        case ast.Name(name) if hasattr(builtins, name):
            return
        case ast.Attribute(ast.Name(owner), _) if owner not in _LIBRARIES:
            yield text.replaced(node, owner)
        case ast.Attribute(owner, _) if not isinstance(owner, ast.Name) and not _is_library(owner):
            yield text.left_over(node, owner)
        case _ if node.args and not isinstance(node.args[0], ast.Starred):
            yield text.left_over(node, node.args[0])


_LIBRARIES = frozenset({"np", "numpy", "math", "scipy", "special", "sp", "linalg", "torch", "jnp", "jax", "anp"})
"""Names by which modules of functions go: what stands before the dot is no array."""


def _is_library(owner: ast.expr) -> bool:
    while isinstance(owner, ast.Attribute):
        owner = owner.value
    return isinstance(owner, ast.Name) and owner.id in _LIBRARIES


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Attribute(attr=name) | ast.Name(name):
            return name
    return ""


def _integer(node: ast.expr) -> int | None:
    match node:
        case ast.Constant(int(value)) if not isinstance(value, bool):
            return value
        case ast.UnaryOp(ast.USub(), ast.Constant(int(value))):
            return -value
    return None


def _neighbour(place: int) -> int:
    """Return the next place away from the end that it counts from."""
    return place + 1 if place >= 0 else place - 1


FAULTS: Mapping[str, Planter] = {
    "sign": sign,
    "operator": operator,
    "dropped term": dropped_term,
    "dropped factor": dropped_factor,
    "swapped operands": swapped_operands,
    "off-by-one index": index,
    "axis": axis,
    "missing reduction": missing_reduction,
    "dropped call": dropped_call,
    "constant": constant,
}
"""Every kind of fault, by the name that reports call it; of two that come to the same the first is planted."""
