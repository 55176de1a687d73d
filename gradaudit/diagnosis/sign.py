"""The gradient with its sign flipped, or with that of its imaginary part."""

from __future__ import annotations

import numpy as np

from gradaudit.diagnosis.evidence import Evidence
from gradaudit.diagnosis.score import EXPLAINS, explained, extent
from gradaudit.results import Finding


def sign_flipped(evidence: Evidence) -> Finding | None:
    """Numerical = -analytical, or its complex conjugate."""
    predictions = {"-analytical": -evidence.claimed}
    if np.iscomplexobj(evidence.claimed):
        predictions["conj(analytical)"] = np.conj(evidence.claimed)
        predictions["-conj(analytical)"] = -np.conj(evidence.claimed)
    for what, predicted in predictions.items():
        share = explained(evidence, predicted, alternatives=len(predictions))
        if share >= EXPLAINS:
            return Finding(
                "sign-flipped",
                f"numerical = {what} {extent(evidence, share)}",
                {"explained": share, "formula": what},
            )
    return None
