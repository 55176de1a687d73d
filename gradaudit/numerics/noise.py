"""How noisy a computed function is: its rounding, measured instead of assumed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NOISE_POINTS = 9
"""Equally spaced points that one measurement takes."""

ORDERS = (6, 7, 8)
"""Orders of difference that are taken for noise: those of a smooth function have died out there."""

DECAY = 30.0
"""Where the estimates fall by this factor from the first order to the last, they still see the function's shape."""


def noise_along_line(values: Floats) -> tuple[Floats, bool]:
    """Estimate the standard deviation of the noise in values at equally spaced points of a line.

    A difference of order k of pure noise of standard deviation s has variance ``s^2 (2k)! / (k!)^2``, while that of a
    smooth function falls as the spacing to the power k. Source: Moré and Wild, Estimating Computational Noise,
    SIAM J. Sci. Comput. 33 (2011).

    Args:
        values: of shape (points, outputs).

    Returns:
        The estimate for each output, and whether the spacing was fine enough to see nothing but noise.

    >>> noise_along_line(np.arange(9.0)[:, None] ** 3)
    (array([0.]), True)

    """
    by_order = []
    for order in ORDERS:
        differences = np.diff(values, order, axis=0)
        gamma = math.factorial(order) ** 2 / math.factorial(2 * order)
        by_order.append(gamma * np.mean(differences**2, axis=0))
    first, last = float(by_order[0].sum()), float(by_order[-1].sum())
    return np.sqrt(np.mean(by_order, axis=0)), first <= DECAY**2 * last
