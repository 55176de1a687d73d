"""Before an accusation: whether forward obeys the gradient theorem at the scales that were differenced.

A forward that is smooth as far as it can be seen needs no long paths: its slope over a much wider step bears the
numerical gradient out. Where that does not, the arbiter decides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.gradient.ground import Ground
from gradaudit.checks.gradient.path_claim import path_claim
from gradaudit.checks.gradient.seen import Seen
from gradaudit.numerics.arrays import has_complex_dtype
from gradaudit.numerics.path.arbiter import Ruling, arbitrate
from gradaudit.results import Finding, Result, Verdict
from gradaudit.spec.draw import generator

WIDE = 2.0**-7
"""Step, in units of an input's scale, over which a slope bears a numerical gradient out."""

BORNE_OUT = 0.1
"""Part of the mismatch by which that slope may differ from the numerical gradient: truncation at so wide a step."""

MARKED = 3e-3
"""Mismatch, relative to the gradient there or the typical one, below which a smooth forward may be an approximation."""

SLIGHT = 1e-3
"""Relative difference along long paths below which a forward that truncates smoothly looks like a wrong formula."""

Positions = NDArray[np.intp]


def arbitrated(ground: Ground, results: Mapping[str, Result], seen: Mapping[str, Seen]) -> dict[str, Seen]:
    """Return what was seen of the gradients about which there is something to say, with that.

    Args:
        ground: where forward was differenced.
        results: by input, what was made of it so far.
        seen: by input, what was seen.

    """
    accused = {
        name: mismatches
        for name, result in results.items()
        if result.verdict is Verdict.FAIL and name in seen and len((mismatches := _mismatches(seen[name]))[0])
    }
    if not accused or any(has_complex_dtype(ground.inputs[name]) for name in accused):
        return {}
    if any(_is_borne_out(ground, name, seen[name]) for name in accused):
        return {}
    claim = path_claim(ground.on_host, tuple(accused))
    ruling = arbitrate(claim, accused, generator(ground.subject.case, "arbiter"))
    finding = _finding(ruling)
    return {
        name: replace(seen[name], excused=finding if ruling.withdrawn else None, remark=finding) for name in accused
    }


def _mismatches(seen: Seen) -> tuple[Positions, NDArray[np.float64]]:
    """Return the positions of wrong indices in C order, and what is claimed there less the numerical gradient.

    Not those where only the implementation in a narrow dtype strays from its formula: that is no question to forward.
    """
    claim, looks = seen.claim, seen.looks
    judged, _, _ = claim.judged(looks)
    rows = np.flatnonzero(judged.wrong & np.isfinite(looks.claimed))
    rows = rows[~claim.strays_among(looks.places[rows])]
    shape = tuple(claim.formula.shape)
    places = np.ravel_multi_index(tuple(looks.places[rows].T), shape) if shape else np.zeros(len(rows), np.intp)
    return np.asarray(places, np.intp), np.real(looks.claimed[rows] - looks.numerical[rows])


def _is_borne_out(ground: Ground, name: str, seen: Seen) -> bool:
    """Whether the slope over a wide step says what the numerical gradient does at the index that is furthest off."""
    places, off = _mismatches(seen)
    worst = int(np.abs(off).argmax())
    index = tuple(int(k) for k in np.unravel_index(places[worst], tuple(seen.claim.formula.shape)))
    claimed = complex(seen.claim.at(index)).real
    numerical = claimed - float(off[worst])
    if abs(off[worst]) <= MARKED * max(abs(numerical), seen.claim.typical):
        return False
    x = ground.on_host.inputs[name]
    step, before = WIDE * ground.scale_at(name, index), x[index]
    outputs = []
    try:
        for side in (1.0, -1.0):
            x[index] = before + side * step
            outputs.append((float(x[index]), ground.on_host.evaluate()))
    finally:
        x[index] = before
    (above, plus), (below, minus) = outputs
    if bool((plus == minus).all()):
        return False  # a step that forward does not see bears nothing out
    slope = float(ground.on_host.upstream @ (plus - minus)) / (above - below) if above != below else math.nan
    return abs(slope - numerical) <= BORNE_OUT * abs(float(off[worst]))


def _finding(ruling: Ruling) -> Finding | None:
    evidence = {"error": ruling.forward_error, "supported": ruling.supported, "jump": ruling.jump}
    if ruling.withdrawn and ruling.code:
        return Finding(ruling.code, ruling.reason, evidence)
    if not ruling.supported <= SLIGHT:
        return None
    message = (
        f"along long paths the claim accounts for all of forward's change but {ruling.supported:.1e} of it: either the "
        "formula of backward is slightly wrong, or forward only approximates the function that it belongs to, by an "
        "iteration, a series or a step that is too coarse; the two look the same"
    )
    return Finding("approximate-forward", message, evidence)
