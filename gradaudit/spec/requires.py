"""What a spec requires of params and inputs, such as ``k <= x.shape[1]``: read as text, and never run as code."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Div: operator.truediv,
}

UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.Not: operator.not_}

COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}

OF_ARRAYS = ("shape", "ndim", "size")
"""What may be asked of an input by name; the input itself stands for all of its values."""

FUNCTIONS: Mapping[str, Callable[..., Any]] = {"abs": abs, "len": len, "min": np.min, "max": np.max, "sum": np.sum}
"""What may be called, with one argument: a list, or an input."""

EXPECTED = "expected a comparison of params and inputs, such as k <= x.shape[1] or 0 < x"


class RequirementError(ValueError):
    """A text is no requirement; says why."""


def check_requirement(text: str, params: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
    """Refuse a text that is no requirement.

    Args:
        text: what a spec requires.
        params: the params that may be named.
        inputs: the inputs that may be.

    Raises:
        RequirementError: where it is none, or names something else.

    """
    tree = _parsed(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in {*params, *inputs, *FUNCTIONS}:
            known = ", ".join([*params, *inputs])
            raise RequirementError(f"found the name '{node.id}', expected one of {known}")
    _refuse_others(tree)


def holds(text: str, params: Mapping[str, Any], inputs: Mapping[str, Any]) -> bool:
    """Whether a requirement holds, of inputs at all their elements; False where it cannot be computed.

    Args:
        text: what ``check_requirement`` does not refuse.
        params: the params, by name.
        inputs: the inputs' arrays, by name.

    """
    try:
        return bool(np.all(_value(_parsed(text), {**params, **inputs})))
    except (ArithmeticError, IndexError, KeyError, TypeError, ValueError):
        return False


def _parsed(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise RequirementError(f"found {text!r}, {EXPECTED}") from None


def _refuse_others(tree: ast.expr) -> None:
    """Refuse what ``_value`` has no value for, and what says nothing."""
    if not any(isinstance(node, ast.Compare) for node in ast.walk(tree)):
        raise RequirementError(f"found {ast.unparse(tree)!r}, {EXPECTED}")
    parts = (ast.Compare, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Name, ast.Subscript, ast.Attribute, ast.Call)
    allowed = (*parts, ast.Constant, ast.expr_context, ast.boolop, *UNARY, *ARITHMETIC, *COMPARISONS)
    for node in ast.walk(tree):
        wrong = not isinstance(node, allowed)
        wrong |= isinstance(node, ast.Attribute) and node.attr not in OF_ARRAYS
        wrong |= isinstance(node, ast.Call) and not _is_known_call(node)
        wrong |= isinstance(node, ast.Constant) and not isinstance(node.value, (int, float, str, bool))
        if wrong:
            raise RequirementError(f"found {ast.unparse(node)!r}, {EXPECTED}")


def _is_known_call(node: ast.Call) -> bool:
    named = isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS
    return named and len(node.args) == 1 and not node.keywords


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            value = names[node.id]
            return np.array(value) if isinstance(value, (list, tuple)) else value
        case ast.Attribute():
            return getattr(_value(node.value, names), node.attr)
        case ast.Subscript():
            return _value(node.value, names)[_value(node.slice, names)]
        case ast.Call(func=ast.Name(id=name)):
            return FUNCTIONS[name](_value(node.args[0], names))
    return _combined(node, names)


def _combined(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.UnaryOp():
            return UNARY[type(node.op)](_value(node.operand, names))
        case ast.BinOp():
            return ARITHMETIC[type(node.op)](_value(node.left, names), _value(node.right, names))
        case ast.BoolOp():
            parts = (bool(np.all(_value(part, names))) for part in node.values)
            return all(parts) if isinstance(node.op, ast.And) else any(parts)
        case ast.Compare():
            values = [_value(part, names) for part in (node.left, *node.comparators)]
            pairs = zip(node.ops, values[:-1], values[1:], strict=True)
            return all(bool(np.all(COMPARISONS[type(op)](one, other))) for op, one, other in pairs)
    raise RequirementError(f"found {ast.unparse(node)!r}, {EXPECTED}")
