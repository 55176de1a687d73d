"""Kernels composed at random: chains, sums and mixtures of pieces, their backwards chained by hand.

A fused kernel keeps in float32 what one piece hands to the next. An eager one rounds it to its dtype, as it does the
gradients on the way back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count

import numpy as np
import torch
from kernel import Kernel, Tensors
from losses import LOSSES, REDUCTIONS
from pieces import PIECES, Maker, Piece, Shape
from torch import Tensor

RANGES = ((-2.0, 2.0), (-1.0, 1.0), (-0.3, 0.3), (0.5, 2.0), (-3.0, 3.0))
"""Of the first input."""


def composed(rng: np.random.Generator, dtype: str, rows: int, columns: int) -> Kernel:
    """Return a kernel of one to four pieces, half of the time with a reduction or a loss at its end."""
    shape, numbers, body = (rows, columns), count(1), []
    for _ in range(rng.integers(1, 5)):
        if min(shape) > 1:
            body.append(_drawn(rng, shape, numbers))
            shape = body[-1].shape
    ends = (None, None, REDUCTIONS, LOSSES)[rng.integers(4)]
    is_eager = dtype != "float32" and rng.random() < 1 / 4
    chain = _chained([_rounded(piece, dtype) for piece in body] if is_eager else body)
    if ends:
        chain = _chained([chain, _one_of(rng, ends, shape, numbers)])
    low_and_high = RANGES[rng.integers(len(RANGES))]

    def backward(u: Tensor, i: Tensors) -> Tensors:
        gradient, others = chain.backward(u, i["x"], i)
        return {"x": gradient, **others}

    return Kernel(
        f"{'eager' if is_eager else 'fused'} {chain.name}",
        dtype,
        {"x": (rows, columns), **{name: shape for name, (shape, _) in chain.inputs.items()}},
        {"x": low_and_high, **{name: its_range for name, (_, its_range) in chain.inputs.items()}},
        lambda i: chain.forward(i["x"], i),
        backward,
        output="float32" if ends is LOSSES else "",  # a loss is kept in float32, whatever the rest is in
    )


def _drawn(rng: np.random.Generator, shape: Shape, numbers: Iterator[int]) -> Piece:
    """Return a piece, or a sum, a product or a mixture of two."""
    piece = _one_of(rng, PIECES, shape, numbers)
    kind = rng.integers(8)
    if kind == 0 and piece.shape == shape:
        return _with_skip(piece)
    if kind == 1:
        other = _one_of(rng, PIECES, shape, numbers)
        if other.shape == piece.shape:
            return _product(piece, other)
    if kind == 2:
        other = _one_of(rng, PIECES, shape, numbers)
        if other.shape == piece.shape:
            return _mixture(piece, other, f"t{next(numbers)}")
    return piece


def _one_of(rng: np.random.Generator, makers: Sequence[Maker], shape: Shape, numbers: Iterator[int]) -> Piece:
    """Return a piece whose inputs are called as no other's."""
    made, number = makers[rng.integers(len(makers))](rng, shape), next(numbers)

    def own(i: Tensors) -> Tensors:
        return {name: i[f"{name}{number}"] for name in made.inputs}

    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        gradient, others = made.backward(u, h, own(i))
        return gradient, {f"{name}{number}": of for name, of in others.items()}

    inputs = {f"{name}{number}": given for name, given in made.inputs.items()}
    return replace(made, inputs=inputs, forward=lambda h, i: made.forward(h, own(i)), backward=backward)


def _chained(pieces: Sequence[Piece]) -> Piece:
    def states(h: Tensor, i: Tensors) -> list[Tensor]:
        made = [h]
        for piece in pieces:
            made.append(piece.forward(made[-1], i))
        return made

    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        gradients: Tensors = {}
        for piece, given in zip(reversed(pieces), reversed(states(h, i)[:-1]), strict=True):
            u, others = piece.backward(u, given, i)
            gradients |= others
        return u, gradients

    inputs = {name: given for piece in pieces for name, given in piece.inputs.items()}
    name = " > ".join(piece.name for piece in pieces)
    return Piece(name, pieces[-1].shape, inputs, lambda h, i: states(h, i)[-1], backward)


def _rounded(piece: Piece, dtype: str) -> Piece:
    def narrow(x: Tensor) -> Tensor:
        return x.to(getattr(torch, dtype)).float()

    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        gradient, others = piece.backward(u, h, i)
        return narrow(gradient), others

    return replace(piece, forward=lambda h, i: narrow(piece.forward(h, i)), backward=backward)


def _with_skip(piece: Piece) -> Piece:
    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        gradient, others = piece.backward(u, h, i)
        return u + gradient, others

    return replace(piece, name=f"(1 + {piece.name})", forward=lambda h, i: h + piece.forward(h, i), backward=backward)


def _product(one: Piece, other: Piece) -> Piece:
    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        first, of_one = one.backward(u * other.forward(h, i), h, i)
        second, of_other = other.backward(u * one.forward(h, i), h, i)
        return first + second, of_one | of_other

    name, inputs = f"({one.name} * {other.name})", {**one.inputs, **other.inputs}
    return Piece(name, one.shape, inputs, lambda h, i: one.forward(h, i) * other.forward(h, i), backward)


def _mixture(one: Piece, other: Piece, part: str) -> Piece:
    """Return a mean of two pieces whose weights are a sigmoid of an input."""

    def forward(h: Tensor, i: Tensors) -> Tensor:
        s = torch.sigmoid(i[part])
        return s * one.forward(h, i) + (1 - s) * other.forward(h, i)

    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        s = torch.sigmoid(i[part])
        first, of_one = one.backward(u * s, h, i)
        second, of_other = other.backward(u * (1 - s), h, i)
        of_part = (u * (one.forward(h, i) - other.forward(h, i))).sum() * s * (1 - s)
        return first + second, {**of_one, **of_other, part: of_part}

    inputs = {**one.inputs, **other.inputs, part: ((1,), (-1.0, 1.0))}
    return Piece(f"({one.name} or {other.name})", one.shape, inputs, forward, backward)
