"""Every index of a gradient, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.gradient.claim import Claim
from gradaudit.checks.gradient.cut import Cut, more_of_a_table
from gradaudit.checks.gradient.element import Element, look_at
from gradaudit.checks.gradient.seen import Seen
from gradaudit.checks.gradient.several_points import answers_as_before, together
from gradaudit.numerics.loss import Loss
from gradaudit.numerics.margins import MAX_LISTED, SMALL_SAMPLE
from gradaudit.spec.draw import generator
from gradaudit.targets.calls import AN_INDEX, Calls, LimitReachedError

AT_ODDS = "called for one point at a time: outputs of forward for several points at once differ from those for each"
"""What is said of an op that claims to evaluate several points at once and does it otherwise."""


def look_everywhere(claim: Claim, *, stacked: bool = True) -> Seen:
    """Look at every index; at those that do not pass again, with what rounding must cost there.

    Where calls or time run out, what was looked at by then is told. Where forward gives something else at the point
    than it did, because it was tried at several points in one call, all is looked at again one point at a time.

    Raises:
        OpError: where forward gives nothing usable.

    """
    point = claim.point.on_host
    case, x = point.subject.case, point.inputs[claim.name]
    many = together(point, claim.name)
    many = many if many and (many.promised or (stacked and claim.size > MAX_LISTED)) else None
    loss = Loss(point.evaluate, x, point.upstream, point.outputs, point.spacing, many)
    calls, before = point.subject.op.calls, point.subject.op.calls.made
    places = np.argwhere(np.ones(x.shape, np.bool_))
    found = Element.unknown(len(places), claim.dtype)

    def look(rows: NDArray[np.intp]) -> None:
        made, ended = look_at(loss, claim.asked_at(places[rows]), case.step)
        found.write(rows, made)
        if ended:
            raise ended

    cut = None
    try:
        loss.measure_noise(generator(case, "noise"))
        for rows in _blocks(len(places), loss.vicinity.most // AN_INDEX, calls):
            look(rows)
            doubtful = rows[~claim.judged(claim.looks(places[rows], found.at(rows)))[0].right]
            if len(doubtful) and claim.include_roundoff():
                look(doubtful)
    except LimitReachedError as reached:
        cut = Cut(reached.limit, more_of_a_table(int(found.known.sum()), claim.size, calls.made - before))
    finally:
        claim.point.notes.extend([AT_ODDS] if loss.vicinity.at_odds else [])
    if many and not many.promised and loss.vicinity.trusted and cut is None and not answers_as_before(point):
        return look_everywhere(claim, stacked=False)
    looks = claim.looks(places[found.known], found.at(found.known))
    made = Seen(claim, looks, kinks=int(looks.kink.sum()))
    return replace(made, cleared=bool(found.known.all()), miss_probability=1.0, cut=cut) if cut else made


def _blocks(size: int, most: int, calls: Calls) -> Iterator[NDArray[np.intp]]:
    """Yield the rows of a table that are looked at together: few at first, so that something is known soon."""
    start, stop = 0, SMALL_SAMPLE
    while start < size:
        affordable = int(min(calls.left, AN_INDEX * size)) // AN_INDEX
        stop = min(size, start + max(1, min(stop - start, most, affordable)))
        yield np.arange(start, stop)
        start, stop = stop, stop + most
