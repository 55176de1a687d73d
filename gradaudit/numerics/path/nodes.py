"""The nodes of a path: where forward and backward are called, and what is read off the values there.

A path runs over t from 0 to 1. Its nodes are those of Clenshaw and Curtis (Chebyshev-Lobatto points): the ends are
among them, so that paths laid one behind the other share calls, and the integral of the polynomial through all values
is exact to degree 8.
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DEGREE = 8
"""Of the polynomial through all values: enough for 1e-7 over a quarter of a usual input's range."""

TREND = 3
"""Degree up to which a residual is a trend; what is above is scatter."""

NODES = DEGREE + 1

TIMES: Floats = (1 - np.cos(np.pi * np.arange(NODES) / DEGREE)) / 2
"""The nodes, increasing; of shape (nodes,)."""

_POINTS = 2 * TIMES - 1

COEFFICIENTS: Floats = np.asarray(np.linalg.inv(chebyshev.chebvander(_POINTS, DEGREE)), np.float64)
"""Takes values at the nodes to Chebyshev coefficients; of shape (nodes, nodes)."""

LAST: Floats = COEFFICIENTS[-3:]
"""Takes values to the last three coefficients, which bound what the interpolation misses; of shape (3, nodes)."""

ROUGH: Floats = LAST[1:] / np.sqrt((LAST[1:] ** 2).sum(axis=1).mean())
"""Takes values to the last two, which fall fastest where they are smooth: with a mean square of one for noise."""

INTEGRALS: Floats = np.asarray(chebyshev.chebval(_POINTS, chebyshev.chebint(COEFFICIENTS, lbnd=-1)) / 2).T
"""Takes values to the integrals of their interpolant from 0 to each node; of shape (nodes, nodes)."""


def _orthonormal() -> Floats:
    basis = np.linalg.qr(np.vander(TIMES, NODES, increasing=True))[0]
    return np.asarray(basis * np.sign(basis[-1]))


TRENDS: Floats = _orthonormal()[:, : TREND + 1]
"""Polynomials of degree 0 to 3, orthonormal on the nodes and positive at the end; of shape (nodes, 4)."""

SCATTER: Floats = _orthonormal()[:, TREND + 1 :].T
"""Takes values to their scatter about such a polynomial: to its parts of higher degrees; of shape (5, nodes)."""

SCATTER_FREEDOM = NODES - TREND - 1
"""Degrees of freedom that the scatter about a trend is estimated from."""

SLOPE_ERROR = float(1 / np.sqrt(((TIMES - TIMES.mean()) ** 2).sum()))
"""Standard error of the slope of a residual, in units of its scatter: 0.89."""
