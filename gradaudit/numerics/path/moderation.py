"""Variances estimated from few numbers each, drawn towards the size that they have in common."""

from __future__ import annotations

import math

import numpy as np

from gradaudit.numerics.arrays import Array, on_host
from gradaudit.numerics.gauge import MISS_PROBABILITY
from gradaudit.numerics.margins import MAX_ATTEMPTS

MOST_FREEDOM = 1 / MISS_PROBABILITY


def moderated(variances: Array, freedom: float) -> tuple[Array, float]:
    """Return variances drawn towards their common size, and the degrees of freedom that they then have.

    Each is estimated from few numbers, but there are many of them, and their spread shows how much they really differ:
    empirical Bayes with a scaled inverse chi-square prior (Smyth 2004).

    Args:
        variances: estimates, a vector.
        freedom: degrees of freedom of each.

    """
    from scipy import special  # as in gradaudit.numerics.quantiles

    host = on_host(variances[variances > 0])
    if host.size < MAX_ATTEMPTS:
        return variances, freedom
    logs = np.log(host) - special.digamma(freedom / 2) + math.log(freedom / 2)
    excess = float(logs.var(ddof=1)) - float(special.polygamma(1, freedom / 2))
    prior = 2 * _trigamma_inverse(excess) if excess > 0 else MOST_FREEDOM
    centre = math.exp(float(logs.mean()) + float(special.digamma(prior / 2)) - math.log(prior / 2))
    return (prior * centre + freedom * variances) / (prior + freedom), freedom + prior


def _trigamma_inverse(value: float) -> float:
    """Return x with trigamma(x) = value, by Newton's method."""
    from scipy import special

    if value > 1e7:
        return 1 / math.sqrt(value)
    if value < 2 / MOST_FREEDOM:
        return MOST_FREEDOM / 2
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(special.polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(special.polygamma(2, x))
        x += step
        if abs(step) < 1e-8 * x:
            break
    return x
