"""Ops in JAX: functions, whatever ``custom_vjp``, ``custom_jvp`` and ``jit`` they use inside.

They are compiled, once for each dtype; those that look at values are called as they are. Double precision is switched
on inside calls only: JAX as a whole stays as it was found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from gradaudit.spec.case import Mode
from gradaudit.spec.dtypes import has_derivatives
from gradaudit.targets.framework_op import FrameworkOp
from gradaudit.targets.jax_modes import PULLS, Pull, backward_of

Array = Any

LARGE = 2**20
"""Bytes of an input from which on it is worth keeping in JAX, which compiles all that is done to arrays once for each
of their shapes."""

UNTRACEABLE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)
"""What functions raise under ``jit`` that look at the values of their inputs."""


Call = Callable[[tuple[str, ...], Sequence[Any]], list[Any]]
"""A function of arrays and their names that returns its outputs in order."""


def jax_op(
    function: Callable[..., Any],
    *,
    params: Mapping[str, Any] | None = None,
    constants: frozenset[str] = frozenset(),
    counted: tuple[int, ...] | None = None,
    seed: int = 0,
    mode: Mode = "reverse",
) -> FrameworkOp:
    """Return the op of a function on JAX arrays.

    Args:
        function: called with the inputs by position; it may return any tree of arrays.
        params: keyword arguments, which are static where the function is compiled.
        constants: names of the inputs of floating dtype whose gradients are not asked for.
        counted: positions of the outputs that count, as leaves of the tree; None for all floating ones.
        seed: of nothing: JAX's randomness is its functions' own input.
        mode: by which differentiation gradients are had. The op of the second order is the backward: besides the
            inputs it takes the upstream of each output that counts, named ``upstream[k]``.

    """
    bound = partial(function, **(params or {}))

    def forward(names: tuple[str, ...], arrays: Sequence[Any]) -> list[Any]:
        return [jnp.asarray(leaf) for leaf in jax.tree_util.tree_leaves(bound(*arrays))]

    held = JaxFunction(forward, PULLS[mode]) if mode != "second" else JaxFunction(backward_of(forward, constants))
    return FrameworkOp(
        held,
        constants,
        counted if mode != "second" else None,
        native=_native,
        large=LARGE,
        within=double_precision,
    )


def double_precision() -> AbstractContextManager[Any]:
    """Return a context in which JAX has 64-bit numbers, in this thread."""
    within: AbstractContextManager[Any] = jax.enable_x64(True)
    return within


@dataclass(frozen=True)
class JaxFunction:
    """A function of named JAX arrays.

    Attributes:
        call: takes names and arrays and returns its outputs in order.
        pull: how gradients are had.
        compiled: what has been compiled of it.

    """

    call: Call
    pull: Pull = PULLS["reverse"]
    compiled: dict[Any, Callable[..., Any]] = field(default_factory=dict)

    def outputs(self, inputs: Mapping[str, Array], wanted: frozenset[str]) -> tuple[Array | None, ...]:
        """Call the function; an output that is no array of numbers, such as a key, is None."""
        names = tuple(inputs)
        with double_precision():
            made = self._called(names, lambda arrays: self.call(names, arrays), _arrays(inputs.values()))
            return tuple(map(_answering(inputs.values()), map(_output, made)))

    def gradients(
        self, upstream: Mapping[int, Array], inputs: Mapping[str, Array], wanted: frozenset[str]
    ) -> dict[str, Array]:
        """Call the function and JAX's differentiation of it."""
        asked = {place: name for place, name in enumerate(inputs) if name in wanted}
        names, positions = tuple(inputs), tuple(upstream)

        def pull(arrays: list[Any], given: list[Any]) -> list[Any]:
            def counted(*moving: Any) -> list[Any]:
                every = list(arrays)
                for place, array in zip(asked, moving, strict=True):
                    every[place] = array
                outputs = self.call(names, every)
                return [outputs[k] for k in positions]

            return self.pull(counted, [arrays[place] for place in asked], given)

        with double_precision():
            # Which inputs are asked for and which outputs count is traced into what is compiled.
            key = (names, tuple(asked), positions)
            made = self._called(key, pull, _arrays(inputs.values()), _arrays(upstream.values()))
            return dict(zip(asked.values(), map(_answering(inputs.values()), made), strict=True))

    def _called(self, key: Any, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function, compiled where it can be, and wait for what it gives."""
        known = self.compiled.setdefault(key, jax.jit(function))
        try:
            return jax.block_until_ready(known(*arguments))
        except UNTRACEABLE:
            self.compiled[key] = function
            return jax.block_until_ready(function(*arguments))


def _arrays(arrays: Iterable[Array]) -> list[Any]:
    return [_native(array) if isinstance(array, np.ndarray) else array for array in arrays]


def _native(array: NDArray[Any]) -> Any:
    """Return a JAX array, in the NumPy array's memory where its alignment and dtype allow."""
    with double_precision():
        if array.flags.c_contiguous and array.flags.writeable and array.dtype.kind in "fiuc":
            return jax.dlpack.from_dlpack(array)
        return jnp.asarray(array)


def _output(leaf: Any) -> Any:
    """Return an output as it is; None for one that is no array of numbers."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
        return None
    return leaf if leaf.dtype.kind != "V" or has_derivatives(leaf.dtype) else None


def _answering(given: Iterable[Array]) -> Callable[[Any], Any]:
    """Return what makes an answer of an array, or of None, to those who called with such arrays."""
    called_by_numpy = any(isinstance(array, np.ndarray) for array in given)
    return lambda made: made if made is None or not called_by_numpy else np.asarray(made)
