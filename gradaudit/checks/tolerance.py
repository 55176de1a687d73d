"""Whether a tolerance fits what is compared: it may admit errors easily seen, or ask for what cannot be had."""

from __future__ import annotations

import math
from collections.abc import Callable

from gradaudit.numerics.arrays import Array, cast, count
from gradaudit.numerics.margins import MAX_UNSEEN, SAFETY
from gradaudit.results import Finding
from gradaudit.spec.case import Case, Tolerance
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES, spacing

ROUNDED = math.sqrt(spacing("float64"))
"""What a number may exceed another by that it is meant to be."""


def tolerance_too_loose(
    case: Case, name: str, tolerance: Tolerance, errors: Callable[[], Array], numerical: Array, typical: float
) -> list[Finding]:
    """Return a finding where a spec's tolerance passes an error that this precision could have caught.

    Only one that is looser than its dtype's default is judged, and one whose absolute part dominates the gradient, of
    this rms. What each index is off by at most holds its bound.
    """
    default = DEFAULT_TOLERANCES[case.dtype]
    looser = tolerance.rtol > default.rtol or tolerance.atol > default.atol
    if not count(numerical) or not (looser or tolerance.atol > MAX_UNSEEN * typical):
        return []
    magnitude, off = cast(abs(numerical), "float64"), errors()
    share = float((off / (tolerance.atol + tolerance.rtol * magnitude)).max())
    rtol = max(rounded_up(share * tolerance.rtol), min(default.rtol, tolerance.rtol))
    least = spacing(case.dtype) * typical if tolerance.atol > MAX_UNSEEN * typical else default.atol
    atol = min(max(rounded_up(float((off - rtol * magnitude).max())), rounded_up(least)), tolerance.atol)
    if tolerance.rtol <= SAFETY * rtol and tolerance.atol <= SAFETY * atol:
        return []
    admitted = tolerance.at(typical) / typical if typical else math.inf
    message = (
        f"the tolerance of {name} (rtol={tolerance.rtol:g}, atol={tolerance.atol:g}) passes errors of {admitted:.2%} "
        f"of a typical gradient; rtol={rtol:g}, atol={atol:g} passes too"
    )
    evidence = {"rtol": rtol, "atol": atol, "admitted": admitted, "used": share}
    return [Finding("tolerance-too-loose", message, evidence)]


def tolerance_too_tight(
    case: Case, name: str, tolerance: Tolerance, typical: float, undecided: int, visible: float
) -> list[Finding]:
    """Return a finding where a spec's tolerance asks for more than can be represented, or than can be decided.

    ``visible`` is what would decide about all that are undecided.
    """
    roundoff, default = spacing(case.dtype) / 2, DEFAULT_TOLERANCES[case.dtype]
    asked = f"the tolerance of {name} (rtol={tolerance.rtol:g}, atol={tolerance.atol:g})"
    if tolerance.rtol < roundoff and tolerance.atol < roundoff * typical:
        message = f"{asked} asks for more than {case.dtype} can represent: its roundoff is {roundoff:.1e}"
        return [Finding("tolerance-too-tight", message, {"roundoff": roundoff, "typical": typical})]
    if undecided and tolerance.at(typical) < visible <= default.at(typical):
        message = (
            f"{asked} is tighter than differences of forward can decide, at {undecided:,} indices: they need "
            f"{visible:.1e}, which {case.dtype}'s default (rtol={default.rtol:g}, atol={default.atol:g}) allows"
        )
        return [Finding("tolerance-too-tight", message, {"undecided": undecided, "visible": visible})]
    return []


def rounded_up(value: float) -> float:
    """Return the least of 1, 2 and 5 times a power of ten that is not below a value; 0 for 0."""
    if value <= 0.0 or not math.isfinite(value):
        return max(value, 0.0)
    power = math.floor(math.log10(value))
    return next(float(f"{m}e{power}") for m in (1, 2, 5, 10, 20) if float(f"{m}e{power}") >= value * (1 - ROUNDED))
