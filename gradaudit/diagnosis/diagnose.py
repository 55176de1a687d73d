"""The causes that are tried, the simplest first, and the ranking of those that explain a mismatch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice

import numpy as np

from gradaudit.diagnosis.accumulated import accumulated
from gradaudit.diagnosis.axis_factor import factor_per_axis
from gradaudit.diagnosis.captured import captured_state, upstream_ignored
from gradaudit.diagnosis.cause import Cause, Elsewhere, SpentError, best_first, confirmed
from gradaudit.diagnosis.conjugate import conjugate_missing
from gradaudit.diagnosis.constant import constant_factor
from gradaudit.diagnosis.constant_along import constant_along
from gradaudit.diagnosis.evidence import Evidence
from gradaudit.diagnosis.missing_term import missing_term
from gradaudit.diagnosis.named_factor import named_factor
from gradaudit.diagnosis.shifted import shifted
from gradaudit.diagnosis.sign import sign_flipped
from gradaudit.diagnosis.straight_through import straight_through
from gradaudit.diagnosis.subset import wrong_subset
from gradaudit.diagnosis.transposed import transposed
from gradaudit.results import Finding

HYPOTHESES: tuple[Callable[[Evidence], Iterator[Cause]], ...] = (
    upstream_ignored,
    captured_state,
    accumulated,
    straight_through,
    sign_flipped,
    conjugate_missing,
    constant_factor,
    transposed,
    shifted,
    named_factor,
    missing_term,
    wrong_subset,
    factor_per_axis,
    constant_along,
)
"""What may be the matter, the simplest first: of two that explain the same, the first is named."""

LISTED = 3
"""Most other inputs that a message names."""


MOST_TRIED = 6
"""Candidates of one kind that are held against other points."""


def diagnose(evidence: Evidence, points: Iterable[Elsewhere] | None = None) -> list[Finding]:
    """Return what ``likely_causes`` says of a mismatch."""
    return [cause.finding for cause in likely_causes(evidence, points)]


def likely_causes(evidence: Evidence, points: Iterable[Elsewhere] | None = None) -> list[Cause]:
    """Return the likely causes of a mismatch, what explains most first; none where no simple cause does.

    A cause is named only where it explains more than every simpler one does, and holds at other points as well.

    Args:
        evidence: the mismatch.
        points: other points of the op; each can be asked again and again. None where nobody is to be asked.

    """
    known = np.isfinite(evidence.numerical) & np.isfinite(evidence.bounds)
    evidence = evidence.only(known)
    if not len(evidence.places):  # at a kink several gradients are right, and none is the numerical one
        return []
    found: list[Cause] = []
    with np.errstate(all="ignore"), suppress(SpentError):
        for hypothesis in HYPOTHESES:
            least = max((simpler.explained for simpler in found), default=0.0)
            if least == 1.0:
                break
            candidates = (made for made in best_first(hypothesis(evidence)) if made.explained > least)
            held = (confirmed(made, points) for made in islice(candidates, MOST_TRIED))
            found += islice(filter(None, held), 1)
    by_share = sorted(found, key=lambda cause: -cause.explained)
    return [replace(cause, finding=_with_others(cause.finding, evidence)) for cause in by_share]


def _with_others(cause: Finding, evidence: Evidence) -> Finding:
    """Add which other inputs are right or wrong: it tells an input's own formula from what all of them share."""
    others = {"wrong_inputs": list(evidence.wrong_inputs), "right_inputs": list(evidence.right_inputs)}
    numbers = {**cause.evidence, **{key: names for key, names in others.items() if names}}
    said = ""
    if evidence.right_inputs and not evidence.wrong_inputs:
        right = evidence.right_inputs
        said = f"; {right[0]} is right" if len(right) == 1 else f"; {' and '.join(right)} are right"
        said = said if len(right) <= LISTED else f"; the other {len(right)} inputs are right"
    return replace(cause, message=cause.message + said, evidence=numbers)
