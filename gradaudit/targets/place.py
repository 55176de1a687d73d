"""Where an object keeps something, as Python writes it: ``W``, ``params['W']``, ``layers[0].weight``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gradaudit.spec.errors import nearest
from gradaudit.targets.op import OpError

Step = tuple[bool, str | int]
"""Whether to index, or else to take an attribute; and with what."""


_STEP = re.compile(r"(?:^|\.)([A-Za-z_]\w*)|\[(\d+)\]|\[['\"]([^'\"]+)['\"]\]")


def steps(place: str) -> list[Step]:
    """Return a place as the steps that lead to it."""
    found: list[Step] = []
    for name, index, key in _STEP.findall(place):
        found.append((False, name) if name else (True, int(index) if index else key))
    return found


def read(owner: Any, place: str) -> Any:
    """Return what lies at a place.

    Raises:
        OpError: where there is nothing, with what there is.

    """
    for step in steps(place):
        owner = _taken(owner, step, place)
    return owner


def write(owner: Any, place: str, value: Any) -> None:
    """Put a value at a place, and wherever else the owner holds the array that lay there.

    An array of the same shape and dtype is written into, so that views of it see the new values too.

    Raises:
        OpError: where the place cannot be reached or set.

    """
    *above, last = steps(place)
    holder = owner
    for step in above:
        holder = _taken(holder, step, place)
    old = _taken(holder, last, place)
    if isinstance(old, np.ndarray) and old.shape == value.shape and old.dtype == value.dtype and old.flags.writeable:
        old[...] = value
        return
    if isinstance(old, np.ndarray):
        for other, step in _holders(owner, old, set()):
            _put(other, step, value, place)
    _put(holder, last, value, place)


def _taken(owner: Any, step: Step, place: str) -> Any:
    index, key = step
    try:
        return owner[key] if index else getattr(owner, str(key))
    except (AttributeError, KeyError, IndexError, TypeError):
        known = _known(owner, index=index)
        has = f"it has {', '.join(known)}" if known else "it has none"
        raise OpError(f"{place}: {type(owner).__name__} has no '{key}'{nearest(str(key), known)}; {has}") from None


def _put(owner: Any, step: Step, value: Any, place: str) -> None:
    index, key = step
    try:
        if index:
            owner[key] = value
        else:
            setattr(owner, str(key), value)
    except (AttributeError, TypeError, IndexError) as error:
        raise OpError(f"{place}: {key} of {type(owner).__name__} cannot be set: {error}") from None


def _known(owner: Any, *, index: bool) -> list[str]:
    if index and isinstance(owner, Mapping):
        return [str(key) for key in owner]
    if index and isinstance(owner, (list, tuple)):
        return [str(k) for k in range(len(owner))]
    return sorted(name for name in getattr(owner, "__dict__", {}) if not name.startswith("__"))


def _holders(owner: Any, array: Any, seen: set[int]) -> Iterator[tuple[Any, Step]]:
    """Yield whatever below an owner holds this very array, with the step that leads from it to the array."""
    if id(owner) in seen:
        return
    seen.add(id(owner))
    entries: list[tuple[Step, Any]] = []
    if isinstance(owner, dict):
        entries = [((True, key), value) for key, value in owner.items()]
    elif isinstance(owner, list):
        entries = [((True, k), value) for k, value in enumerate(owner)]
    elif hasattr(owner, "__dict__") and not isinstance(owner, type):
        entries = [((False, name), value) for name, value in vars(owner).items()]
    for step, value in entries:
        if value is array:
            yield owner, step
        elif isinstance(value, (dict, list)) or hasattr(value, "__dict__"):
            yield from _holders(value, array, seen)
