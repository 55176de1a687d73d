"""A hand-written kernel in low precision, as an op that gradaudit audits.

Operands are stored in one dtype, sums are kept in float32, as kernels do. TF32 is float32 with operands of products
rounded to 11 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import gradaudit
from gradaudit.spec.case import Case, Expectation, Input, Location
from gradaudit.spec.op_targets import HeldTarget

Tensors = dict[str, Tensor]
Array = NDArray[Any]

Style = Literal["only", "numpy", "casts", "checkpoint", "autocast", "jax"]
"""How people have a kernel: it takes its own dtypes only, as tensors or arrays, or in JAX; or it casts what it is given
to its dtype and its output back; or the first under ``checkpoint``, which calls forward again for backward; or it is
given float32 under ``autocast``, which computes products in its dtype."""

WIDE_STYLES = ("casts", "autocast")
"""Styles of kernels that are given float32."""


@dataclass(frozen=True)
class Kernel:
    """``backward(upstream, inputs)`` is claimed to be the gradient of ``forward(inputs)``; both compute in float32.

    Attributes:
        name: what it is called.
        dtype: of inputs and outputs as they are stored; ``tf32`` stores float32.
        shapes: of the inputs, by name.
        ranges: of their values.
        forward: of all inputs in float32.
        backward: likewise.
        fault: what is wrong; empty where nothing is.
        style: how it is called.
        wide: inputs that are stored in float32 all the same, as the weights of norms are.
        output: dtype of the output, where that is another.

    """

    name: str
    dtype: str
    shapes: Mapping[str, tuple[int, ...]]
    ranges: Mapping[str, tuple[float, float]]
    forward: Callable[[Tensors], Tensor]
    backward: Callable[[Tensor, Tensors], Tensors]
    fault: str = ""
    style: Style = "only"
    wide: frozenset[str] = field(default_factory=frozenset)
    output: str = ""

    @property
    def elements(self) -> int:
        """Of all inputs together."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def stored(self) -> str:
        """The dtype of what is stored."""
        return "float32" if self.dtype == "tf32" else self.dtype

    def given(self, name: str) -> str:
        """The dtype that an input is given in."""
        return "float32" if self.style in WIDE_STYLES or name in self.wide else self.stored

    def case(self, seed: int = 0) -> Case:
        """Return what ``gradaudit run`` makes of a spec that names the kernel, its shapes, ranges and dtypes."""
        inputs = tuple(
            Input(name, shape, self.given(name), range=self.ranges[name]) for name, shape in self.shapes.items()
        )
        return Case(
            op=self.name,
            module="",
            name=f"{self.dtype} {self.style}",
            dtype="float32" if self.style in WIDE_STYLES else self.stored,
            target=self.op(),
            inputs=inputs,
            params={},
            tolerance=None,
            upstream="random",
            step=None,
            method="auto",
            seed=seed,
            expect=Expectation(),
            notes="",
            location=Location(Path(), 1, 1),
        )

    def op(self) -> HeldTarget:
        """Return the op in the kernel's style."""
        if self.style == "numpy":
            return gradaudit.op(self._of_arrays, self._gradients_of_arrays, name=self.name)
        if self.style == "jax":
            from kernels_in_jax import function

            return gradaudit.jax_op(function(self), name=self.name)
        return gradaudit.torch_op(self.function(), name=self.name)

    def function(self) -> Callable[..., Tensor]:
        """Return the kernel as a function of tensors with its own backward."""
        kernel = self

        class Made(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *tensors: Tensor) -> Tensor:
                ctx.save_for_backward(*tensors)
                return kernel._of(tensors)

            @staticmethod
            def backward(ctx: Any, *upstream: Tensor) -> Any:
                return kernel._gradients(upstream[0], ctx.saved_tensors)

        if self.style == "checkpoint":
            return lambda *x: checkpoint(Made.apply, *x, use_reentrant=False)  # type: ignore[no-any-return]
        return Made.apply  # type: ignore[no-any-return]

    def _of(self, tensors: tuple[Tensor, ...]) -> Tensor:
        if self.style == "autocast":
            with torch.autocast("cpu", dtype=getattr(torch, self.stored)):
                return self.forward(dict(zip(self.shapes, tensors, strict=True)))
        made = self.forward(self._read(tensors))
        return made.to(tensors[0].dtype if self.style == "casts" else getattr(torch, self.output or self.stored))

    def _gradients(self, upstream: Tensor, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if self.style == "autocast":
            with torch.autocast("cpu", dtype=getattr(torch, self.stored)):
                made = self.backward(upstream.float(), dict(zip(self.shapes, tensors, strict=True)))
            return tuple(made[name].to(x.dtype) for name, x in zip(self.shapes, tensors, strict=True))
        inner = self._rounded(upstream, self.output or self.stored)
        made = self.backward(inner, self._read(tensors))
        wanted = {name: getattr(torch, "float32" if name in self.wide else self.stored) for name in self.shapes}
        return tuple(made[name].to(wanted[name]).to(x.dtype) for name, x in zip(self.shapes, tensors, strict=True))

    def _read(self, tensors: tuple[Tensor, ...]) -> Tensors:
        if self.style != "casts":
            for name, x in zip(self.shapes, tensors, strict=True):
                if x.dtype is not getattr(torch, self.given(name)):
                    raise TypeError(f"{name}: {self.given(name)} only, found {x.dtype}")
        return {
            name: self._rounded(x, "float32" if name in self.wide else self.stored)
            for name, x in zip(self.shapes, tensors, strict=True)
        }

    def _rounded(self, x: Tensor, dtype: str) -> Tensor:
        return x.to(getattr(torch, dtype)).float()

    def _of_arrays(self, *arrays: Array) -> Array:
        return _array(self._of(tuple(map(_tensor, arrays))))

    def _gradients_of_arrays(self, upstream: Array, *arrays: Array) -> tuple[Array, ...]:
        return tuple(map(_array, self._gradients(_tensor(upstream), tuple(map(_tensor, arrays)))))


def _tensor(array: Array) -> Tensor:
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(np.ascontiguousarray(array).view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def _array(tensor: Tensor) -> Array:
    if tensor.dtype is torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def narrowed(x: Tensor) -> Tensor:
    """Return what a tensor core reads of float32: 11 significant bits."""
    bits = x.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)
