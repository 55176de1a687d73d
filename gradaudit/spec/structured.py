"""Draws with a structure: symmetric, orthogonal and triangular matrices, rotations, unit vectors, probabilities.

Arithmetic is elementwise and in float64, so that a draw is the same on every machine to the last bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.spec.case import Input
from gradaudit.spec.dtypes import is_complex

Floats = NDArray[np.float64]

SQUARE = ("symmetric", "rotation", "triangular", "spd")
"""Distributions of square matrices over the last two axes; of others too where they are ``orthogonal``."""

ALONG = ("unit", "simplex", "sorted", "one_hot", "permutation")
"""Distributions along the last axis."""

WITHOUT_RANGE = ("permutation", "one_hot", "spd", "orthogonal", "rotation", "unit", "simplex")
"""Distributions whose values follow from what they are."""


def is_square(made: Input) -> bool:
    """Whether an input holds matrices that are to stay square."""
    return made.distribution in SQUARE or (made.distribution == "orthogonal" and made.shape[-1] == made.shape[-2])


def misfit(made: Input) -> str:
    """Return in words what the distribution of an input needs that its shape does not give; nothing where it fits."""
    kind, shape = made.distribution, made.shape
    if kind in ALONG and not shape:
        return f"the distribution '{kind}' needs at least one axis, found []"
    if kind in SQUARE and (len(shape) < 2 or shape[-1] != shape[-2]):
        return f"the distribution '{kind}' needs square matrices, found {list(shape)}"
    if kind == "orthogonal" and len(shape) < 2:
        return f"the distribution '{kind}' needs matrices, found {list(shape)}"
    if made.columns and shape[-1:] != (len(made.columns),):
        return f"found {len(made.columns)} ranges for the last axis of {list(shape)}"
    return ""


def uniform(made: Input, rng: np.random.Generator) -> Floats:
    """Return numbers uniform in the input's range."""
    lo, hi = made.range or (-1.0, 1.0)
    return np.asarray(np.minimum(lo + rng.random(made.shape) * (hi - lo), hi))


def symmetric(made: Input, rng: np.random.Generator) -> NDArray[Any]:
    """Return matrices that equal their adjoints exactly, with entries, or real and imaginary parts, in the range."""
    drawn = uniform(made, rng)
    below = np.tril(drawn, -1) + 1j * np.tril(uniform(made, rng), -1) if is_complex(made.dtype) else np.tril(drawn, -1)
    return np.asarray(np.tril(drawn) - np.tril(drawn, -1) + below + np.swapaxes(below, -1, -2).conj())


def triangular(made: Input, rng: np.random.Generator) -> Floats:
    """Return lower triangular matrices, whose diagonals keep half of the range's larger end away from zero."""
    drawn = np.tril(uniform(made, rng))
    lo, hi = made.range or (-1.0, 1.0)
    away = max(abs(lo), abs(hi)) / 2
    diagonal = np.abs(np.einsum("...ii->...i", drawn)) / 2 + away
    np.einsum("...ii->...i", drawn)[...] = diagonal
    return np.asarray(drawn)


def orthogonal(made: Input, rng: np.random.Generator) -> Floats:
    """Return matrices of orthonormal columns, or rows where these are fewer: as many reflections as the larger size."""
    *many, rows, columns = made.shape
    n = max(rows, columns)
    matrix = np.broadcast_to(np.eye(n), (*many, n, n)).copy()
    for _ in range(n):
        normal = rng.random((*many, n)) * 2 - 1
        length = np.maximum((normal**2).sum(-1), 1e-3)
        along = (normal[..., :, None] * matrix).sum(-2)
        matrix -= 2 * normal[..., :, None] * (along / length[..., None])[..., None, :]
    return matrix[..., :rows, :columns]


def rotation(made: Input, rng: np.random.Generator) -> Floats:
    """Return orthogonal matrices of determinant one."""
    matrix = orthogonal(made, rng)
    if made.shape[-1] % 2:
        matrix[..., 0] *= -1
    return matrix


def unit(made: Input, rng: np.random.Generator) -> Floats:
    """Return vectors of length one along the last axis."""
    drawn = rng.standard_normal(made.shape)
    return np.asarray(drawn / np.maximum(np.sqrt((drawn**2).sum(-1, keepdims=True)), 1e-6))


def simplex(made: Input, rng: np.random.Generator) -> Floats:
    """Return positive numbers that add up to one along the last axis, none of them small."""
    drawn = rng.random(made.shape) + 0.1
    return np.asarray(drawn / drawn.sum(-1, keepdims=True))


def ascending(made: Input, rng: np.random.Generator) -> Floats:
    """Return numbers in the range that ascend along the last axis."""
    return np.sort(uniform(made, rng), axis=-1)


DRAWERS: dict[str, Any] = {
    "symmetric": symmetric,
    "triangular": triangular,
    "orthogonal": orthogonal,
    "rotation": rotation,
    "unit": unit,
    "simplex": simplex,
    "sorted": ascending,
}
