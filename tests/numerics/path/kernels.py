"""Kernels in NumPy that compute in one dtype and nothing else, with hand-written backwards, right and broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import dtype_name
from gradaudit.numerics.path.claim import PathClaim
from gradaudit.spec.dtypes import spacing

Array = NDArray[Any]
Gradients = dict[str, Array]


@dataclass(frozen=True)
class Kernel:
    """``backward(upstream, inputs)`` is the right gradient of ``forward(inputs)``."""

    inputs: Gradients
    domains: dict[str, tuple[float, float]]
    forward: Callable[[Gradients], Array]
    backward: Callable[[Array, Gradients], Gradients]

    def claim(self, broken: Callable[[Gradients, Gradients], Gradients] | None = None, seed: int = 0) -> PathClaim:
        """Return the claim at the kernel's inputs, of what ``broken`` makes of the gradients (and the inputs)."""
        rng = np.random.default_rng(seed)
        outputs = self.forward(self.inputs)
        signs = rng.choice([-1, 1], outputs.shape) * rng.choice([1, 1.25, 1.5, 1.75], outputs.shape)

        def backward(upstream: tuple[Array, ...], inputs: Gradients, outputs: tuple[Array, ...]) -> Gradients:
            gradients = self.backward(upstream[0], inputs)
            return broken(gradients, inputs) if broken else gradients

        return PathClaim(
            lambda inputs: (self.forward(inputs),),
            backward,
            self.inputs,
            (signs.astype(outputs.dtype),),
            domains=self.domains,
            unit=spacing(dtype_name(outputs.dtype)) / 2,
        )


def layer_norm(rows: int, columns: int, dtype: Any = np.float32, seed: int = 0) -> Kernel:
    """Return a layer norm: statistics in float32, everything that is stored in the dtype."""
    rng = np.random.default_rng(seed)
    inputs = {
        "x": rng.uniform(-2, 2, (rows, columns)).astype(dtype),
        "w": rng.uniform(0.5, 1.5, columns).astype(dtype),
        "b": rng.uniform(-1, 1, columns).astype(dtype),
    }

    def normalised(x: Array) -> tuple[Array, Array]:
        wide = x.astype(np.float32)
        centred = wide - wide.mean(1, keepdims=True)
        scale = 1 / np.sqrt((centred**2).mean(1, keepdims=True) + np.float32(1e-5))
        return centred * scale, scale

    def forward(inputs: Gradients) -> Array:
        h, _ = normalised(inputs["x"])
        return (h * inputs["w"].astype(np.float32) + inputs["b"].astype(np.float32)).astype(dtype)

    def backward(upstream: Array, inputs: Gradients) -> Gradients:
        h, scale = normalised(inputs["x"])
        wide = upstream.astype(np.float32)
        g = wide * inputs["w"].astype(np.float32)
        dx = scale * (g - g.mean(1, keepdims=True) - h * (g * h).mean(1, keepdims=True))
        made = {"x": dx, "w": (wide * h).sum(0), "b": wide.sum(0)}
        return {name: gradient.astype(dtype) for name, gradient in made.items()}

    return Kernel(inputs, {"x": (-2, 2), "w": (0.5, 1.5), "b": (-1, 1)}, forward, backward)


def elementwise(
    function: Callable[[Array], Array],
    slope: Callable[[Array], Array],
    shape: tuple[int, ...],
    dtype: Any = ml_dtypes.bfloat16,
    seed: int = 0,
) -> Kernel:
    """Return a function of each element, computed in float32 and stored in the dtype; x between -2 and 2."""
    x = np.random.default_rng(seed).uniform(-2, 2, shape).astype(dtype)

    def forward(inputs: Gradients) -> Array:
        return function(inputs["x"].astype(np.float32)).astype(dtype)

    def backward(upstream: Array, inputs: Gradients) -> Gradients:
        return {"x": (upstream.astype(np.float32) * slope(inputs["x"].astype(np.float32))).astype(dtype)}

    return Kernel({"x": x}, {"x": (-2, 2)}, forward, backward)


def tanh(shape: tuple[int, ...], dtype: Any = ml_dtypes.bfloat16, seed: int = 0) -> Kernel:
    """Return the hyperbolic tangent."""
    return elementwise(np.tanh, lambda x: 1 - np.tanh(x) ** 2, shape, dtype, seed)


def relu(shape: tuple[int, ...], dtype: Any = np.float32, seed: int = 0) -> Kernel:
    """Return the rectifier: a kink for every element."""
    return elementwise(lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(np.float32), shape, dtype, seed)


def matmul(
    rows: int, inner: int, columns: int, dtype: Any = np.float32, seed: int = 0, *, rectified: bool = False
) -> Kernel:
    """Return ``x @ w`` with sums in float32, of which a rectified one keeps what is positive."""
    rng = np.random.default_rng(seed)
    inputs = {
        "x": rng.uniform(-1, 1, (rows, inner)).astype(dtype),
        "w": (rng.uniform(-1, 1, (inner, columns)) / np.sqrt(inner)).astype(dtype),
    }
    wide = np.float32

    def product(inputs: Gradients) -> Array:
        return inputs["x"].astype(wide) @ inputs["w"].astype(wide)

    def forward(inputs: Gradients) -> Array:
        return (np.maximum(product(inputs), 0) if rectified else product(inputs)).astype(dtype)

    def backward(upstream: Array, inputs: Gradients) -> Gradients:
        u = upstream.astype(wide) * ((product(inputs) > 0) if rectified else 1)
        x, w = inputs["x"].astype(wide), inputs["w"].astype(wide)
        return {"x": (u @ w.T).astype(dtype), "w": (x.T @ u).astype(dtype)}

    return Kernel(inputs, {"x": (-1, 1)}, forward, backward)


def scan(rows: int, columns: int, dtype: Any = np.float32, seed: int = 0) -> Kernel:
    """Return ``h[t] = a[t] h[t - 1] + b[t]`` along rows."""
    rng = np.random.default_rng(seed)
    inputs = {
        "a": rng.uniform(0.5, 1.0, (rows, columns)).astype(dtype),
        "b": rng.uniform(-1, 1, (rows, columns)).astype(dtype),
    }

    def states(inputs: Gradients) -> Array:
        a, b = (inputs[name].astype(np.float32) for name in "ab")
        made = [np.zeros(rows, np.float32)]
        for t in range(columns):
            made.append(a[:, t] * made[-1] + b[:, t])
        return np.stack(made, 1)

    def backward(upstream: Array, inputs: Gradients) -> Gradients:
        a, upstream, before = inputs["a"].astype(np.float32), upstream.astype(np.float32), states(inputs)
        later, made = np.zeros(rows, np.float32), []
        for t in reversed(range(columns)):
            made.append(later + upstream[:, t])
            later = made[-1] * a[:, t]
        of_b = np.stack(made[::-1], 1)
        return {"a": (of_b * before[:, :-1]).astype(dtype), "b": of_b.astype(dtype)}

    return Kernel(inputs, {"a": (0.5, 1), "b": (-1, 1)}, lambda inputs: states(inputs)[:, 1:].astype(dtype), backward)


def running_sum(rows: int, columns: int, dtype: Any = ml_dtypes.bfloat16, seed: int = 0) -> Kernel:
    """Return the running sum of each row, with sums in float32: outputs, and their rounding, grow along it."""
    x = np.random.default_rng(seed).uniform(-1, 1, (rows, columns)).astype(dtype)

    def forward(inputs: Gradients) -> Array:
        return inputs["x"].astype(np.float32).cumsum(1).astype(dtype)

    def backward(upstream: Array, inputs: Gradients) -> Gradients:
        return {"x": upstream.astype(np.float32)[:, ::-1].cumsum(1)[:, ::-1].astype(dtype)}

    return Kernel({"x": x}, {"x": (-1, 1)}, forward, backward)


def mean_loss(rows: int, columns: int, seed: int = 0) -> Kernel:
    """Return the mean of the rows' cross entropies with their first columns, in float32: one output, one block."""
    x = np.random.default_rng(seed).uniform(-4, 4, (rows, columns)).astype(np.float32)

    def exponents(x: Array) -> Array:
        return np.exp(x - x.max(1, keepdims=True))

    def forward(inputs: Gradients) -> Array:
        x = inputs["x"]
        losses = np.log(exponents(x).sum(1)) + x.max(1) - x[:, 0]
        return np.asarray(losses.mean(dtype=np.float32))

    def backward(upstream: Array, inputs: Gradients) -> Gradients:
        made = exponents(inputs["x"])
        made /= made.sum(1, keepdims=True)
        made[:, 0] -= 1
        return {"x": made * (upstream / np.float32(rows))}

    return Kernel({"x": x}, {"x": (-4, 4)}, forward, backward)
