"""Which inputs the gradients are of that a backward returns, by their names, shapes and number."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.drafts.inputs import LABEL_NAMES, plain_name
from gradaudit.drafts.settings import tree_of
from gradaudit.targets.structure import members_of

Array = NDArray[Any]


def returned_names(function: Callable[..., Any]) -> list[str]:
    """Return what the members of the last tuple that a function returns are called, empty where they have no names."""
    returned = _last_returned(function)
    parts = returned.elts if isinstance(returned, ast.Tuple) else [returned]
    return [part.id if isinstance(part, ast.Name) else "" for part in parts]


def _last_returned(function: Callable[..., Any]) -> ast.expr | None:
    tree = tree_of(function)
    inner = [below for below in ast.walk(tree) if isinstance(below, ast.Return) and below.value] if tree else []
    return max(inner, key=lambda one: one.lineno).value if inner else None


def matched_gradients(
    returned: Any,
    backward: Callable[..., Any],
    inputs: Sequence[str],
    arrays: Mapping[str, Array],
    drop: int = 0,
) -> list[str] | None:
    """Return the inputs whose gradients a backward returned, in order: by its names for them, else by their number.

    ``drop`` members come before them. None where they cannot be told.
    """
    members = members_of(returned)
    values = list(members.values())[drop:]
    if drop and len(values) == 1 and not isinstance(values[0], np.ndarray):
        inner = members_of(values[0])
        if len(inner) >= 1 and inner.get(0) is not values[0]:
            members, values, drop = inner, list(inner.values()), 0
    keys = list(members)[drop:] if not all(isinstance(key, int) for key in members) else returned_names(backward)[drop:]
    floats = [name for name in inputs if has_floats(arrays[name])]
    predicted = [name for name in floats if not LABEL_NAMES.fullmatch(plain_name(name))]
    if len(values) <= len(predicted):
        floats = predicted
    names = [input_meant(str(key), inputs) for key in keys]
    if len(names) == len(values) and all(names) and len(set(names)) == len(names):
        return [name for name in names if name]
    by_shape = [[name for name in floats if arrays[name].shape == np.shape(value)] for value in values]
    if len(values) <= len(floats) and all(
        value is None or np.shape(value) == arrays[name].shape for value, name in zip(values, floats, strict=False)
    ):
        return floats[: len(values)]
    if all(len(options) == 1 for options in by_shape) and len({o[0] for o in by_shape}) == len(values):
        return [options[0] for options in by_shape]
    if len(values) == 1 and by_shape[0]:
        return by_shape[0][:1]
    if len(values) > len(floats):
        return None
    return floats[: len(values)]


def has_floats(array: Array) -> bool:
    """Whether an array can have a gradient."""
    return array.dtype.kind in "fc"


def input_meant(gradient: str, inputs: Sequence[str]) -> str:
    """Return the input that a gradient of this name is of: ``x`` for ``dx``, ``grad_x``, ``x_grad``; empty for none."""
    word = re.sub(r"\W+", "", gradient).lower().strip("_")
    plain = [(name, name.lower().strip("_")) for name in inputs]
    for name, own in sorted(plain, key=lambda entry: -len(entry[1])):
        spellings = {f"d{own}", f"d_{own}", f"grad_{own}", f"{own}_grad", f"grad{own}", f"g{own}", f"g_{own}", own}
        spellings |= {
            f"{own}bar",
            f"{own}_bar",
            f"dl_d{own}",
            f"dldt{own}",
            f"dl{own}",
            f"gradient_{own}",
            f"delta_{own}",
        }
        spellings |= {f"dl_{own}", f"{own}_gradient", f"dl_d_{own}", f"dloss_d{own}", f"nabla_{own}"}
        if word in spellings:
            return name
    core = re.sub(r"^(d|grad|delta)_?|_", "", word)  # dLogVar is the gradient of t_log_var
    ends = [name for name, own in plain if len(core) > 2 and own.replace("_", "").endswith(core)]
    return ends[0] if len(ends) == 1 and word.startswith(("d", "grad")) else ""
