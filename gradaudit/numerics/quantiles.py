"""Quantiles of the distributions that errors are held against.

They are taken from ``scipy.special``: to import ``scipy.stats`` takes longer than the audit of a small op, and to
import this as long as that of many small ones. A process that audits nothing itself does without.
"""

from __future__ import annotations


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
