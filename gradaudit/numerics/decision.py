"""From estimates with bounds to verdicts: what is right, what is wrong, and what cannot be told."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.magnitude import rms

Array = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Decision:
    """What a table of estimates says about a claimed gradient, as arrays of its shape.

    Attributes:
        difference: ``|claimed - numerical|``.
        allowed: ``atol + rtol |numerical|``.
        right: where ``difference + bound <= allowed``, and these are finite.
        wrong: where ``difference - bound > allowed``.
        resolution: the least error, relative to the larger of the gradient at its index and the rms gradient, that
            would surely have been called wrong at every index; 0 where there is no index.

    """

    difference: Floats
    allowed: Floats
    right: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    resolution: float

    @property
    def undecided(self) -> NDArray[np.bool_]:
        """Where the error bound straddles the tolerance, or a value is NaN."""
        return ~self.right & ~self.wrong


def settles(claimed: float, value: float, bound: float, rtol: float, atol: float) -> bool:
    """Whether an estimate with its bound decides about a claim, one way or the other."""
    difference, allowed = abs(claimed - value), atol + rtol * abs(value)
    return is_right(difference, bound, allowed) or difference - bound > allowed


def is_right(difference: float, bound: float, allowed: float) -> bool:
    """Whether a difference is within what is allowed for sure: infinity is not within infinity."""
    return difference + bound <= allowed and math.isfinite(difference + bound)


def decide(claimed: Array, numerical: Array, bounds: Floats, rtol: float, atol: float, scale: float) -> Decision:
    """Compare a claimed gradient with estimates of the true one, index by index.

    Args:
        claimed: the gradient to judge, real or complex.
        numerical: estimates of the true one, of the same shape.
        bounds: what each estimate may be off by; infinite where nothing is known.
        rtol: relative part of the tolerance.
        atol: absolute part of the tolerance.
        scale: magnitude that a gradient of zero everywhere is measured against.

    """
    difference = np.abs(claimed - numerical)
    allowed = atol + rtol * np.abs(numerical)
    finite = np.isfinite(numerical) & np.isfinite(bounds)
    typical = rms(numerical[finite])
    if typical <= rms(bounds[finite]):  # zero, as far as can be seen
        typical = scale
    resolution = 0.0
    if claimed.size:
        magnitude = np.fmax(np.abs(numerical), typical)
        seen = np.divide(allowed + 2 * bounds, magnitude, out=np.full(claimed.shape, np.inf), where=magnitude > 0)
        resolution = float(np.nan_to_num(seen, nan=np.inf, posinf=np.inf).max())
    return Decision(
        difference=difference,
        allowed=allowed,
        right=finite & np.isfinite(difference) & (difference + bounds <= allowed),
        wrong=difference - bounds > allowed,
        resolution=resolution,
    )
