"""Gradients added to what an earlier call left behind."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradaudit.diagnosis.cause import Cause, Rule
from gradaudit.diagnosis.evidence import Array, Claim, Evidence
from gradaudit.diagnosis.score import EXPLAINS, explained
from gradaudit.results import Finding


def accumulated(evidence: Evidence) -> Iterator[Cause]:
    """Numerical = analytical less an earlier answer, or what a later call added to its answer."""
    predictions = list(_predictions(evidence))
    for what, predicted, rule in predictions:
        share = explained(evidence, predicted, alternatives=len(predictions))
        if share >= EXPLAINS:
            message = f"numerical = {what}: backward adds to a buffer that is never cleared"
            yield Cause(Finding("accumulated", message, {"explained": share}), rule)
            return


def _predictions(evidence: Evidence) -> list[tuple[str, Array, Rule | None]]:
    predictions: list[tuple[str, Array, Rule | None]] = []
    if evidence.earlier is not None:
        left = evidence.at_places(evidence.earlier)
        predictions.append(("analytical minus the result of an earlier call", evidence.claimed - left, None))
    if evidence.again is not None and evidence.doubled is not None:
        again, doubled = evidence.at_places(evidence.again), evidence.at_places(evidence.doubled)
        if not np.array_equal(again, evidence.claimed):  # else nothing is added from call to call
            what = "the difference between two successive calls of backward"
            predictions.append((what, _added(again, doubled), _added_there))
    return predictions


def _added(again: Array, doubled: Array) -> Array:
    """Return what a call adds: the last of two was given twice the upstream, so it adds twice the gradient."""
    return np.asarray((doubled - again) / 2)


def _added_there(claim: Claim) -> Array | None:
    again, doubled = claim.answers(1), claim.answers(2)
    return None if again is None or doubled is None else _added(claim.at_places(again), claim.at_places(doubled))
