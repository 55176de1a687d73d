"""A framework's backward called by itself, with what the framework called it with: without the framework around it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np

from gradaudit.repair.values import as_numbers, in_numpy, is_of_jax, without_jax
from gradaudit.source.written import standing_in, trampoline
from gradaudit.targets.structure import members_of

SPY = "__gradaudit_spy__"


@dataclass(frozen=True)
class Direct:
    """A call of a backward that was recorded, and which of its results is the gradient of which input.

    Attributes:
        function: the backward, whose code may change.
        arguments: what it was called with.
        places: the position of each input's gradient in what it returns.
        without_jax: whether NumPy's functions are called in the place of those that JAX would compile.

    """

    function: FunctionType
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    places: Mapping[str, int]
    without_jax: bool = False

    def gradients(self) -> dict[str, Any]:
        """Call the backward, as it is now; what it raises ends in no gradients."""
        given, named = _copied(self.arguments)
        try:
            with in_numpy(self.function.__globals__) if self.without_jax else nullcontext():
                members = list(members_of(self.function(*given, **named)).values())
                return {name: as_numbers(members[place]) for name, place in self.places.items()}
        except (Exception, SystemExit):
            return {}

    def in_numpy(self) -> Direct:
        """Return the same call with arrays of NumPy in the place of JAX's."""
        given, named = self.arguments
        return replace(self, arguments=(without_jax(given), without_jax(named)), without_jax=True)


def direct_of(function: FunctionType, call: Callable[[], Mapping[str, Any]]) -> Direct | None:
    """Watch a backward being called once, and return how to call it alone; None where that would not be the same.

    Args:
        function: the backward.
        call: makes the framework call it, and returns the gradients by input.

    """
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    results: list[Any] = []
    own = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    own.__kwdefaults__ = function.__kwdefaults__

    def spy(given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        calls.append((tuple(map(_kept, given)), {name: _kept(value) for name, value in named.items()}))
        results.append(own(*given, **named))
        return results[-1]

    with _global(function, spy), standing_in(function, trampoline(function, SPY)):
        answer = call()
    if len(calls) != 1 or len(results) != 1 or not all(map(_is_concrete, _leaves(calls[0]))):
        return None
    members = [as_numbers(member) for member in members_of(results[0]).values()]
    places: dict[str, int] = {}
    for name, gradient in answer.items():
        alike = [k for k, member in enumerate(members) if k not in places.values() and _same(member, gradient)]
        if not alike:
            return None
        places[name] = alike[0]
    made = Direct(function, calls[0], places)
    ways = [made.in_numpy(), made] if any(map(is_of_jax, _leaves(calls[0]))) else [made]
    return next((way for way in ways if _gives(way, answer)), None)


def _gives(made: Direct, answer: Mapping[str, Any]) -> bool:
    again = made.gradients()
    return all(_same(again.get(name), gradient) for name, gradient in answer.items())


@contextmanager
def _global(function: FunctionType, spy: Any) -> Any:
    function.__globals__[SPY] = spy
    try:
        yield
    finally:
        del function.__globals__[SPY]


def _kept(value: Any) -> Any:
    """Return an argument for later: of torch's contexts what they hold, which is gone after the call."""
    if hasattr(value, "saved_tensors") and hasattr(value, "needs_input_grad"):
        held = dict(getattr(value, "__dict__", {}))
        return SimpleNamespace(
            **held, saved_tensors=tuple(value.saved_tensors), needs_input_grad=tuple(value.needs_input_grad)
        )
    return value


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, SimpleNamespace):
        return _leaves(vars(value))
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in _leaves(part)]
    if isinstance(value, (tuple, list)):
        return [leaf for part in value for leaf in _leaves(part)]
    return [value]


def _is_concrete(value: Any) -> bool:
    return not any("Tracer" in base.__name__ for base in type(value).__mro__)


def _copied(value: Any) -> Any:
    """Return arguments that may be written into; arrays that nobody can write into are shared."""
    if is_of_jax(value):
        return value
    if hasattr(value, "clone") and hasattr(value, "detach"):
        return value.detach().clone()
    if isinstance(value, SimpleNamespace):
        return SimpleNamespace(**{name: _copied(part) for name, part in vars(value).items()})
    if isinstance(value, dict):
        return {name: _copied(part) for name, part in value.items()}
    if type(value) in (tuple, list):
        return type(value)(map(_copied, value))
    return copy.copy(value) if isinstance(value, np.ndarray) else value


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    a, b = np.asarray(one), np.asarray(other)
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-12, atol=0.0, equal_nan=True))
