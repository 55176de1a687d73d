"""Calls that build a tensor: which they are, and which of their arguments put the new tensor on the tape."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradaudit.lint.vocabulary import PLAIN_ARGUMENTS, Vocabulary, dotted, last_word


def builds_tensor(call: ast.Call, vocabulary: Vocabulary, *, within_tensor: bool) -> bool:
    """Whether a call builds a tensor: ``Tensor(...)``, ``tt.Tensor(...)``, ``type(x)(...)``, ``x.__class__(...)``."""
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in vocabulary.tensors:
            return True
        case ast.Call(func=ast.Name(id="type"), args=[of]) | ast.Attribute(value=of, attr="__class__"):
            return within_tensor or dotted(of) != "self"
    return within_tensor and dotted(call.func) == "cls"


def is_constant_by_request(call: ast.Call) -> bool:
    """Whether a tensor is built with ``requires_grad=False``: then nobody expects a gradient through it."""
    return any(
        keyword.arg is not None
        and PLAIN_ARGUMENTS.fullmatch(keyword.arg)
        and "grad" in keyword.arg
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is False
        for keyword in call.keywords
    )


def asks_for_gradient(call: ast.Call) -> bool:
    """Whether a tensor is built with ``requires_grad=True``."""
    return any(
        keyword.arg is not None and "grad" in keyword.arg and getattr(keyword.value, "value", None) is True
        for keyword in call.keywords
    )


def content(call: ast.Call) -> ast.expr | None:
    """Return the argument that a tensor's values are given by."""
    if call.args:
        return call.args[0]
    named = [keyword.value for keyword in call.keywords if keyword.arg in ("data", "value", "array", "values")]
    return named[0] if named else (call.keywords[0].value if call.keywords else None)


def recorded_arguments(call: ast.Call) -> Iterator[ast.expr]:
    """Yield the arguments by which a constructor may note what the tensor was made of: parents, a grad function."""
    given = content(call)
    for argument in call.args:
        if argument is not given and not _is_plain(argument):
            yield argument
    for keyword in call.keywords:
        plain = keyword.arg is not None and PLAIN_ARGUMENTS.fullmatch(keyword.arg)
        if keyword.value is not given and not plain and not _is_plain(keyword.value):
            yield keyword.value


def _is_plain(argument: ast.expr) -> bool:
    """Whether an argument is a constant, or says what kind of tensor it is to be: ``x.requires_grad``, ``dtype``."""
    if isinstance(argument, ast.IfExp):  # grad_fn if requires_grad else None
        return _is_plain(argument.body) and _is_plain(argument.orelse)
    inner = list(ast.walk(argument))
    words = [last_word(each) for each in inner if isinstance(each, (ast.Name, ast.Attribute))]
    return not words or any(PLAIN_ARGUMENTS.fullmatch(word) for word in words)
