"""Surfaces that inputs may lie on: symmetric matrices, vectors of length one, sums of one, orthonormal columns.

Each array near a surface has a point on it. A function of such points is one of arrays, whose gradient is that of the
function pulled back from the point: what is normal to the surface there vanishes. Source: P.-A. Absil, R. Mahony, R.
Sepulchre, Optimization Algorithms on Matrix Manifolds, 2008, sections 3.6 and 4.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from gradaudit.numerics.arrays import Array, cast, dtype_name, has_complex_dtype, largest, namespace
from gradaudit.numerics.margins import MAX_ROUNDINGS, NEGLIGIBLE, SAFETY
from gradaudit.spec.dtypes import is_floating, spacing


@dataclass(frozen=True)
class Surface:
    """What an input may be held to.

    Attributes:
        distributions: those that draw inputs on it, the first one for a spec to name.
        said: what is on it.
        axes: how many of the last axes are one point of it.
        off: returns what is zero on it.
        onto: returns the points of it that belong to an array.
        pulled: returns the gradient with respect to an array, given that array and the gradient at its points.

    """

    distributions: tuple[str, ...]
    said: str
    axes: int
    off: Callable[[Array], Array]
    onto: Callable[[Array], Array]
    pulled: Callable[[Array, Array], Array]

    def holds(self, x: Array) -> bool:
        """Whether an input lies on it, but for rounding, and can be moved along it."""
        sizes, dtype = tuple(x.shape)[-self.axes :], dtype_name(x.dtype)
        if not is_floating(dtype) or len(sizes) < self.axes or max(sizes) < 2 or not math.prod(x.shape):
            return False
        if self is SYMMETRIC:
            return sizes[0] == sizes[1] and bool((x == adjoint(x)).all())
        rounding = max(SAFETY * spacing(dtype), MAX_ROUNDINGS * spacing("float64"))  # of numbers that add up to one
        return not has_complex_dtype(x) and largest(self.off(cast(x, "float64"))) <= rounding


def adjoint(x: Array) -> Array:
    """Return the transposes of some matrices, conjugated where they are complex."""
    xp = namespace(x)
    return xp.conj(xp.matrix_transpose(x)) if has_complex_dtype(x) else xp.matrix_transpose(x)


def _symmetric(x: Array) -> Array:
    return 0.5 * (x + adjoint(x))


def _summed(x: Array) -> Array:
    return namespace(x).sum(x, axis=-1, keepdims=True)


def _length(x: Array) -> Array:
    return namespace(x).sqrt(_summed(x * x))


def _pulled_from_sphere(x: Array, gradient: Array) -> Array:
    point = x / _length(x)
    return (gradient - point * _summed(point * gradient)) / _length(x)


def _products(x: Array) -> Array:
    """Return the products of columns, or of rows where these are fewer, less those of orthonormal ones."""
    columns = x if x.shape[-2] >= x.shape[-1] else adjoint(x)
    off = namespace(x).sum(columns * columns, axis=-2) - 1.0
    if largest(off) > NEGLIGIBLE:
        return off  # no need to multiply all of them
    return adjoint(columns) @ columns - namespace(x).eye(columns.shape[-1], dtype=x.dtype)


def _polar(x: Array) -> Array:
    u, _, v = namespace(x).linalg.svd(x, full_matrices=False)
    return u @ v


def _pulled_from_polar(x: Array, gradient: Array) -> Array:
    """Return what the polar factor p of x = p s, with a symmetric s, makes of a gradient."""
    if x.shape[-2] < x.shape[-1]:
        return adjoint(_pulled_from_polar(adjoint(x), adjoint(gradient)))
    u, s, v = namespace(x).linalg.svd(x, full_matrices=False)
    turned = gradient @ adjoint(v)
    inside = adjoint(u) @ turned
    turning = (inside - adjoint(inside)) / (s[..., :, None] + s[..., None, :])
    return (u @ turning + (turned - u @ inside) / s[..., None, :]) @ v


SYMMETRIC = Surface(
    ("symmetric", "spd"), "symmetric", 2, lambda x: x - adjoint(x), _symmetric, lambda _, gradient: _symmetric(gradient)
)
SURFACES = (
    SYMMETRIC,
    Surface(
        ("unit",),
        "of length 1 along its last axis",
        1,
        lambda x: _summed(x * x) - 1.0,
        lambda x: x / _length(x),
        _pulled_from_sphere,
    ),
    Surface(
        ("simplex",),
        "of sum 1 along its last axis",
        1,
        lambda x: _summed(x) - 1.0,
        lambda x: x - (_summed(x) - 1.0) / x.shape[-1],
        lambda _, gradient: gradient - _summed(gradient) / gradient.shape[-1],
    ),
    Surface(
        ("orthogonal", "rotation"),
        "made of orthonormal columns or rows",
        2,
        _products,
        _polar,
        _pulled_from_polar,
    ),
)
"""Smaller ones first: orthonormal rows are vectors of length one too, which may be moved in more directions."""
