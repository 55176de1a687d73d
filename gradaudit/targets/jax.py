"""Ops in JAX: functions, whatever ``custom_vjp``, ``custom_jvp`` and ``jit`` they use inside.

They are compiled, once for each dtype; those that look at values are called as they are. Double precision is switched
on inside audits only: JAX as a whole stays as it was found.

On an accelerator large arrays stay there. In the processor's memory they are NumPy's, aligned so that JAX works on them
where they are: what NumPy does with them there takes it half the time and needs no compiling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import LARGE
from gradaudit.spec.dtypes import has_derivatives
from gradaudit.spec.op_targets import Mode
from gradaudit.targets.framework_op import FrameworkOp
from gradaudit.targets.jax_models import model_of
from gradaudit.targets.jax_modes import PULLS, Pull, backward_of
from gradaudit.targets.jax_traces import UNTRACEABLE, kept_or_anew

Array = Any

DISTANT = 2**24
"""Bytes of an input from which on it stays on an accelerator: for each shape of arrays JAX compiles a hundred small
functions there, which takes seconds, as long as NumPy takes for an audit of that size."""

ALIGNMENT = 64
"""Bytes that the address of memory must be a multiple of for JAX to take it as it is."""

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
        function: called with the inputs by position; it may return any tree of arrays. Or a model: a pair of a
            function and the tree of parameters that it takes first, a module that is such a tree, or a function that
            needs no arguments and returns either. Its parameters are inputs by their paths.
        params: keyword arguments, which are static where the function is compiled.
        constants: names of the inputs of floating dtype whose gradients are not asked for.
        counted: positions of the outputs that count, as leaves of the tree; None for all floating ones.
        seed: of nothing: JAX's randomness is its functions' own input.
        mode: by which differentiation gradients are had. The op of the second order is the backward: besides the
            inputs it takes the upstream of each output that counts, named ``upstream[k]``.

    """
    with double_precision():
        model = model_of(function)
    parameters = {} if model is None else model.parameters

    def forward(names: tuple[str, ...], arrays: Sequence[Any]) -> list[Any]:
        given = params or {}
        made = function(*arrays, **given) if model is None else model(names, arrays, **given)
        return [jnp.asarray(leaf) for leaf in jax.tree_util.tree_leaves(made)]

    (device,) = jnp.zeros(()).devices()
    near = device.platform == "cpu"
    second = mode == "second"
    call: Call = backward_of(forward, constants) if second else forward
    return FrameworkOp(
        JaxFunction(call, _shared if near else _sent, PULLS["reverse" if second else mode]),
        constants,
        None if second else counted,
        parameters,
        native=_aligned if near else _sent,
        large=LARGE if near else DISTANT,
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
        native: makes a JAX array of NumPy's, where JAX works.
        pull: how gradients are had.
        compiled: what has been compiled of it.
        before: what had been compiled of it before it was made anew.
        compiles: whether anything is compiled at all.

    """

    call: Call
    native: Callable[[NDArray[Any]], Array]
    pull: Pull = PULLS["reverse"]
    compiled: dict[Any, Callable[..., Any]] = field(default_factory=dict)
    before: Mapping[Any, Callable[..., Any]] = field(default_factory=dict)
    compiles: bool = True

    def anew(self) -> JaxFunction:
        """Return the function as if it was called for the first time, compiled again where its trace is another."""
        return replace(self, compiled={}, before=self.compiled)

    def uncompiled(self) -> JaxFunction:
        """Return the function called as it is each time, so that whatever it calls may change in between."""
        return replace(self, compiles=False)

    def outputs(self, inputs: Mapping[str, Array], wanted: frozenset[str]) -> tuple[Array | None, ...]:
        """Call the function; an output that is no array of numbers, such as a key, is None."""
        names = tuple(inputs)
        with double_precision():
            made = self._called(names, lambda arrays: self.call(names, arrays), self._arrays(inputs.values()))
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
            made = self._called(key, pull, self._arrays(inputs.values()), self._arrays(upstream.values()))
            return dict(zip(asked.values(), map(_answering(inputs.values()), made), strict=True))

    def written_backwards(self, inputs: Mapping[str, Array], wanted: frozenset[str]) -> list[Callable[..., Any]]:
        """Return the backwards of the ``custom_vjp`` functions that the function calls, in the order of their calls."""
        with rules_called() as rules, double_precision():
            jax.eval_shape(lambda arrays: self.call(tuple(inputs), arrays), self._arrays(inputs.values()))
        return [rule.bwd for rule in rules if rule.bwd is not None]

    def _called(self, key: Any, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function, compiled where it can be, and wait for what it gives."""
        if not self.compiles:
            return jax.block_until_ready(function(*arguments))
        if key not in self.compiled:
            before = self.before.get(key)
            self.compiled[key] = jax.jit(function) if before is None else kept_or_anew(before, function, arguments)
        try:
            return jax.block_until_ready(self.compiled[key](*arguments))
        except UNTRACEABLE:
            self.compiled[key] = function
            return jax.block_until_ready(function(*arguments))

    def _arrays(self, arrays: Iterable[Array]) -> list[Any]:
        return [self.native(array) if isinstance(array, np.ndarray) else array for array in arrays]


@contextmanager
def rules_called() -> Iterator[list[Any]]:
    """Note the ``custom_vjp`` functions that are called within the context, each once."""
    rules: list[Any] = []
    own = jax.custom_vjp.__call__

    def noting(rule: Any, *args: Any, **kwargs: Any) -> Any:
        if not any(rule is known for known in rules):
            rules.append(rule)
        return own(rule, *args, **kwargs)

    jax.custom_vjp.__call__ = noting
    try:
        yield rules
    finally:
        jax.custom_vjp.__call__ = own


def _shared(array: NDArray[Any]) -> Any:
    """Return a JAX array in a NumPy array's memory where its alignment and dtype allow."""
    if array.flags.c_contiguous and array.flags.writeable and array.dtype.kind in "fiuc":
        return jax.dlpack.from_dlpack(array)
    return jnp.asarray(array)


def _sent(array: NDArray[Any]) -> Any:
    """Return a JAX array on the device that JAX works on."""
    with double_precision():
        return jnp.asarray(array)


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    """Return a contiguous array in memory that JAX takes as it is; another as it is."""
    if not array.flags.c_contiguous:
        return array
    room = np.empty(array.nbytes + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    made = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    made[...] = array
    return made


def _output(leaf: Any) -> Any:
    """Return an output as it is; None for one that is no array of numbers."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
        return None
    return leaf if leaf.dtype.kind != "V" or has_derivatives(leaf.dtype) else None


def _answering(given: Iterable[Array]) -> Callable[[Any], Any]:
    """Return what makes an answer of an array, or of None, to those who called with such arrays."""
    called_by_numpy = any(isinstance(array, np.ndarray) for array in given)
    return lambda made: made if made is None or not called_by_numpy else np.asarray(made)
