"""What is known of one gradient when its witness is done: indices looked at, and what the others were tested for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gradaudit.checks.gradient.claim import Claim
from gradaudit.checks.gradient.cut import Cut, undecided
from gradaudit.checks.gradient.element import Element
from gradaudit.numerics.judging import Looks
from gradaudit.numerics.margins import MAX_UNSEEN
from gradaudit.results import Finding, Result, Verdict
from gradaudit.targets.calls import Limit

if TYPE_CHECKING:
    from gradaudit.checks.gradient.excuse import Answer
    from gradaudit.checks.gradient.suspect import Suspect

Index = tuple[int, ...]


@dataclass(frozen=True)
class Seen:
    """What is known of one gradient.

    Attributes:
        claim: the gradient.
        looks: the indices that were looked at one by one.
        method: ``exhaustive`` where these are all, ``search`` where the others were tested together.
        cleared: whether every index that was not looked at passed a test together with others.
        miss_probability: bound on the chance that a wrong one is among those; 1 where they were not cleared.
        floor: absolute error below which a wrong one may be among those; one for all, or one for each number.
        sampled: rows of ``looks`` that were drawn at random.
        kinks: indices, looked at or not, at which the op is not differentiable and the claim is one-sided.
        excused: why what is wrong is no accusation; None where it is, or where nobody asked.
        remark: what was noticed of forward on the way.
        witness: ``differences``, or ``path`` where the claim was followed along paths.
        accused: what fails for sure, though not all of its indices are known one by one.
        in_sum: whether that is a sum over many indices, each of which may be within its tolerance.
        left_open: why nothing can be said, where that is so.
        max_unseen: relative error that a pass must have been able to see at an index.
        kinked: whether forward turns at the point itself, so that the tests of many say nothing of each side.
        flat: whether forward did not change at all at the steps of the tests, though it does further away.
        cut: what ended the looks before their time; None where they came to their end.
        suspect: a root test of this and perhaps other gradients that failed, where it was not found out why.

    """

    claim: Claim
    looks: Looks
    method: Literal["exhaustive", "search"] = "exhaustive"
    cleared: bool = True
    miss_probability: float = 0.0
    floor: Any = 0.0
    sampled: tuple[int, ...] = ()
    kinks: int = 0
    flat: bool = False
    kinked: bool = False
    excused: Answer | None = None
    remark: Finding | None = None
    witness: Literal["differences", "path"] = "differences"
    accused: str = ""
    in_sum: bool = False
    left_open: str = ""
    max_unseen: float = MAX_UNSEEN
    cut: Cut | None = None
    suspect: Suspect | None = None

    @classmethod
    def nothing_of(cls, claim: Claim) -> Seen:
        """Return what is known where nothing was looked at."""
        return cls(claim, looks_of(claim, {}), method="search", cleared=False, miss_probability=1.0)

    @property
    def coarsest(self) -> float:
        """The largest floor of any number."""
        return self.floor if isinstance(self.floor, float) else float(np.max(self.floor))

    def after(self, earlier: Seen) -> Seen:
        """Return what is known after looks that were cut off, of a gradient that was looked at otherwise before."""
        if earlier.cut and not len(self.looks.places):
            return earlier
        if len(earlier.looks.places) > len(self.looks.places):
            return replace(earlier, cut=self.cut, cleared=False, miss_probability=1.0)
        return replace(self, suspect=self.suspect or earlier.suspect)

    def undecided(self, limit: Limit, why: str) -> Seen:
        """Return what was seen of a gradient that is wrong unless it is excused, which could not be found out."""
        more = "more calls would decide it"
        return replace(self, left_open=f"{why}: {undecided(limit, more)}", cut=Cut(limit, more))


def passes(audited: tuple[Result, Seen]) -> bool:
    """Whether root tests say all that there is to say: a pass, or nothing but gradients below the noise."""
    result, seen = audited
    asked, claim = seen.claim.of_formula, seen.claim
    if result.verdict is Verdict.PASS:
        coarser = asked.asked and seen.coarsest > claim.share * asked.tolerance.at(claim.typical)
        return not (coarser or seen.kinked)
    if asked.asked and seen.method == "search":
        return False
    noise = (finding.evidence["below"] for finding in result.findings if finding.code == "below-noise")
    below_noise = any(below > claim.noise_level for below in noise)
    return result.verdict is Verdict.INCONCLUSIVE and seen.cleared and below_noise and result.resolution <= MAX_UNSEEN


def looks_of(claim: Claim, seen: Mapping[Index, Element]) -> Looks:
    """Return what was seen of a claim at single indices as arrays."""
    if not seen:
        return Looks.none(claim.formula.ndim, claim.dtype)
    places = np.array(list(seen), np.intp).reshape(len(seen), claim.formula.ndim)
    return claim.looks(places, Element(*map(np.array, zip(*seen.values(), strict=True))))
