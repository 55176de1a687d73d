"""A factor that is an input, the upstream, the output, or what one of them comes to over some axes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from gradaudit.diagnosis.cause import Cause
from gradaudit.diagnosis.evidence import Array, Claim, Evidence
from gradaudit.diagnosis.quantities import alignments, quantities
from gradaudit.diagnosis.score import EXPLAINS, explained, extent, promising
from gradaudit.diagnosis.words import axes_in_words
from gradaudit.results import Finding


@dataclass(frozen=True)
class Candidate:
    """An array spread to the gradient's shape.

    Attributes:
        array: the array.
        name: what it is.
        whole: the name of what it was computed from.
        axes: the axes that it runs along.
        turn: how many with this name and these axes came before.

    """

    array: Array
    name: str
    whole: str
    axes: tuple[int, ...]
    turn: int


def named_factor(evidence: Evidence) -> Iterator[Cause]:
    """Numerical = analytical times a known array: a gamma left out, a mask, a standard deviation."""
    probes = evidence.probes
    at_probes = tuple(evidence.places[probes].T)
    for tried, made in enumerate(_candidates(evidence), start=1):
        if not promising(evidence, made.array[at_probes] * evidence.claimed[probes]):
            continue
        predicted = evidence.at_places(made.array) * evidence.claimed
        if (np.abs(predicted) <= evidence.slack).all():
            continue  # the true gradient is zero: no factor leads there
        share = explained(evidence, predicted, alternatives=tried)
        if share >= EXPLAINS:
            yield Cause(_finding(evidence, made, share), partial(_times, made))


def _finding(evidence: Evidence, made: Candidate, share: float) -> Finding:
    numbers = {"explained": share, "factor": made.name, "axes": list(made.axes)}
    if made.name.partition("[")[0] == "upstream":
        message = (
            f"numerical = analytical times {made.name} {extent(evidence, share)}: backward leaves the upstream out"
        )
        return Finding("upstream-ignored", message, numbers)
    along = "" if len(made.axes) == evidence.analytical.ndim else f" along {axes_in_words(made.axes)}"
    message = f"numerical = analytical times {made.name}{along}, {extent(evidence, share)}"
    return Finding("factor-per-axis", message, numbers | {"input": made.whole})


def _times(as_in: Candidate, claim: Claim) -> Array | None:
    """Return another claim times the same array, as it is there."""
    for made in _candidates(claim):
        if (made.name, made.axes, made.turn) == (as_in.name, as_in.axes, as_in.turn):
            return claim.at_places(made.array) * claim.claimed
    return None


def _candidates(claim: Claim) -> Iterator[Candidate]:
    turns: Counter[tuple[str, tuple[int, ...]]] = Counter()
    with np.errstate(all="ignore"):
        for made in quantities(claim):
            for factor, axes in alignments(made.array, claim.analytical.shape):
                yield Candidate(factor, made.name, made.whole, axes, turns[made.name, axes])
                turns[made.name, axes] += 1
