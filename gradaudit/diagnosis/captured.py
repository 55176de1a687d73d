"""Answers that belong to another call: state left by an earlier forward, or an upstream that nothing is made of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradaudit.diagnosis.cause import Cause
from gradaudit.diagnosis.evidence import Evidence
from gradaudit.diagnosis.score import EXPLAINS, explained
from gradaudit.results import Finding


def captured_state(evidence: Evidence) -> Iterator[Cause]:
    """Numerical = what backward answers when forward has just been called on the same inputs."""
    if evidence.again is None:
        return
    share = explained(evidence, evidence.at_places(evidence.again))
    if share < EXPLAINS:
        return
    message = "backward is right if called again after forward: it used values saved by another forward call"
    yield Cause(Finding("captured-state", message, {"explained": share}))


def upstream_ignored(evidence: Evidence) -> Iterator[Cause]:
    """The answer stays what it is when upstream is doubled, wherever there is one, right or wrong."""
    if evidence.doubled is None or not evidence.wrong.any() or not evidence.analytical.any():
        return
    answered = (evidence.analytical != 0) | (evidence.doubled != 0)
    share = float(np.mean(evidence.doubled[answered] == evidence.analytical[answered]))
    if share >= EXPLAINS:
        message = "backward returns the same gradient for twice the upstream"
        yield Cause(Finding("upstream-ignored", message, {"explained": share}))
