"""Edits that apply something to an expression: a function as the module applies it elsewhere, a reduction, a move."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from gradaudit.repair.surroundings import Surroundings, is_loaded
from gradaudit.source.text import Edit

OF_MODULE = re.compile(r"\w+\(\{\}")
"""A call of a function by its name alone."""


def with_calls(node: ast.AST, around: Surroundings) -> Iterator[Edit]:
    """A function applied, as the module applies it elsewhere; a transposition, a reduction, axes put in or moved."""
    text = around.text
    if not isinstance(node, ast.expr) or not is_loaded(node) or isinstance(node, (ast.Constant, ast.Slice)):
        return
    own, ndim = text.operand(node), around.ndims.get(text.span(node))
    if isinstance(node, ast.Tuple) and around.prefix:
        dtypes = ("", *(f", {name}.dtype" for name in around.names[:4]))
        yield from (text.replaced(node, f"{around.prefix}.zeros({own}{dtype})") for dtype in dtypes)
    lists = ndim is not None or isinstance(node, (ast.Name, ast.List, ast.ListComp, ast.Tuple))
    for template in around.templates if lists else filter(OF_MODULE.match, around.templates):
        yield text.replaced(node, template.replace("{}", own if template.startswith("{}") else text.of(node)))
    if not lists:
        return
    if ndim is None:
        if around.prefix:
            yield text.replaced(node, f"{around.prefix}.argsort({own})")
        yield text.replaced(node, f"{own}[::-1]")
        return
    yield from (text.replaced(node, wrapped) for wrapped in _wrapped(own, ndim, around))


def _wrapped(own: str, ndim: int, around: Surroundings) -> Iterator[str]:
    word, keep = ("dim", "keepdim") if around.is_torch else ("axis", "keepdims")
    if ndim:
        yield from _reduced(own, ndim, word, keep)
        yield from _moved_about(own, ndim, torch=around.is_torch)
    yield from (f"{own}.reshape({name}.shape)" for name in around.names)
    if around.prefix and not around.is_torch:
        yield from (f"{around.prefix}.{call}" for call in (f"clip({own}, -1.0, 1.0)", f"maximum({own}, 0)"))
        yield f"{around.prefix}.minimum({own}, 0)"
    if around.prefix:
        applied = ("exp", "log", "sqrt", "abs", "sign", "tanh", "conj", "square", "tril", "triu")
        yield from (f"{around.prefix}.{function}({own})" for function in applied)
        along = ("flip({}, {})", "cumsum({}, {})", "roll({}, 1, {})", "roll({}, -1, {})")
        yield from (f"{around.prefix}.{call.format(own, axis)}" for call in along for axis in range(ndim))


def _reduced(own: str, ndim: int, word: str, keep: str) -> Iterator[str]:
    inner = [str(axis) for axis in (-1, *range(ndim - 1))]
    several = [str(tuple(range(count))) for count in range(2, ndim)]
    several += [str((0, *range(2, ndim))), str(tuple(range(1, ndim)))] if ndim > 2 else []
    for axis in (*inner, *several):
        for function in ("sum", "mean", *(("max",) if axis in inner and word == "axis" else ())):
            yield f"{own}.{function}({word}={axis})"
            yield f"{own}.{function}({word}={axis}, {keep}=True)"
    yield f"{own}.sum()"
    yield f"{own}.mean()"


def _moved_about(own: str, ndim: int, *, torch: bool) -> Iterator[str]:
    yield from (
        f"{own}.flip({axis})" if torch else f"{own}{part}" for axis, part in ((0, "[::-1]"), (-1, "[..., ::-1]"))
    )
    yield f"{own}[..., None]"
    yield f"{own}[None]"
    if ndim == 2:
        yield f"{own}.T"
        yield f"{own}.swapaxes(-1, -2)"
    elif ndim > 2:
        yield from (f"{own}.swapaxes({axes})" for axes in ("-1, -2", "0, 1", "1, 2"))
    if ndim == 4:
        move = "permute" if torch else "transpose"
        yield from (f"{own}.{move}({order})" for order in ("0, 2, 1, 3", "1, 0, 2, 3", "0, 3, 1, 2", "0, 2, 3, 1"))
