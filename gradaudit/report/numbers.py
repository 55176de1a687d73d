"""How numbers are written in reports."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradaudit.results import MutantCounts

FULL_DIGITS = 18
"""Decimals of a value in a mismatch's headline: enough to see the last bit of a float32 near one."""


def full(value: float | complex) -> str:
    """Write a value with all its digits, a space in front of what has no sign."""
    if isinstance(value, complex):
        return f"{full(value.real)} {value.imag:+.{FULL_DIGITS}f}j"
    if value == 0.0 or 1e-4 <= abs(value) < 1e6:
        return f"{value: .{FULL_DIGITS}f}"
    return f"{value: .{FULL_DIGITS - 1}e}"


def column(value: float | complex) -> str:
    """Write a value for a column of a table."""
    return f"{value.real: .4e}{value.imag:+.4e}j" if isinstance(value, complex) else f"{value: .4e}"


def short(value: float) -> str:
    """Write a parameter such as a tolerance the way people do: 1e-4, 0.016."""
    if value == 0.0 or 1e-3 <= abs(value) < 1e6 or not math.isfinite(value):
        return f"{value:.6g}"
    mantissa, _, exponent = f"{value:.5e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def tolerance(value: float) -> str:
    """Write a tolerance at an index."""
    return f"{value:.3e}"


def percent(part: float, whole: float) -> str:
    """Write the ratio of two magnitudes as a percentage, as words where there is none."""
    if whole == 0.0:
        return "of a gradient that is zero"
    if not math.isfinite(part / whole):
        return "relative error unknown"
    ratio = 100 * part / whole
    return f"{ratio:.3g}% relative error" if ratio < 1e3 else f"{ratio / 100:.3g} times the gradient"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Write a count with its noun."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listed(names: Sequence[str], most: int = 6) -> str:
    """Write names one after the other, of many the first and how many more there are."""
    more = len(names) - most
    return ", ".join(names[: most if more > 1 else None]) + (f" and {more} more" if more > 1 else "")


def score(counts: MutantCounts) -> str:
    """Write a mutation score, rounded down: 100% means all."""
    return f"{math.floor(10 * counts.percent) / 10:.1f}%" if counts.telling else "-"


def seconds(value: float) -> str:
    """Write a duration."""
    if value < 59.995:
        return f"{value:.2f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"
