"""What a caller asks for beside the arrays, each told in words where it is not of its type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any


def function_of(name: str, given: Any) -> Callable[..., Any]:
    """Return what is given as something to call.

    Raises:
        TypeError: where it cannot be called.

    """
    if not callable(given):
        raise TypeError(f"{name}: expected something to call, found {type(given).__name__}")
    called: Callable[..., Any] = given
    return called


def tolerance_number(name: str, given: Any) -> float:
    """Return a tolerance.

    Raises:
        TypeError: where it is no number.
        ValueError: where it is below zero or not finite.

    """
    if not isinstance(given, Real):
        raise TypeError(f"{name}: expected a number, found {given!r}")
    number = float(given)
    if not 0 <= number < float("inf"):
        raise ValueError(f"{name}: expected a finite number not below zero, found {given!r}")
    return number


def whole_number(name: str, given: Any) -> int:
    """Return a whole number.

    Raises:
        TypeError: where it is none.

    """
    if not isinstance(given, Integral):
        raise TypeError(f"{name}: expected a whole number, found {given!r}")
    return int(given)


def seed_number(given: Any) -> int:
    """Return a seed.

    Raises:
        TypeError: where it is no whole number.
        ValueError: where it is below zero.

    """
    seed = whole_number("seed", given)
    if seed < 0:
        raise ValueError(f"seed: expected a number not below zero, found {seed}")
    return seed


def names_listed(name: str, given: Any) -> tuple[str, ...] | None:
    """Return names; None for None.

    Raises:
        TypeError: where they are no list of texts; a text by itself is none.

    """
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"{name}: expected a list of names, found {given!r}")
    return _all(name, tuple(given), str, "a list of names")


def positions_listed(name: str, given: Any) -> tuple[int, ...] | None:
    """Return positions of outputs; None for None.

    Raises:
        TypeError: where they are no list of whole numbers.

    """
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"{name}: expected a list of positions, found {given!r}")
    return _all(name, tuple(given), Integral, "a list of positions")


def keywords_of(name: str, given: Any) -> dict[str, Any]:
    """Return a mapping by names; an empty one for None.

    Raises:
        TypeError: where it is no mapping, or a key is no text.

    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"{name}: expected a dict by name, found {given!r}")
    _all(name, tuple(given), str, "names as keys")
    return dict(given)


def _all(name: str, members: tuple[Any, ...], kind: type, expected: str) -> tuple[Any, ...]:
    for member in members:
        if not isinstance(member, kind):
            raise TypeError(f"{name}: expected {expected}, found {member!r} among them")
    return members
