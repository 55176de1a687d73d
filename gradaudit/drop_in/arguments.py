"""Arguments as a function is called with them, by position: the arrays among them are inputs, the rest stays put."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradaudit.spec.given import TAKEN_NAME


@dataclass(frozen=True)
class Bound:
    """A function of arrays alone, these arrays by the names that reports call them, and what it takes by keyword."""

    function: Callable[..., Any]
    arrays: Mapping[str, Any]
    params: Mapping[str, Any] = field(default_factory=dict)


def is_array(value: Any) -> bool:
    """Whether a value is an array, of whatever library; numbers are none."""
    return hasattr(value, "dtype") and hasattr(value, "shape")


def bound(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    names: Sequence[str],
    counts: Callable[[Any], bool] = is_array,
) -> Bound:
    """Return a function with everything bound but the arrays among its arguments; itself where that is nothing.

    Args:
        function: called with the arguments by position.
        arguments: arrays, and whatever else it takes.
        names: of the arguments, in order.
        counts: whether an argument is taken for an array.

    """
    places = [k for k, argument in enumerate(arguments) if counts(argument)]
    arrays = {names[k]: arguments[k] for k in places}
    if len(places) == len(arguments):
        return Bound(function, arrays)

    def called(*given: Any, **params: Any) -> Any:
        every = list(arguments)
        for k, array in zip(places, given, strict=True):
            every[k] = array
        return function(*every, **params)

    return Bound(called, arrays)


def argument_names(known: Sequence[str], count: int) -> tuple[str, ...]:
    """Return a name for each of a function's first arguments: ``input[k]`` where none is known, or it is taken."""
    usable = [name if not re.fullmatch(TAKEN_NAME, name) else f"input[{k}]" for k, name in enumerate(known[:count])]
    return (*usable, *(f"input[{k}]" for k in range(len(usable), count)))


def signature_names(function: Any) -> tuple[str, ...]:
    """Return the names of what a function takes by position, as far as its signature tells.

    Of ``Function.apply`` that is the signature of its forward, of a module that of its ``forward``.
    """
    called, skip = _as_called(function)
    try:
        parameters = list(inspect.signature(called).parameters.values())[skip:]
    except (TypeError, ValueError):  # a function in C
        return ()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple([parameter.name for parameter in parameters if parameter.kind in kinds])


def _as_called(function: Any) -> tuple[Any, int]:
    """Return whose signature tells how a function is called, and how many arguments it has that nobody gives."""
    torch, owner = sys.modules.get("torch"), getattr(function, "__self__", None)
    if torch is not None and isinstance(owner, type) and issubclass(owner, torch.autograd.Function):
        takes_context = getattr(owner, "setup_context") is torch.autograd.Function.setup_context  # noqa: B009
        return getattr(owner, "forward"), int(takes_context)  # noqa: B009 (Any to mypy)
    if torch is not None and isinstance(function, torch.nn.Module):
        return function.forward, 0
    return function, 0
