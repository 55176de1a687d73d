"""How the backward of an audited pair is called: by the names of its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
PullBack = Callable[[tuple[Array, ...], Array, Mapping[str, Any], Array], tuple[Array | None, ...]]
"""From inputs, output, params and upstream to the gradients with respect to the first inputs."""


def pull_back(forward: Callable[..., Any], backward: Callable[..., Any]) -> PullBack:
    """Return backward as a function of all that it may ask for; a TypeError where it asks for more."""
    inputs, params = _arguments(forward)
    wanted, wanted_params = _arguments(backward)
    known = ("upstream", "output", *inputs, *params)
    for name in (*wanted, *wanted_params):
        if name not in known:
            raise TypeError(f"{backward.__name__} takes {name!r}; expected only {', '.join(known)}")

    def pull(arrays: tuple[Array, ...], output: Array, given: Mapping[str, Any], upstream: Array) -> tuple[Any, ...]:
        known = {"upstream": upstream, "output": output, **dict(zip(inputs, arrays, strict=False))}
        accepted = {name: value for name, value in given.items() if name in wanted_params}
        # Inputs that the call left to their defaults are the last ones, in backward as in forward.
        gradients = backward(*(known[name] for name in wanted if name in known), **accepted)
        return gradients if isinstance(gradients, tuple) else (gradients,)

    return pull


def _arguments(function: Callable[..., Any]) -> tuple[list[str], list[str]]:
    """Return the names of a function's arguments by position, and of those by keyword only."""
    by_keyword = {one.name: one.kind is Parameter.KEYWORD_ONLY for one in signature(function).parameters.values()}
    return [name for name, only in by_keyword.items() if not only], [name for name, only in by_keyword.items() if only]
