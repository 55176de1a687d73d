"""What is lost where a framework casts to a narrower dtype by itself: gradients as they are beside those without casts.

The formula is audited without the casts, where forward and backward are what they mean to be. What the casts make of it
is told, and is no failure: a gradient that is a difference of large terms has few digits left.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradaudit.models.subject import FlowSubject
from gradaudit.numerics.magnitude import rms
from gradaudit.results import Result, Verdict

MEANINGLESS = 0.25
"""Share of a gradient beyond which what the casts do to it is no rounding any more."""


def narrowed(subject: FlowSubject, result: Result) -> Result:
    """Return the result of a gradient that is right without casts, with what they make of it."""
    native, exact = (gradients.get(result.input) for gradients in (subject.native, subject.gradients))
    if result.verdict is not Verdict.PASS or native is None or exact is None or native.shape != exact.shape:
        return result
    off = rms(native - exact) / (rms(exact) or np.inf)
    said = f"right without casts; with the model's casts to {subject.narrow} it is off by {off:.1%} (rms)"
    message = "; ".join(filter(None, [result.message, said]))
    if off <= MEANINGLESS or any(finding.code == "vanishing" for finding in result.findings):
        return replace(result, message=message)
    return replace(result, verdict=Verdict.INCONCLUSIVE, message=message)
