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


def is_traced_alike(compiled: Callable[..., Any], function: Callable[..., Any], arguments: Sequence[Any]) -> bool:
    """Whether a function that was compiled is the same when it is traced anew.

    What a function draws from NumPy's generator, or counts, is a constant of its trace. Its backward is traced by
    itself, and so has other constants.
    """
    if not hasattr(compiled, "trace"):  # a function that looks at values is called as it is, and keeps nothing
        return True
    first = compiled.trace(*arguments).jaxpr  # which is remembered
    again = jax.make_jaxpr(lambda *given: function(*given))(*arguments)
    constants = [[_bytes(constant) for constant in _constants(trace)] for trace in (first, again)]
    return str(first) == str(again) and constants[0] == constants[1]


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
