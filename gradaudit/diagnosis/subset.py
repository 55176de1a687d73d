"""Wrong in a part of the indices that one can describe, right elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gradaudit.diagnosis.cause import Cause, Elsewhere, NothingToldError, Rule, met_at_most
from gradaudit.diagnosis.constant import constant_factor
from gradaudit.diagnosis.evidence import Array, Claim, Evidence, Mask
from gradaudit.diagnosis.regions import Region, regions
from gradaudit.diagnosis.score import EXPLAINS
from gradaudit.diagnosis.sign import sign_flipped
from gradaudit.results import Finding

FEW = 8
"""Most wrong indices that are listed where nothing else describes them."""

SURPRISE = 3.0
"""Bits that a description must spare beside the list of the wrong places where they are but a sample."""

APART = 4.0
"""How many times as wrong, in units of the tolerance, most of what is inside of a region must be as what is outside."""

MOST = 0.1
"""Share of the places that may be exceptions to that."""

SINGLE = 2
"""Places inside that are looked at one by one where nothing is known of what holds there."""


NOTHING_CLAIMED = "the analytical gradient is zero"


@dataclass(frozen=True)
class WrongRegion(Cause):
    """A region that holds what is wrong, with what is right inside of it where that is simple.

    Attributes:
        region: the region.
        relation: what holds inside, in words.
        inside: the same as a rule; None where nothing simple does.

    """

    region: Region | None = None
    relation: str = ""
    inside: Rule | None = None

    def held(self, there: Elsewhere) -> Cause | None:
        """Return the cause where the claim is right outside, and wrong inside; less what does not hold inside."""
        assert self.region is not None
        claim = there.claim
        mask = self.region.of(claim)
        if mask is None:
            raise NothingToldError
        threshold = self.region.threshold
        sure = np.ones(len(mask), bool) if threshold is None or threshold.known else ~threshold.unsure(claim)
        finite = np.isfinite(claim.claimed)
        outside, inside = ~mask & sure & finite, mask & sure & finite
        if outside.any() and not self._is_right(there, outside):
            return None
        if not inside.any():
            raise NothingToldError
        if not there.slope(inside).off(claim.claimed):
            if np.any(claim.claimed[inside]):
                return None
            raise NothingToldError
        held = self._with_what_holds_inside(there, inside)
        if held is None or threshold is None:
            return held
        return replace(held, region=replace(self.region, threshold=threshold.tightened(claim))).said()

    def _is_right(self, there: Elsewhere, outside: Mask) -> bool:
        if self.explained < 1.0:
            return met_at_most(there, np.where(outside, there.claim.claimed, np.nan))
        return not there.slope(outside).off(there.claim.claimed)

    def _with_what_holds_inside(self, there: Elsewhere, inside: Mask) -> WrongRegion | None:
        claimed = there.claim.claimed
        predicted = self.inside(there.claim) if self.inside else None
        if self.relation == NOTHING_CLAIMED and not claimed[inside].any():
            return self
        if predicted is not None and not there.slope(inside).off(predicted):
            return self
        size = np.where(inside, np.abs(claimed), -1.0)
        for place in np.argsort(-size, kind="stable")[: min(SINGLE, int(inside.sum()))]:
            if size[place] and not there.slope(np.arange(len(size)) == place).off(claimed):
                return None
        return replace(self, relation="", inside=None).said()

    def said(self) -> WrongRegion:
        """Return the cause with a finding that says what is known by now."""
        assert self.region is not None
        message = f"wrong only {self.region.text}{self.region.threshold or ''}"
        message += f"; in that region {self.relation}" if self.relation else ""
        if self.explained < 1.0:
            message += f" ({self.explained:.0%} explained)"
        numbers = {"explained": self.explained, "region": self.region.text, "inside": self.relation}
        return replace(self, finding=Finding("wrong-subset", message, numbers))


def wrong_subset(evidence: Evidence) -> Iterator[Cause]:
    """Right except in a region, with what holds there where that is simple."""
    right = evidence.right & evidence.telling
    if not right.any() or not evidence.wrong.any():
        return
    if _are_apart(evidence, right):
        for tried, region in enumerate(regions(evidence), start=1):
            mask = region.of(evidence)
            share = 0.0 if mask is None else _share(evidence, mask)
            if mask is None or share < EXPLAINS:
                continue
            enough = math.log2(tried) + (0.0 if evidence.complete else SURPRISE)
            if _information(evidence, mask, region.fitted) > enough:
                yield _in_region(evidence, share, region, mask)
    yield from _listed(evidence)


def _are_apart(evidence: Evidence, right: Mask) -> bool:
    """Whether the wrong places are others than the right ones, and not those that tolerance alone lets pass."""
    off = evidence.mismatch / evidence.allowed
    surely = np.maximum(evidence.mismatch - evidence.bounds, 0.0) / evidence.allowed
    most_right = float(np.quantile(surely[right], 1.0 - MOST))
    return float(np.quantile(off[evidence.wrong], MOST)) >= APART * most_right


def _share(evidence: Evidence, mask: Mask) -> float:
    """Return the share of the wrong places inside, less the right ones inside where there is a gradient."""
    inside = int((evidence.wrong & mask).sum())
    spoilt = int((evidence.right & evidence.telling & mask).sum())
    return (inside - spoilt) / int(evidence.wrong.sum())


def _information(evidence: Evidence, inside: Mask, fitted: int) -> float:
    """Return the bits that a region spares one who lists the wrong places: all less those inside and outside of it."""
    wrong, right = evidence.wrong, evidence.right & evidence.telling
    parts = _listing(wrong & inside, right & inside) + _listing(wrong & ~inside, right & ~inside)
    return _listing(wrong, right) - parts - fitted * math.log2(int(wrong.sum() + right.sum()))


def _listing(wrong: Mask, right: Mask) -> float:
    """Return the bits it takes to say which of these places are the wrong ones."""
    a, b = int(wrong.sum()), int(right.sum())
    return (math.lgamma(a + b + 1) - math.lgamma(a + 1) - math.lgamma(b + 1)) / math.log(2.0)


def _in_region(evidence: Evidence, share: float, region: Region, mask: Mask) -> WrongRegion:
    relation, rule = _relation(evidence.only(mask & evidence.wrong))
    finding = Finding("wrong-subset", "", {"explained": share})
    made = WrongRegion(finding, lambda claim: claim.claimed, region, relation, rule)
    return made.said()


def _relation(inside: Evidence) -> tuple[str, Rule | None]:
    """Return what holds at all of these places, in words and as a rule."""
    if (np.abs(inside.numerical) <= inside.slack).all():
        return "the numerical gradient is zero", _zero
    if not inside.claimed.any():
        return NOTHING_CLAIMED, None
    for found in (*sign_flipped(inside), *constant_factor(inside)):
        return found.finding.message.partition(" at ")[0], found.rule
    return "", None


def _zero(claim: Claim) -> Array:
    return np.zeros_like(claim.claimed)


def _listed(evidence: Evidence) -> Iterator[Cause]:
    wrong, right = int(evidence.wrong.sum()), int(evidence.right.sum())
    if not evidence.complete or wrong > min(FEW, right):
        return
    listed = [tuple(int(k) for k in row) for row in evidence.places[evidence.wrong]]
    where = ", ".join(map(str, listed))
    size = evidence.analytical.size
    message = f"wrong at {where} only, {wrong} of {size:,} {'index' if size == 1 else 'indices'}"
    yield Cause(Finding("wrong-subset", message, {"explained": 1.0, "indices": [list(row) for row in listed]}))
