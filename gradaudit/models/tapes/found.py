"""The tensors of a model by the paths that lead to them: through attributes, lists, dicts and closures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from types import FunctionType, MethodType, ModuleType, NoneType
from typing import Any

MAX_DEPTH = 40
"""Deepest path that is followed; models are a few levels deep."""

_NOT_ENTERED = (NoneType, str, bytes, int, float, complex, type, ModuleType, MethodType)


def tensors_in(model: Any, is_tensor: Callable[[Any], bool]) -> dict[str, Any]:
    """Return every tensor in a model, each by the first path that leads to it: ``blocks[0].attention.query``."""
    found: dict[int, tuple[str, Any]] = {}
    for path, tensor in _walk(model, is_tensor):
        found.setdefault(id(tensor), (path, tensor))
    return dict(found.values())


def named(given: Iterable[Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters by their names where they have some, else by their paths in a model, else by their places.

    Args:
        given: the parameters, in a list or by name.
        known: the tensors of the model by their paths.

    """
    if isinstance(given, Mapping):
        return {str(name): value for name, value in given.items()}
    paths = {id(tensor): path for path, tensor in known.items()}
    return {paths.get(id(value)) or f"parameters[{k}]": value for k, value in enumerate(given)}


def _walk(model: Any, is_tensor: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    waiting = [] if isinstance(model, _NOT_ENTERED) else [("", model, 0)]
    entered: set[int] = set()
    while waiting:
        path, value, depth = waiting.pop()
        if is_tensor(value):
            yield path, value
        elif id(value) not in entered and depth < MAX_DEPTH:
            entered.add(id(value))
            members = [pair for pair in _members(value) if not isinstance(pair[1], _NOT_ENTERED)]
            waiting += [((path + step).lstrip("."), member, depth + 1) for step, member in reversed(members)]


def _members(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f"[{key!r}]", member) for key, member in value.items()]
    if isinstance(value, (list, tuple)):
        return [(f"[{k}]", member) for k, member in enumerate(value)]
    if isinstance(value, FunctionType):
        return _enclosed(value)
    if hasattr(value, "__array__"):
        return []
    own = list(getattr(value, "__dict__", {}).items())
    own += [(name, getattr(value, name)) for name in _slots(value.__class__) if hasattr(value, name)]
    return [(f".{name}", member) for name, member in own]


@cache
def _slots(kind: type) -> tuple[str, ...]:
    """Return the attributes of a class's instances that are in no dict."""
    names = (name for each in kind.__mro__ for name in getattr(each, "__slots__", ()))
    return tuple(name for name in names if name != "__weakref__")


def _enclosed(function: FunctionType) -> list[tuple[str, Any]]:
    """Return what a function within a function takes from the one around it."""
    made = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # a name that has no value yet
            made.append((f".{name}", cell.cell_contents))
    return made
