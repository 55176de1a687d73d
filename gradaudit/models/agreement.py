"""Gradients of a model in its own precision beside those in double precision, element by element.

Rounding lets a few units of a large model fall on the other side of a kink, and what passes them is another gradient:
all that came from one unit of a ReLU. That is no mistake, and it strikes other units at a point nearby. So what
disagrees is looked at again there: what is wrong is so at the same elements, and by the same factor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.checks.zero import NEGLIGIBLE, negligible
from gradaudit.models.subject import FlowSubject, reversed_at
from gradaudit.numerics.arrays import in_cache
from gradaudit.numerics.magnitude import rms
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES

Array = NDArray[Any]

MOST_POINTS = 3
"""Points nearby that are looked at besides, for a training step in each precision."""

NEARBY = 2.0**-10
"""How far they are, in units of a parameter's magnitude."""

SEEN = 0.05
"""Share of a gradient's rms by which one element, or all of them at one point, are off that no kink makes of it."""

FACTOR = 5e-3
"""Common factor, less one, that all of a gradient is off by that is told from what kinks make of it."""


@dataclass
class _Beside:
    """How far one gradient is off wherever it was looked at.

    Attributes:
        within: whether all elements were within the tolerance at the point itself.
        off: by element the least that it was off by, as a share of the rms; None where all are within.
        most: the largest of them.
        shares: at each point, the rms of what it is off by, as a share of its own.
        factors: at each point, the common factor, less one, that it is off by.

    """

    within: bool
    off: Array | None
    most: float
    shares: list[float]
    factors: list[float]

    @property
    def agrees(self) -> bool:
        """Whether all elements are within the tolerance everywhere, or by no more off than kinks have them."""
        if not max(self.shares) <= SEEN:
            return False
        by_factor = min(self.factors) * max(self.factors) > 0.0 and min(map(abs, self.factors)) > FACTOR
        return self.within or (self.most <= SEEN and not by_factor)


def agreement(subject: FlowSubject, wide: Mapping[str, Array]) -> dict[str, float]:
    """Return the gradients that are the same in both precisions, with the largest share of its rms that one is off by.

    It takes no call where they agree to the tolerance of their dtype.

    Args:
        subject: the model, with its gradients in its own precision.
        wide: the gradients in double precision.

    """
    rtol = (subject.case.tolerance or DEFAULT_TOLERANCES[subject.case.dtype]).rtol
    largest = max(map(rms, wide.values()), default=0.0)
    nothing = [name for name in negligible(subject, [*wide]) if rms(wide[name]) <= NEGLIGIBLE * largest]
    found = {name: _beside(subject.gradients[name], wide[name], rtol) for name in wide if name not in nothing}
    for k in range(MOST_POINTS):
        left = [name for name, beside in found.items() if not beside.agrees]
        if not any(max(found[name].shares) <= SEEN for name in left):
            break
        arrays = {name: _moved(subject, name, k) if name in wide else each for name, each in subject.arrays.items()}
        one, other = (
            reversed_at(subject.op, each, subject.names).gradients for each in (arrays, subject.in_double(arrays))
        )
        for name in left:
            found[name] = _joined(found[name], _beside(one[name], other[name], rtol))
    return dict.fromkeys(nothing, 0.0) | {name: beside.most for name, beside in found.items() if beside.agrees}


def _beside(native: Array | None, wide: Array | None, rtol: float) -> _Beside:
    if native is None or wide is None or native.shape != wide.shape:
        return _Beside(False, None, np.inf, [np.inf], [np.inf])
    one, other, typical = native.reshape(-1), wide.reshape(-1), rms(wide)
    most, product, square, within = 0.0, 0.0, 0.0, True
    for where in in_cache(other):
        off, w = one[where] - other[where], other[where]
        product += float(np.einsum("i,i", off, w))
        square += float(np.einsum("i,i", off, off))
        np.abs(off, out=off)
        most = max(most, float(off.max()))
        within = within and bool((off <= rtol * (np.abs(w) + typical)).all())
    share = (square / other.size) ** 0.5
    if not typical:
        return _Beside(within, None, most, [0.0 if within else np.inf], [0.0])
    factor, share = product / typical / (typical * other.size), share / typical
    kept = None if within else (np.abs(one - other) / typical).astype(np.float32)
    return _Beside(within, kept, most / typical, [share], [factor])


def _joined(before: _Beside, now: _Beside) -> _Beside:
    off = now.off if before.off is None else before.off if now.off is None else np.minimum(before.off, now.off)
    most = float(off.max()) if off is not None and not now.within else now.most
    return _Beside(now.within, off, most, [*before.shares, *now.shares], [*before.factors, *now.factors])


def _moved(subject: FlowSubject, name: str, k: int) -> Array:
    """Return a parameter at a point nearby, in its own dtype."""
    x = subject.arrays[name]
    drawn = generator(subject.case, f"nearby {name} {k}").random(x.shape, np.float32) - np.float32(0.5)
    drawn *= np.float32(2 * NEARBY * (rms(x) or 1.0))
    return np.asarray(x + drawn).astype(x.dtype)
