"""Wrong in a part of the indices that one can describe, right elsewhere."""

from __future__ import annotations

import math

import numpy as np

from gradaudit.diagnosis.constant import constant_factor
from gradaudit.diagnosis.evidence import Evidence, Mask
from gradaudit.diagnosis.regions import Region, regions
from gradaudit.diagnosis.score import EXPLAINS
from gradaudit.diagnosis.sign import sign_flipped
from gradaudit.results import Finding

FEW = 8
"""Most wrong indices that are listed where nothing else describes them."""

SURPRISE = 3.0
"""Bits that a description must spare beside the list of the wrong places where they are but a sample."""


def wrong_subset(evidence: Evidence) -> Finding | None:
    """Right except in a region, with what holds there where that is simple."""
    right = evidence.right & evidence.telling
    if not right.any() or not evidence.wrong.any():
        return None
    best: tuple[float, Region] | None = None
    for tried, region in enumerate(regions(evidence), start=1):
        share = _share(evidence, region)
        if share < EXPLAINS or (best and share <= best[0]):
            continue
        if _information(evidence, region) > math.log2(tried) + (0.0 if evidence.complete else SURPRISE):
            best = share, region
    if best:
        return _in_region(evidence, *best)
    return _listed(evidence)


def _share(evidence: Evidence, region: Region) -> float:
    """Return the share of the wrong places inside, less the right ones inside where there is a gradient."""
    inside = int((evidence.wrong & region.mask).sum())
    spoilt = int((evidence.right & evidence.telling & region.mask).sum())
    return (inside - spoilt) / int(evidence.wrong.sum())


def _information(evidence: Evidence, region: Region) -> float:
    """Return the bits that a region spares one who lists the wrong places: all less those inside and outside of it."""
    wrong, right = evidence.wrong, evidence.right & evidence.telling
    inside = region.mask
    parts = _listing(wrong & inside, right & inside) + _listing(wrong & ~inside, right & ~inside)
    return _listing(wrong, right) - parts - region.fitted * math.log2(int(wrong.sum() + right.sum()))


def _listing(wrong: Mask, right: Mask) -> float:
    """Return the bits it takes to say which of these places are the wrong ones."""
    a, b = int(wrong.sum()), int(right.sum())
    return (math.lgamma(a + b + 1) - math.lgamma(a + 1) - math.lgamma(b + 1)) / math.log(2.0)


def _in_region(evidence: Evidence, share: float, region: Region) -> Finding:
    inside, relation = evidence.only(region.mask & evidence.wrong), ""
    if (np.abs(inside.numerical) <= inside.slack).all():
        relation = "the numerical gradient is zero"
    elif not inside.claimed.any():
        relation = "the analytical gradient is zero"
    elif found := sign_flipped(inside) or constant_factor(inside):
        relation = found.message.partition(" at ")[0]
    message = f"wrong only {region.text}" + (f"; there {relation}" if relation else "")
    if share < 1.0:
        message += f" ({share:.0%} explained)"
    return Finding("wrong-subset", message, {"explained": share, "region": region.text, "inside": relation})


def _listed(evidence: Evidence) -> Finding | None:
    wrong, right = int(evidence.wrong.sum()), int(evidence.right.sum())
    if not evidence.complete or wrong > min(FEW, right):
        return None
    listed = [tuple(int(k) for k in row) for row in evidence.places[evidence.wrong]]
    where = ", ".join(map(str, listed))
    size = evidence.analytical.size
    message = f"wrong at {where} only, {wrong} of {size:,} {'index' if size == 1 else 'indices'}"
    return Finding("wrong-subset", message, {"explained": 1.0, "indices": [list(row) for row in listed]})
