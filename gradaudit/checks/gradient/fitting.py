"""The decision about one input, by a tolerance that fits it where nobody asked for another.

A dtype's default is made for gradients around one out of a forward that rounds to that dtype. A gradient that is
smaller by orders of magnitude disappears in its absolute part, and a forward that cancels is not heard to its digits.
Neither is the op's fault: an op passes at a tolerance that differs from the default where errors much smaller than its
gradient would still have been seen. No op is called wrong by such a tolerance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gradaudit.checks.gradient import outcome
from gradaudit.checks.gradient.exhaustive import Array, Table
from gradaudit.checks.gradient.ground import Ground
from gradaudit.numerics.decision import Decision, decide
from gradaudit.spec.case import Case, Tolerance
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES

WORTHLESS = 0.05
"""A pass that would have let a relative error of this size go unseen is no pass."""

COARSEST = 1e-3
"""Likewise where the tolerance is coarser than the default: what native differences are asked for in float32."""

LEAST_ATOL = 1e-280
"""Below it, products and quotients of tolerances leave the range of doubles."""

HEARD = 2.0
"""Error bounds that a coarser tolerance allows: as much again as the bound, for a difference within it."""


Claim = Callable[[Tolerance], tuple[Array, int]]
"""Returns for a tolerance the claimed gradient in double precision, and at how many indices rounding was set right."""

Estimate = Callable[[Array, Tolerance], Table]
"""Returns estimates good enough to decide about a claimed gradient by a tolerance, where they can be had."""


@dataclass(frozen=True)
class Fitted:
    """A table with the tolerance that it was decided by.

    Attributes:
        claimed: the gradient that was judged, in double precision, without what its dtype cannot help.
        rounded: at how many indices that is not what backward gave.
        table: the estimates.
        tolerance: the one in force.
        made: what follows.
        typical: rms of the estimates.
        scale: magnitude that a gradient has where nothing cancels.
        note: how the tolerance came about, where nobody would expect it.

    """

    claimed: Array
    rounded: int
    table: Table
    tolerance: Tolerance
    made: Decision
    typical: float
    scale: float
    note: str = ""


def fitted(case: Case, ground: Ground, name: str, claim: Claim, estimate: Estimate) -> Fitted:
    """Decide about an input's gradient.

    Args:
        case: the case.
        ground: where its forward is differenced.
        name: the input.
        claim: returns its gradient.
        estimate: returns estimates of it.

    Raises:
        OpError: where forward gives nothing usable.

    """
    asked = case.tolerance or DEFAULT_TOLERANCES[case.dtype]
    claimed, rounded = claim(asked)
    table = estimate(claimed, asked)
    tolerance = outcome.tolerance_in_force(case, ground, outcome.nonzero_rms(table.numerical))
    first = _by(tolerance, table, ground, name, claimed, rounded)
    if case.tolerance is not None or case.step is not None or not ground.generic:
        return first
    closer = _finer(first, ground, name, claim, estimate)
    if closer is not None and _passes(closer, WORTHLESS):
        return closer
    coarser = _coarser(closer or first, ground, name)
    return coarser if coarser is not None and _passes(coarser, COARSEST) else first


def _passes(found: Fitted, worthless: float) -> bool:
    return bool(found.made.right.all()) and found.made.resolution <= worthless


def finer(tolerance: Tolerance, typical: float) -> Tolerance | None:
    """Return a tolerance whose absolute part is as small beside a gradient as it was beside one of one."""
    atol = tolerance.atol * typical
    return Tolerance(tolerance.rtol, atol) if typical < 1.0 and atol > LEAST_ATOL else None


def finer_note(tolerance: Tolerance) -> str:
    """Return what is said of a gradient that was decided by a finer tolerance than the default."""
    return f"the gradient is small: decided with atol={tolerance.atol:.1e}"


def _by(
    tolerance: Tolerance, table: Table, ground: Ground, name: str, claimed: Array, rounded: int, note: str = ""
) -> Fitted:
    scale = outcome.natural_scale(ground, name)
    made = decide(claimed, table.numerical, table.bounds, tolerance.rtol, tolerance.atol, scale)
    typical = outcome.nonzero_rms(table.numerical)
    return Fitted(claimed, rounded, table, tolerance, made, typical, scale, note)


def _finer(first: Fitted, ground: Ground, name: str, claim: Claim, estimate: Estimate) -> Fitted | None:
    tolerance = finer(first.tolerance, first.typical)
    if tolerance is None or not (first.made.right.all() and first.made.resolution > WORTHLESS):
        return None
    claimed, rounded = claim(tolerance)
    return _by(tolerance, estimate(claimed, tolerance), ground, name, claimed, rounded, finer_note(tolerance))


def _coarser(first: Fitted, ground: Ground, name: str) -> Fitted | None:
    """Return the decision by an absolute part that can be heard over rounding in forward, if nothing else is heard."""
    made, bounds = first.made, first.table.bounds
    noisy = made.undecided
    if not noisy.any() or made.wrong.any() or not (made.difference <= bounds)[noisy].all():
        return None
    atol = HEARD * float(bounds[noisy].max())
    note = f"decided with atol={atol:.1e}, as rounding in forward leaves {int(noisy.sum())} indices no finer"
    return _by(Tolerance(first.tolerance.rtol, atol), first.table, ground, name, first.claimed, first.rounded, note)
