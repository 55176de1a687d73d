"""Pieces that kernels are composed of: functions of a matrix and of inputs of their own, with backwards by hand.

Each is a function of a random stream and of the matrix's shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from kernel import Tensors
from torch import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Piece:
    """A step of a kernel, in float32.

    Attributes:
        name: what it is called.
        shape: of what it returns.
        inputs: shapes and ranges of its own inputs, by name.
        forward: of the matrix and its own inputs.
        backward: of the upstream, the matrix and its own inputs: their gradients.

    """

    name: str
    shape: Shape
    inputs: Mapping[str, tuple[Shape, tuple[float, float]]]
    forward: Callable[[Tensor, Tensors], Tensor]
    backward: Callable[[Tensor, Tensor, Tensors], tuple[Tensor, Tensors]]


Maker = Callable[[np.random.Generator, Shape], Piece]

Slope = Callable[[Tensor], Tensor]


def _silu_slope(h: Tensor) -> Tensor:
    s = torch.sigmoid(h)
    return s + h * s * (1 - s)


def _gelu_slope(h: Tensor) -> Tensor:
    return (1 + torch.erf(h / math.sqrt(2))) / 2 + h * torch.exp(-h * h / 2) / math.sqrt(2 * math.pi)


def _mish_slope(h: Tensor) -> Tensor:
    t = torch.tanh(torch.nn.functional.softplus(h))
    return t + h * (1 - t * t) * torch.sigmoid(h)


def _hard_swish_slope(h: Tensor) -> Tensor:
    return torch.where(h < -3, 0.0, torch.where(h > 3, 1.0, (2 * h + 3) / 6))


ELEMENTWISE: dict[str, tuple[Slope, Slope]] = {
    "tanh": (torch.tanh, lambda h: 1 - torch.tanh(h) ** 2),
    "sigmoid": (torch.sigmoid, lambda h: torch.sigmoid(h) * (1 - torch.sigmoid(h))),
    "silu": (torch.nn.functional.silu, _silu_slope),
    "gelu": (torch.nn.functional.gelu, _gelu_slope),
    "mish": (torch.nn.functional.mish, _mish_slope),
    "softplus": (torch.nn.functional.softplus, torch.sigmoid),
    "sine": (torch.sin, torch.cos),
    "square": (lambda h: h * h / 2, lambda h: h),
    "bell": (lambda h: 1 / (1 + h * h), lambda h: -2 * h / (1 + h * h) ** 2),
    "gaussian": (lambda h: torch.exp(-h * h), lambda h: -2 * h * torch.exp(-h * h)),
    "root": (lambda h: torch.sqrt(1 + h * h), lambda h: h / torch.sqrt(1 + h * h)),
    "logarithm": (lambda h: torch.log1p(h * h), lambda h: 2 * h / (1 + h * h)),
    "exponential": (lambda h: torch.exp(h / 4), lambda h: torch.exp(h / 4) / 4),
    "arctan": (torch.atan, lambda h: 1 / (1 + h * h)),
    "relu": (torch.relu, lambda h: (h > 0).to(h.dtype)),
    "leaky_relu": (lambda h: torch.where(h > 0, h, h / 8), lambda h: torch.where(h > 0, 1.0, 0.125)),
    "elu": (torch.nn.functional.elu, lambda h: torch.where(h > 0, 1.0, torch.exp(h))),
    "absolute": (torch.abs, torch.sign),
    "clip": (lambda h: h.clamp(-1, 1), lambda h: (h.abs() < 1).to(h.dtype)),
    "hard_swish": (torch.nn.functional.hardswish, _hard_swish_slope),
}


def elementwise(rng: np.random.Generator, shape: Shape) -> Piece:
    name = list(ELEMENTWISE)[rng.integers(len(ELEMENTWISE))]
    function, slope = ELEMENTWISE[name]
    return Piece(name, shape, {}, lambda h, i: function(h), lambda u, h, i: (u * slope(h), {}))


def affine(rng: np.random.Generator, shape: Shape) -> Piece:
    """Return a factor and an offset for each column."""
    inputs = {"w": (shape[1:], (0.5, 1.5)), "b": (shape[1:], (-1.0, 1.0))}
    return Piece(
        "affine",
        shape,
        inputs,
        lambda h, i: h * i["w"] + i["b"],
        lambda u, h, i: (u * i["w"], {"w": (u * h).sum(0), "b": u.sum(0)}),
    )


def of_rows(rng: np.random.Generator, shape: Shape) -> Piece:
    """Return a factor for each row."""
    return Piece(
        "of_rows",
        shape,
        {"s": ((shape[0], 1), (-1.5, 1.5))},
        lambda h, i: h * i["s"],
        lambda u, h, i: (u * i["s"], {"s": (u * h).sum(1, keepdim=True)}),
    )


def scaled(rng: np.random.Generator, shape: Shape) -> Piece:
    """Return one factor for all."""
    return Piece(
        "scaled",
        shape,
        {"a": ((1,), (0.5, 1.5))},
        lambda h, i: h * i["a"],
        lambda u, h, i: (u * i["a"], {"a": (u * h).sum().reshape(1)}),
    )


def linear(rng: np.random.Generator, shape: Shape) -> Piece:
    columns = int(2 ** rng.uniform(1, 5))
    width = 2 / math.sqrt(shape[1])
    return Piece(
        "linear",
        (shape[0], columns),
        {"w": ((shape[1], columns), (-width, width)), "b": ((columns,), (-0.5, 0.5))},
        lambda h, i: h @ i["w"] + i["b"],
        lambda u, h, i: (u @ i["w"].T, {"w": h.T @ u, "b": u.sum(0)}),
    )


def tied(rng: np.random.Generator, shape: Shape) -> Piece:
    """Return ``h w w^T``, whose weights are used twice."""
    inner = int(2 ** rng.uniform(0, 4))
    width = 2 / math.sqrt(max(shape[1], inner))

    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        w = i["w"]
        return u @ w @ w.T, {"w": h.T @ (u @ w) + u.T @ (h @ w)}

    inputs = {"w": ((shape[1], inner), (-width, width))}
    return Piece("tied", shape, inputs, lambda h, i: h @ i["w"] @ i["w"].T, backward)


def standardised(rng: np.random.Generator, shape: Shape) -> Piece:
    """Return a norm over rows or columns, with the mean taken away or not."""
    axis, centres = int(rng.integers(2)), bool(rng.integers(2))

    def parts(h: Tensor) -> tuple[Tensor, Tensor]:
        centred = h - h.mean(axis, keepdim=True) if centres else h
        scale = torch.rsqrt((centred * centred).mean(axis, keepdim=True) + 1e-3)
        return centred * scale, scale

    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        y, scale = parts(h)
        mean = u.mean(axis, keepdim=True) if centres else 0.0
        return scale * (u - mean - y * (u * y).mean(axis, keepdim=True)), {}

    return Piece(f"norm{'_centred' * centres}_{axis}", shape, {}, lambda h, i: parts(h)[0], backward)


def unit_rows(rng: np.random.Generator, shape: Shape) -> Piece:
    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        size = torch.sqrt((h * h).sum(1, keepdim=True) + 1e-3)
        return u / size - h * (u * h).sum(1, keepdim=True) / size**3, {}

    return Piece(
        "unit_rows", shape, {}, lambda h, i: h / torch.sqrt((h * h).sum(1, keepdim=True) + 1e-3), backward
    )  # fmt: skip


def centred(rng: np.random.Generator, shape: Shape) -> Piece:
    axis = int(rng.integers(2))
    return Piece(
        "centred",
        shape,
        {},
        lambda h, i: h - h.mean(axis, keepdim=True),
        lambda u, h, i: (u - u.mean(axis, keepdim=True), {}),
    )


def softmax(rng: np.random.Generator, shape: Shape) -> Piece:
    axis = int(rng.integers(2))

    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        p = torch.softmax(h, axis)
        return p * (u - (u * p).sum(axis, keepdim=True)), {}

    return Piece(f"softmax_{axis}", shape, {}, lambda h, i: torch.softmax(h, axis), backward)


def log_softmax(rng: np.random.Generator, shape: Shape) -> Piece:
    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        return u - torch.softmax(h, 1) * u.sum(1, keepdim=True), {}

    return Piece("log_softmax", shape, {}, lambda h, i: torch.log_softmax(h, 1), backward)


def running_mean(rng: np.random.Generator, shape: Shape) -> Piece:
    many = torch.arange(1, shape[1] + 1)

    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        return (u / many).flip(1).cumsum(1).flip(1), {}

    return Piece("running_mean", shape, {}, lambda h, i: h.cumsum(1) / many, backward)


def differences(rng: np.random.Generator, shape: Shape) -> Piece:
    return Piece(
        "differences", shape, {}, lambda h, i: h - h.roll(1, 1), lambda u, h, i: (u - u.roll(-1, 1), {})
    )  # fmt: skip


def neighbours(rng: np.random.Generator, shape: Shape) -> Piece:
    """Return products of neighbours in a row."""

    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        return u * h.roll(1, 1) + (u * h).roll(-1, 1), {}

    return Piece("neighbours", shape, {}, lambda h, i: h * h.roll(1, 1), backward)


def filtered(rng: np.random.Generator, shape: Shape) -> Piece:
    """Return a circular convolution of each row with three weights."""
    steps = (-1, 0, 1)

    def forward(h: Tensor, i: Tensors) -> Tensor:
        return torch.stack([i["k"][n] * h.roll(step, 1) for n, step in enumerate(steps)]).sum(0)

    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        k = torch.stack([(u * h.roll(step, 1)).sum() for step in steps])
        return torch.stack([i["k"][n] * u.roll(-step, 1) for n, step in enumerate(steps)]).sum(0), {"k": k}

    return Piece("filtered", shape, {"k": ((3,), (-1.0, 1.0))}, forward, backward)


def transposed(rng: np.random.Generator, shape: Shape) -> Piece:
    return Piece("transposed", shape[::-1], {}, lambda h, i: h.mT.contiguous(), lambda u, h, i: (u.mT.contiguous(), {}))


def plus(rng: np.random.Generator, shape: Shape) -> Piece:
    inputs = {"r": (shape, (-1.0, 1.0))}
    return Piece("plus", shape, inputs, lambda h, i: h + i["r"], lambda u, h, i: (u, {"r": u}))


def times(rng: np.random.Generator, shape: Shape) -> Piece:
    inputs = {"r": (shape, (-1.5, 1.5))}
    return Piece("times", shape, inputs, lambda h, i: h * i["r"], lambda u, h, i: (u * i["r"], {"r": u * h}))


def gated(rng: np.random.Generator, shape: Shape) -> Piece:
    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        s = torch.sigmoid(i["r"])
        return u * s, {"r": u * h * s * (1 - s)}

    return Piece("gated", shape, {"r": (shape, (-2.0, 2.0))}, lambda h, i: h * torch.sigmoid(i["r"]), backward)


def larger(rng: np.random.Generator, shape: Shape) -> Piece:
    """Return the larger of the matrix and another one."""

    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        first = (h >= i["r"]).to(u.dtype)
        return u * first, {"r": u * (1 - first)}

    return Piece("larger", shape, {"r": (shape, (-1.0, 1.0))}, lambda h, i: torch.maximum(h, i["r"]), backward)


def pooled(rng: np.random.Generator, shape: Shape) -> Piece:
    """Return the larger of the first and the second half of each row."""
    half = shape[1] // 2

    def forward(h: Tensor, i: Tensors) -> Tensor:
        return torch.maximum(h[:, :half], h[:, half : 2 * half])

    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        first = (h[:, :half] >= h[:, half : 2 * half]).to(u.dtype)
        return torch.cat([u * first, u * (1 - first), torch.zeros_like(h[:, 2 * half :])], 1), {}

    return Piece("pooled", (shape[0], half), {}, forward, backward)


def gathered(rng: np.random.Generator, shape: Shape) -> Piece:
    """Return columns chosen at random, some of them more than once."""
    chosen = torch.from_numpy(rng.integers(0, shape[1], shape[1]))

    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        return torch.zeros_like(h).index_add(1, chosen, u), {}

    return Piece("gathered", shape, {}, lambda h, i: h[:, chosen], backward)


def dropped(rng: np.random.Generator, shape: Shape) -> Piece:
    kept = torch.from_numpy((rng.random(shape) > 0.2).astype(np.float32)) / 0.8
    return Piece("dropped", shape, {}, lambda h, i: h * kept, lambda u, h, i: (u * kept, {}))


def attending(rng: np.random.Generator, shape: Shape) -> Piece:
    """Return what rows find among some keys."""
    keys, scale = int(2 ** rng.uniform(1, 4)), 1 / math.sqrt(shape[1])

    def weights(h: Tensor, i: Tensors) -> Tensor:
        return torch.softmax(h @ i["k"].T * scale, 1)

    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        p = weights(h, i)
        dp = u @ i["v"].T
        ds = p * (dp - (dp * p).sum(1, keepdim=True)) * scale
        return ds @ i["k"], {"k": ds.T @ h, "v": p.T @ u}

    inputs = {"k": ((keys, shape[1]), (-2.0, 2.0)), "v": ((keys, shape[1]), (-1.0, 1.0))}
    return Piece("attending", shape, inputs, lambda h, i: weights(h, i) @ i["v"], backward)


PIECES: tuple[Maker, ...] = (
    *(elementwise,) * 8, affine, of_rows, scaled, *(linear,) * 3, tied, *(standardised,) * 2, unit_rows, centred,
    softmax, log_softmax, running_mean, differences, neighbours, filtered, transposed, plus, times, gated, larger,
    pooled, gathered, dropped, attending,
)  # fmt: skip
"""The more often, the more likely."""
