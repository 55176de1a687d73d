"""What objects hold: the arrays of a layer, the values and gradients of a tensor."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.drafts.gradient_names import input_meant

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


def attributes_of(owner: Any) -> dict[str, Any]:
    """Return the attributes of an object, in its dict or in slots."""
    slots = [getattr(kind, "__slots__", ()) for kind in type(owner).__mro__]
    names = [name for own in slots for name in ((own,) if isinstance(own, str) else own) if not name.startswith("__")]
    return {**{name: getattr(owner, name) for name in names if hasattr(owner, name)}, **getattr(owner, "__dict__", {})}


def _parts(owner: Any, place: str, word: str, depth: int) -> Iterator[tuple[str, str, Any]]:
    """Yield the place, the name and the value of each thing that an object holds."""
    if isinstance(owner, dict):
        yield from ((f"{place}['{key}']", key, value) for key, value in owner.items() if isinstance(key, str))
    elif isinstance(owner, (list, tuple)):
        yield from ((f"{place}[{k}]", f"{word}{k}", value) for k, value in enumerate(owner))
    elif depth == 0 or not (isinstance(owner, type) or inspect.isroutine(owner)):
        for name, value in attributes_of(owner).items():
            inner = f"{place}.{name}" if place else name
            yield inner, word if name in ("data", "value") and word else name, value


def without_gradients(before: Sequence[Kept]) -> list[Kept]:
    """Return what a layer holds less what is the gradient of something else that it holds."""
    places = {gradient_of(kept, before) for kept in before}
    return [kept for kept in before if kept.place not in places]


def gradient_of(kept: Kept, after: Sequence[Kept]) -> str:
    """Return where the gradient of a parameter lies after backward; empty where it does not."""
    word = kept.name
    holder = kept.place.rpartition(".")[0]
    for one in after:
        if one.place == kept.place or one.array.shape != kept.array.shape:
            continue
        last = re.findall(r"\w+", one.place)[-1]
        about_gradients = re.search(r"grad|delta|^d", one.place.lower().lstrip("_"))
        beside = holder and one.place.rpartition(".")[0] == holder and last in ("grad", "gradient", "g")
        same_key = about_gradients and last == word
        if beside or same_key or (about_gradients and input_meant(last, [word])):
            return one.place
    return ""


def misshapen(kept: Kept, after: Sequence[Kept]) -> str:
    """Return where what is called the gradient of a parameter lies, whatever its shape."""
    for one in after:
        last, own = re.findall(r"\w+", one.place)[-1].strip("_"), kept.name.strip("_")
        if re.search(r"grads?\[|gradients?\[", one.place.lower()) and last in (own, f"d{own}"):
            return one.place
        if last in (f"d{own}", f"grad_{own}", f"{own}_grad"):
            return one.place
    return ""


def left_for(name: str, array: Array, after: Sequence[Kept], data: Sequence[str]) -> str:
    """Return where a backward that returns nothing leaves the gradient of a data input."""
    for one in after:
        last = re.findall(r"\w+", one.place)[-1]
        generic = (
            re.fullmatch(r"d_?(x|inp|inputs?)|grad_?inputs?|inputs?_grads?|grad", last.lower()) and name == data[0]
        )
        named = last != name and input_meant(last, [name])
        if one.array.shape == array.shape and (named or generic):
            return one.place
    return ""
