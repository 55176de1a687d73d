"""What JAX records of a function when it traces it, and whether it would record the same again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

UNTRACEABLE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)
"""What functions raise under ``jit`` that look at the values of their inputs."""


def kept_or_anew(compiled: Callable[..., Any], function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """Return a function that was compiled, where it is the same when it is traced anew; else the one that it is then.

    What a function draws from NumPy's generator, or counts, is a constant of its trace. Its backward is traced by
    itself, and so has other constants.
    """
    if not hasattr(compiled, "trace"):  # a function that looks at values is called as it is, and keeps nothing
        return compiled
    first = compiled.trace(*arguments).jaxpr  # which is remembered
    anew = _forgetful(jax.jit(lambda *given: function(*given)))
    again = _forgetful(jax.make_jaxpr(lambda *given: function(*given)))(*arguments)
    constants = [[_bytes(constant) for constant in _constants(trace)] for trace in (first, again)]
    return compiled if str(first) == str(again) and constants[0] == constants[1] else anew


def _forgetful(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that traces anew also what is under a ``jit`` of its own, which remembers its traces.

    They are remembered for the default device as it was named; naming the same one changes nothing else.
    """
    (device,) = jax.numpy.zeros(()).devices()

    def call(*arguments: Any) -> Any:
        with jax.default_device(device):
            return function(*arguments)

    return call


def _constants(trace: Any) -> Iterator[Any]:
    """Yield the arrays that a trace holds, and those that it calls."""
    yield from getattr(trace, "consts", ())
    for step in trace.eqns:
        for given in step.params.values():
            for inner in given if isinstance(given, tuple | list) else (given,):
                if hasattr(inner, "eqns"):
                    yield from _constants(inner)


def _bytes(constant: Any) -> bytes:
    if jax.numpy.issubdtype(constant.dtype, jax.dtypes.extended):  # a key
        constant = jax.random.key_data(constant)
    return np.asarray(constant).tobytes()
