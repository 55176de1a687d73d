"""Answers that belong to another call: state left by an earlier forward, or an upstream that nothing is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradaudit.diagnosis.cause import Cause, Elsewhere, NothingToldError
from gradaudit.diagnosis.evidence import Array, Claim, Evidence
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
    yield Cause(Finding("captured-state", message, {"explained": share}), _again)


def _again(claim: Claim) -> Array | None:
    answer = claim.answers(1)
    return None if answer is None else claim.at_places(answer)


@dataclass(frozen=True)
class Ignored(Cause):
    """An answer that does not follow the upstream: another call of backward tells, and no difference of forward."""

    def held(self, there: Elsewhere) -> Cause | None:
        """Return the cause where the answer stays the same there as well."""
        doubled = there.claim.answers(2)
        if doubled is None or not there.claim.analytical.any():
            raise NothingToldError
        return self if _share_kept(there.claim.analytical, doubled) >= EXPLAINS else None


def upstream_ignored(evidence: Evidence) -> Iterator[Cause]:
    """The answer stays what it is when upstream is doubled, wherever there is one, right or wrong."""
    if evidence.doubled is None or not evidence.wrong.any() or not evidence.analytical.any():
        return
    share = _share_kept(evidence.analytical, evidence.doubled)
    if share >= EXPLAINS:
        message = "backward returns the same gradient for twice the upstream"
        yield Ignored(Finding("upstream-ignored", message, {"explained": share}), lambda claim: claim.claimed)


def _share_kept(answer: Array, doubled: Array) -> float:
    """Return the share of the numbers that stay the same for twice the upstream, of those that are not zero in both."""
    answered = (answer != 0) | (doubled != 0)
    return float(np.mean(doubled[answered] == answer[answered]))
