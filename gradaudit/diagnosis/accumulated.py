"""Gradients added to what an earlier call left behind."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradaudit.diagnosis.cause import Cause
from gradaudit.diagnosis.evidence import Array, Evidence
from gradaudit.diagnosis.score import EXPLAINS, explained
from gradaudit.results import Finding


def accumulated(evidence: Evidence) -> Iterator[Cause]:
    """Numerical = analytical less an earlier answer, or what a later call added to its answer."""
    predictions = list(_predictions(evidence))
    for what, predicted in predictions:
        share = explained(evidence, predicted, alternatives=len(predictions))
        if share >= EXPLAINS:
            message = f"numerical = {what}: backward adds to a buffer that is never cleared"
            yield Cause(Finding("accumulated", message, {"explained": share}))
            return


def _predictions(evidence: Evidence) -> list[tuple[str, Array]]:
    predictions = []
    if evidence.earlier is not None:
        left = evidence.at_places(evidence.earlier)
        predictions.append(("analytical minus the result of an earlier call", evidence.claimed - left))
    if evidence.again is not None and evidence.doubled is not None:
        again, doubled = evidence.at_places(evidence.again), evidence.at_places(evidence.doubled)
        if not np.array_equal(again, evidence.claimed):  # else nothing is added from call to call
            # The last call was given twice the upstream, so it adds twice the gradient.
            predictions.append(("the difference between two successive calls of backward", (doubled - again) / 2))
    return predictions
