"""A factor that is an input, the upstream, the output, or what one of them comes to over some axes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradaudit.diagnosis.evidence import Array, Evidence
from gradaudit.diagnosis.quantities import alignments, quantities
from gradaudit.diagnosis.score import EXPLAINS, explained, extent, promising
from gradaudit.diagnosis.words import axes_in_words
from gradaudit.results import Finding

Candidate = tuple[Array, str, str, tuple[int, ...]]


def named_factor(evidence: Evidence) -> Finding | None:
    """Numerical = analytical times a known array: a gamma left out, a mask, a standard deviation."""
    probes = evidence.probes
    at_probes = tuple(evidence.places[probes].T)
    for tried, (factor, name, whole, axes) in enumerate(_candidates(evidence), start=1):
        if not promising(evidence, factor[at_probes] * evidence.claimed[probes]):
            continue
        predicted = evidence.at_places(factor) * evidence.claimed
        if (np.abs(predicted) <= evidence.slack).all():
            continue  # the true gradient is zero: no factor leads there
        share = explained(evidence, predicted, alternatives=tried)
        if share < EXPLAINS:
            continue
        numbers = {"explained": share, "factor": name, "axes": list(axes)}
        if name.partition("[")[0] == "upstream":
            message = f"numerical = analytical times {name} {extent(evidence, share)}: backward leaves the upstream out"
            return Finding("upstream-ignored", message, numbers)
        along = "" if len(axes) == evidence.analytical.ndim else f" along {axes_in_words(axes)}"
        message = f"numerical = analytical times {name}{along}, {extent(evidence, share)}"
        return Finding("factor-per-axis", message, numbers | {"input": whole})
    return None


def _candidates(evidence: Evidence) -> Iterator[Candidate]:
    with np.errstate(all="ignore"):
        for made in quantities(evidence):
            for factor, axes in alignments(made.array, evidence.analytical.shape):
                yield factor, made.name, made.whole, axes
