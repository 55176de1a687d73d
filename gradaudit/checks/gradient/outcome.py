"""What is said of an input once its gradient has been compared: the common end of looking and searching."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from gradaudit.checks.gradient.ground import Ground
from gradaudit.numerics.arrays import all_finite, count, has_complex_dtype, namespace
from gradaudit.numerics.magnitude import rms
from gradaudit.results import MAX_MISMATCHES, Finding, Mismatch, Result, Verdict
from gradaudit.spec.case import Case, Tolerance
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES, NATIVE_TOLERANCES, spacing

Array = NDArray[Any]

VANISHING = 1e-5
"""Where the gradient is this small beside what upstream, outputs and inputs suggest, it has cancelled."""


def blank_result(case: Case, name: str, message: str = "") -> Result:
    """Return the result of an input that nothing is known of yet."""
    size = next((math.prod(made.shape) for made in case.inputs if made.name == name), 0)
    location = f"{case.location.file}:{case.location.line}"
    return Result(
        case.op, case.module, case.name, case.dtype, name, Verdict.ERROR, size=size, message=message, location=location
    )


def tolerance_in_force(case: Case, ground: Ground, typical: float) -> Tolerance:
    """Return the spec's tolerance, else the dtype's default, else what differences in forward's own dtype can decide.

    Args:
        case: the case.
        ground: where forward is differenced.
        typical: rms of the gradient, which the absolute part of native tolerances is relative to.

    """
    if case.tolerance is not None:
        return case.tolerance
    if ground.generic:
        return DEFAULT_TOLERANCES[case.dtype]
    native = NATIVE_TOLERANCES[ground.dtype]
    own = DEFAULT_TOLERANCES[case.dtype] if spacing(case.dtype) > spacing(ground.dtype) else Tolerance(0.0, 0.0)
    return Tolerance(max(native.rtol, own.rtol), max(native.atol * typical, own.atol))


def natural_scale(ground: Ground, name: str) -> float:
    """Return the magnitude that a gradient has where nothing cancels: upstream times outputs over inputs.

    An output without elements has no scale at all: beside infinity no error is seen, and there can be none.
    """
    if not count(ground.outputs):
        return math.inf
    slope = rms(ground.outputs) / (rms(ground.inputs[name]) or 1.0)
    return rms(ground.upstream) * (slope or 1.0)  # outputs that are all zero say nothing of it


def ranked(mismatches: list[Mismatch]) -> tuple[Mismatch, ...]:
    """Return mismatches by how many times the tolerance they are, worst first, as many as a result carries."""

    def excess(mismatch: Mismatch) -> float:
        if math.isnan(mismatch.difference) or mismatch.tolerance == 0.0:
            return -math.inf
        return -mismatch.difference / mismatch.tolerance

    return tuple(sorted(mismatches, key=excess)[:MAX_MISMATCHES])


def worst_ratio(difference: Array, allowed: Array) -> float:
    """Return the largest ratio of a difference to the tolerance at its index, NaN where there is none to be had."""
    xp = namespace(difference)
    known = xp.isfinite(difference) & ((allowed > 0) | (difference == 0))
    ratios = xp.where(known & (allowed > 0), difference, 0.0) / xp.where(allowed > 0, allowed, 1.0)
    known &= xp.isfinite(ratios)
    return float(xp.where(known, ratios, 0.0).max()) if known.any() else math.nan


def with_ground(message: str, ground: Ground) -> str:
    """Add to a message that forward could not be differenced in float64, where that is so."""
    if ground.generic:
        return message
    return added(message, f"differenced in {ground.dtype}: forward does not compute in float64")


def added(message: str, said: str) -> str:
    """Add something else that is to be said to a message."""
    return f"{message}; {said}" if message else said


def zero_note(claimed: Array) -> str:
    """Return what is said of a gradient that is rightly zero, as that of an input is which forward does not use."""
    if not count(claimed) or claimed.any():
        return ""
    return "its gradient is zero at every index: here no output depends on it"


def place_findings(x: Array, kinks: Array, jumps: Array, outside: Array) -> list[Finding]:
    """Return findings for indices of an input at which forward is not smooth, given as rows of indices."""
    return [
        Finding(code, _PLACES[code].format(n=_indices(places), where=_first(places)), _evidence(x, places))
        for code, places in (("kink", kinks), ("discontinuity", jumps), ("out-of-domain", outside))
        if len(places)
    ]


VALUES = 16
"""Different values of an input, at indices where forward is not smooth, that a finding tells of."""

_PLACES = {
    "kink": "the op is not differentiable at {n}, the first {where}; claims were held against one-sided derivatives",
    "discontinuity": "forward jumps at {n}, the first {where}; there is no gradient to compare with",
    "out-of-domain": "forward is not finite around {n}, the first {where}; keep inputs inside its domain",
}


def _indices(places: Array) -> str:
    return f"{len(places):,} {'index' if len(places) == 1 else 'indices'}"


def _first(places: Array) -> tuple[int, ...]:
    return tuple(int(k) for k in places[0])


def _evidence(x: Array, places: Array) -> dict[str, Any]:
    # One by one: on a device the whole of x is far away.
    values = set() if has_complex_dtype(x) else {float(x[tuple(place)]) for place in places.tolist()}
    return {"count": len(places), "index": list(_first(places)), "values": sorted(values)[:VALUES]}


def upstream_finding(case: Case, name: str, typical: float, scale: float) -> list[Finding]:
    """Return a finding where the spec's upstream makes the true gradient vanish, so that agreement means nothing."""
    if (isinstance(case.upstream, str) and case.upstream == "random") or typical > VANISHING * scale:
        return []
    message = (
        f"with this upstream the true gradient of {name} vanishes (rms {typical:.1e}, where {scale:.1e} is natural): "
        "agreement or disagreement means nothing; use a random upstream"
    )
    return [Finding("degenerate-upstream", message, {"rms": typical, "natural": scale})]


def noise_finding(ground: Ground, name: str, undecided: int, visible: float) -> list[Finding]:
    """Return a finding where undecided indices are the fault of rounding in forward."""
    if not undecided:
        return []
    seen = (
        f"an error above {visible:.1e} would have been found" if math.isfinite(visible) else "no error would be found"
    )
    message = (
        f"rounding in forward ({ground.dtype}) exceeds the difference looked for at {undecided:,} indices of {name}: "
        f"what mismatch is seen there is not evidence; {seen}"
    )
    return [Finding("noise-dominated", message, {"undecided": undecided, "visible": visible})]


def precision_finding(name: str, dtype: str, lost: int, size: int, largest: float) -> Finding:
    """Return the finding that a formula is right and its implementation in the op's dtype is not."""
    message = (
        f"backward's formula for {name} is right in float64 and wrong in {dtype} at {lost:,} of {size:,} indices, "
        f"by up to {largest:.2e}: cancellation, overflow or underflow"
    )
    return Finding("precision-loss", message, {"count": lost, "largest": largest})


def nonzero_rms(values: Array) -> float:
    """Return the rms of the finite values."""
    return rms(values if all_finite(values) else values[namespace(values).isfinite(values)])
