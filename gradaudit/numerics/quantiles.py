"""Quantiles of the distributions that errors are held against.

They are taken from ``scipy.special``: to import ``scipy.stats`` takes longer than the audit of a small op, and to
import this as long as that of many small ones. A process that audits nothing itself does without.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def median(values: ArrayLike) -> float:
    """Return NumPy's median of some numbers; see ``quantile``."""
    flat = np.ravel(values)
    low, high = (flat.size - 1) // 2, flat.size // 2
    parted = np.partition(flat, (low, high, flat.size - 1))
    return float("nan") if np.isnan(parted[-1]) else float(parted[low : high + 1].mean())


def quantile(values: ArrayLike, share: float) -> float:
    """Return NumPy's quantile of some numbers, whose own function imports masked arrays and takes longer."""
    flat = np.ravel(values)
    place = share * (flat.size - 1)
    low = int(place)
    parted = np.partition(flat, (low, min(low + 1, flat.size - 1), flat.size - 1))
    if np.isnan(parted[-1]):
        return float("nan")
    part = parted.dtype.type(place - low)
    if not part:
        return float(parted[low])
    lower, upper = parted[low], parted[low + 1]
    return float(lower + (upper - lower) * part if part < 0.5 else upper - (upper - lower) * (1 - part))


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
