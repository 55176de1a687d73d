"""What a function's text tells of how it is called: which arguments are inputs, which are params, what it returns."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from gradaudit.coverage.python_passes import UPSTREAM_WORDS

SETTINGS = re.compile(
    r"(ax[ei]s|dims?|eps(ilon)?|stride|padding|dilation|groups?|keepdims?|shape|training|p|seed|mode)s?"
)
"""What arguments are called that are settings rather than inputs, whether they have a default or not."""

SETTING_TYPES = re.compile(r"(int|float|bool|str|Size|tuple|Tuple|Sequence|list|List)\b")
"""What the annotation of such an argument begins with."""

DATA = re.compile(r"(mask|labels?|indices|index|idx|targets?|winner|choice)s?")
"""What inputs are called that have no gradient."""

OUTPUTS = re.compile(r"out(put)?s?|y|ans|result|activations?")
"""What the argument of a backward pass is called that is forward's output."""


@dataclass(frozen=True)
class Signature:
    """A function's arguments, those that are inputs apart from those that are params.

    Attributes:
        inputs: names, in order.
        params: the text of each default, in YAML; empty for an argument without one, None for one that cannot be
            written.

    """

    inputs: tuple[str, ...]
    params: dict[str, str | None]


def forward_signature(function: ast.FunctionDef | ast.AsyncFunctionDef, *, skip: int = 0) -> Signature:
    """Return how a forward is called, without its first ``skip`` arguments (``self``, ``ctx``)."""
    inputs: list[str] = []
    params: dict[str, str | None] = {}
    positional = [*function.args.posonlyargs, *function.args.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(function.args.defaults))
    for argument, default in list(zip(positional, [*defaults, *function.args.defaults], strict=True))[skip:]:
        if default is None and not _is_setting(argument):
            inputs.append(argument.arg)
        else:
            params[argument.arg] = _yaml(default)
    for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        params[argument.arg] = _yaml(default)
    return Signature(tuple(inputs), params)


def _is_setting(argument: ast.arg) -> bool:
    annotation = ast.unparse(argument.annotation) if argument.annotation else ""
    return bool(SETTING_TYPES.match(annotation) or (not annotation and SETTINGS.fullmatch(argument.arg)))


def _yaml(default: ast.expr | None) -> str | None:
    """Return a default as YAML; empty where there is none, None where it is not a plain value."""
    if default is None:
        return ""
    try:
        return _plain(ast.literal_eval(default)) or None
    except ValueError:
        return None


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(_plain(item) or 'null' for item in value)}]"
    return ""


def backward_words(
    function: ast.FunctionDef | ast.AsyncFunctionDef, forward: Signature, *, skip: int = 0
) -> tuple[list[str], list[str]]:
    """Return the words for what a backward takes, in order, and those among them that are not known to a spec."""
    called = forward_signature(function, skip=skip)
    names = [name for name in called.inputs if name not in forward.params]
    upstream = next((name for name in names if name not in forward.inputs and UPSTREAM_WORDS.fullmatch(name)), None)
    if upstream is None:
        upstream = next((name for name in names if name not in forward.inputs), None)
    words = []
    for name in names:
        if name == upstream:
            words.append("upstream")
        elif name not in forward.inputs and OUTPUTS.fullmatch(name):
            words.append("output")
        else:
            words.append(name)
    return words, [word for word in words if word not in ("upstream", "output", *forward.inputs)]


def returned_inputs(function: ast.FunctionDef | ast.AsyncFunctionDef, inputs: Sequence[str]) -> list[str]:
    """Return the inputs whose gradients a backward gives back, by what it calls them, else by their number."""
    returned = [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value is not None]
    last = returned[-1] if returned else None
    parts = list(last.elts) if isinstance(last, ast.Tuple) else [last]
    named = [_input_of(part, inputs) for part in parts]
    if all(named) and len(set(named)) == len(named):
        return [name for name in named if name]
    differentiable = [name for name in inputs if not DATA.fullmatch(name)] or list(inputs)
    annotation = ast.unparse(function.returns) if function.returns else ""
    if isinstance(last, ast.Tuple):
        return differentiable[: len(parts)]
    if annotation.startswith(("tuple[", "Tuple[")):
        return differentiable[: annotation.count(",") + 1]
    return differentiable if isinstance(last, (ast.Call, ast.Name)) and annotation == "" else differentiable[:1]


def _input_of(part: ast.expr | None, inputs: Sequence[str]) -> str:
    if not isinstance(part, ast.Name):
        return ""
    spellings = ("grad_{}", "d{}", "d_{}", "{}_grad", "grad{}", "{}")
    return next((name for name in inputs for spelling in spellings if part.id == spelling.format(name)), "")
