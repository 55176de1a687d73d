"""Quantiles of the distributions that errors are held against, and variances drawn towards what they have in common.

They are taken from ``scipy.special``: to import ``scipy.stats`` takes longer than the audit of a small op, and to
import this as long as that of many small ones. A process that audits nothing itself does without.
"""

from __future__ import annotations

import math

import numpy as np

from gradaudit.numerics.arrays import Array, on_host
from gradaudit.numerics.gauge import MISS_PROBABILITY
from gradaudit.numerics.margins import MAX_ATTEMPTS

MOST_FREEDOM = 1 / MISS_PROBABILITY


def student_quantile(chance: float, freedom: float) -> float:
    """Return what a number of Student's t distribution exceeds with this chance.

    Args:
        chance: between 0 and 1.
        freedom: its degrees of freedom; NaN gives NaN.

    """
    from scipy import special

    return -float(special.stdtrit(freedom, chance))


def fisher_quantile(chance: float, first: float, second: float) -> float:
    """Return what a number of Fisher's F distribution exceeds with this chance.

    Args:
        chance: between 0 and 1; below 1e-16 the quantile is infinite.
        first: degrees of freedom of its numerator.
        second: those of its denominator; NaN gives NaN.

    """
    from scipy import special

    return float(special.fdtri(first, second, 1.0 - chance))


def moderated(variances: Array, freedom: float) -> tuple[Array, float]:
    """Return variances drawn towards their common size, and the degrees of freedom that they then have.

    Each is estimated from few numbers, but there are many of them, and their spread shows how much they really differ:
    empirical Bayes with a scaled inverse chi-square prior (Smyth 2004).

    Args:
        variances: estimates, a vector.
        freedom: degrees of freedom of each.

    """
    from scipy import special

    host = on_host(variances[variances > 0])
    if host.size < MAX_ATTEMPTS:
        return variances, freedom
    logs = np.log(host) - special.digamma(freedom / 2) + math.log(freedom / 2)
    excess = float(logs.var(ddof=1)) - float(special.polygamma(1, freedom / 2))
    prior = min(2 * _trigamma_inverse(excess), MOST_FREEDOM) if excess > 0 else MOST_FREEDOM
    centre = math.exp(float(logs.mean()) + float(special.digamma(prior / 2)) - math.log(prior / 2))
    return (prior * centre + freedom * variances) / (prior + freedom), freedom + prior


def _trigamma_inverse(value: float) -> float:
    """Return x with trigamma(x) = value, by Newton's method."""
    from scipy import special

    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(special.polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(special.polygamma(2, x))
        x += step
        if abs(step) < 1e-8 * x:
            break
    return x
