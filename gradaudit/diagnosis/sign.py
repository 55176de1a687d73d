"""The gradient with its sign flipped, or with that of its imaginary part."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradaudit.diagnosis.cause import Cause, Rule
from gradaudit.diagnosis.evidence import Evidence
from gradaudit.diagnosis.score import EXPLAINS, explained, extent
from gradaudit.results import Finding

REAL: dict[str, Rule] = {"-analytical": lambda claim: -claim.claimed}

COMPLEX: dict[str, Rule] = {
    "conj(analytical)": lambda claim: np.conj(claim.claimed),
    "-conj(analytical)": lambda claim: -np.conj(claim.claimed),
}


def sign_flipped(evidence: Evidence) -> Iterator[Cause]:
    """Numerical = -analytical, or its complex conjugate."""
    rules = REAL | (COMPLEX if np.iscomplexobj(evidence.claimed) else {})
    for what, rule in rules.items():
        predicted = rule(evidence)
        share = 0.0 if predicted is None else explained(evidence, predicted, alternatives=len(rules))
        if share >= EXPLAINS:
            message = f"numerical = {what} {extent(evidence, share)}"
            yield Cause(Finding("sign-flipped", message, {"explained": share, "formula": what}), rule)
