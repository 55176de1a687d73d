"""What objects hold: the arrays of a layer, the values and gradients of a tensor."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

VALUES = ("data", "value", "val", "array", "arr", "values", "x", "tensor", "_data", "item")
GRADIENTS = ("grad", "gradient", "_grad", "g", "adjoint", "deriv", "derivative", "grads")
"""Attributes in which tensors of people's own keep their values, and their gradients, the likeliest first."""


@dataclass(frozen=True)
class Kept:
    """A parameter of a layer: the name that it has as an input, where it lies, and what it holds."""

    name: str
    place: str
    array: Array


def parameters_in(layer: Any) -> list[Kept]:
    """Return the floating arrays that an object holds, in its attributes and in the dicts, lists and objects there."""
    seen: set[int] = set()
    arrays = []
    for kept in _held(layer, "", "", 0, set()):
        if id(kept.array) not in seen:
            seen.add(id(kept.array))
            arrays.append(kept)
    return arrays


DEEPEST = 3
"""How far below a layer its parameters are looked for."""


def _held(owner: Any, place: str, word: str, depth: int, above: set[int]) -> Iterator[Kept]:
    if isinstance(owner, np.ndarray):
        if owner.dtype.kind == "f" and owner.size:
            yield Kept(word, place, owner)
        return
    if depth > DEEPEST or id(owner) in above:
        return
    for inner, name, value in _parts(owner, place, word, depth):
        yield from _held(value, inner, name, depth + 1, above | {id(owner)})


def _parts(owner: Any, place: str, word: str, depth: int) -> Iterator[tuple[str, str, Any]]:
    """Yield the place, the name and the value of each thing that an object holds."""
    if isinstance(owner, dict):
        yield from ((f"{place}['{key}']", key, value) for key, value in owner.items() if isinstance(key, str))
    elif isinstance(owner, (list, tuple)):
        yield from ((f"{place}[{k}]", f"{word}{k}", value) for k, value in enumerate(owner))
    elif depth == 0 or (hasattr(owner, "__dict__") and not isinstance(owner, type) and not inspect.isroutine(owner)):
        for name, value in vars(owner).items():
            inner = f"{place}.{name}" if place else name
            yield inner, word if name in ("data", "value") and word else name, value
