"""Ops in tinygrad: functions on its tensors.

tinygrad compiles for the best device that it finds, which on a machine without a compiler is none: there it is asked
to run in Python, slowly. It has no complex numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tinygrad import Device, Tensor, dtypes
from tinygrad.helpers import DEV, Context

from gradaudit.spec.dtypes import dtype_of
from gradaudit.targets.framework_op import FrameworkOp, UnusableError
from gradaudit.targets.structure import leaves

Array = NDArray[Any]


def tinygrad_op(
    function: Callable[..., Any],
    *,
    params: Mapping[str, Any] | None = None,
    constants: frozenset[str] = frozenset(),
    counted: tuple[int, ...] | None = None,
    seed: int = 0,
) -> FrameworkOp:
    """Return the op of a function on tinygrad's tensors.

    Args:
        function: called with the inputs by position.
        params: keyword arguments.
        constants: names of the inputs of floating dtype whose gradients are not asked for.
        counted: positions of the outputs that count, nested ones counted through; None for all floating ones.
        seed: of the generator that every call begins with.

    """
    return FrameworkOp(TinygradFunction(function, params or {}, seed), constants, counted)


@dataclass(frozen=True)
class TinygradFunction:
    """A function on tinygrad's tensors, with its keyword arguments and the seed that it begins with."""

    function: Callable[..., Any]
    params: Mapping[str, Any]
    seed: int

    def outputs(self, inputs: Mapping[str, Array], wanted: frozenset[str]) -> tuple[Array | None, ...]:
        """Call the function and compute what it gives."""
        with self._sealed():
            made = self._leaves({name: _tensor(array) for name, array in inputs.items()})
            return tuple(_array(leaf) if isinstance(leaf, Tensor) else None for leaf in made)

    def gradients(
        self, upstream: Mapping[int, Array], inputs: Mapping[str, Array], wanted: frozenset[str]
    ) -> dict[str, Array]:
        """Call the function, and pull the upstreams back one by one: tinygrad takes one output at a time."""
        asked = [name for name in inputs if name in wanted]
        with self._sealed():
            tensors = {name: _tensor(array) for name, array in inputs.items()}
            made = self._leaves(tensors)
            targets = [tensors[name] for name in asked]
            pulled = [made[k].gradient(*targets, gradient=_tensor(part)) for k, part in upstream.items()]
            sums = [sum(parts[1:], parts[0]) for parts in zip(*pulled, strict=True)]
            return {name: _array(total) for name, total in zip(asked, sums, strict=True)}

    def _leaves(self, tensors: Mapping[str, Any]) -> list[Any]:
        return list(leaves(self.function(*tensors.values(), **self.params)))

    @contextmanager
    def _sealed(self) -> Iterator[None]:
        # no processes of its own for compiling, which nobody would end
        with Context(PARALLEL=0, **_device(str(DEV.value))):
            Tensor.manual_seed(self.seed)
            yield


@cache
def _device(asked: str) -> Mapping[str, str]:
    """Return the setting that tinygrad runs with, where it is asked for a device, or for none by an empty list.

    It is looked for once for each: tinygrad tries all devices again where it finds none.
    """
    try:
        assert Device.DEFAULT
    except RuntimeError:  # no compiler for any device
        return {"DEV": "PYTHON"}
    return {}


def _tensor(array: Array) -> Any:
    """Return a tensor that can be a target of gradients: one of a single number would be a constant."""
    if array.dtype.kind == "c":
        raise UnusableError(f"got an array of {array.dtype}; tinygrad has no complex numbers")
    if array.dtype.name == "bfloat16":
        return _tensor(array.astype(np.float32)).cast(dtypes.bfloat16)
    return Tensor(np.ascontiguousarray(array).reshape(array.shape or (1,))).reshape(array.shape)


def _array(tensor: Any) -> Array:
    if tensor.dtype == dtypes.bfloat16:
        return np.asarray(tensor.cast(dtypes.float32).numpy().astype(dtype_of("bfloat16")))
    return np.asarray(tensor.numpy())
