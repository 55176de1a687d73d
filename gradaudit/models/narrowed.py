"""What is lost in half precision: gradients of a model as it is beside those in a wider dtype.

The formula is audited in that, where forward and backward are what they mean to be: without the casts of a framework
that casts by itself, or the whole model in a wider dtype. What half precision makes of it is told, and is no failure: a
gradient that is a difference of large terms has few digits left.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradaudit.models.subject import FlowSubject
from gradaudit.numerics.magnitude import rms
from gradaudit.results import Result, Verdict

ROUNDING = 1e-4
"""Share of a gradient up to which there is nothing to tell."""

MEANINGLESS = 0.25
"""Share of a gradient beyond which what half precision makes of it is no rounding any more."""


def narrowed(subject: FlowSubject, result: Result) -> Result:
    """Return the result of a gradient that is right in a wider dtype, with what half precision makes of it."""
    native, exact = (gradients.get(result.input) for gradients in (subject.native, subject.gradients))
    if result.verdict is not Verdict.PASS or native is None or exact is None or native.shape != exact.shape:
        return result
    off = rms(native - exact) / (rms(exact) or np.inf)
    if off <= ROUNDING:
        return result
    said = f"right {subject.narrow} it is off by {off:.1%} (rms)"
    message = "; ".join(filter(None, [result.message, said]))
    if off <= MEANINGLESS or any(finding.code == "vanishing" for finding in result.findings):
        return replace(result, message=message)
    return replace(result, verdict=Verdict.INCONCLUSIVE, message=message)
