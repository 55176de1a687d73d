"""All gradients of a case at once: root tests over every element of all of them, a close look where one fails."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np

from gradaudit.checks.agreement import alike, reordering
from gradaudit.checks.gradient.claim import Claim
from gradaudit.checks.gradient.close_look import CloseLooks
from gradaudit.checks.gradient.cut import Cut, more_of_a_search
from gradaudit.checks.gradient.seen import Seen, looks_of
from gradaudit.checks.gradient.suspect import Suspect
from gradaudit.numerics.arrays import Array, count, largest, like, on_host
from gradaudit.numerics.calibration import Calibrated, Calibration
from gradaudit.numerics.directional import Directional
from gradaudit.numerics.gauge import Gauge
from gradaudit.numerics.judging import Judgement
from gradaudit.numerics.margins import MAX_LISTED, SAFETY, SIGNIFICANT
from gradaudit.numerics.root_test import RootTest, RootTester
from gradaudit.numerics.search import Outcome, Search
from gradaudit.results import Finding
from gradaudit.spec.draw import generator
from gradaudit.targets.calls import LimitReachedError

GROUP_RATIO = SAFETY * SIGNIFICANT
"""How much larger than the least of a group its gradients may be: beyond, noise would hide the least in it."""


class Searched:
    """The gradients of some inputs, searched together.

    Args:
        claims: the gradients.
        locate: whether to find out which indices are wrong, where any is; else nothing is looked at.
        one_by_one: whether to look at each element at a kink whose claims are no one-sided derivatives.

    """

    def __init__(self, claims: Sequence[Claim], *, locate: bool, one_by_one: bool = False) -> None:
        self.claims = claims
        self._locate = locate
        self._one_by_one = one_by_one
        self._point = point = claims[0].point
        self._looks = [CloseLooks(claim) for claim in claims]
        self._ends = list(accumulate(claim.numbers for claim in claims))
        for looks, end in zip(self._looks, self._ends, strict=True):
            looks.positions = range(end - looks.claim.numbers, end)
        # Watching what forward does to its inputs takes a copy of them at every call: nothing where they are small.
        watched = not self._locate or point.subject.findings or point.findings
        self._line = Directional(
            point.evaluate if watched else point.evaluate_fleeting,
            point.inputs,
            {claim.name: claim.tested for claim in claims},
            point.upstream,
            point.outputs,
            point.scales,
        )
        scales = {claim.name: point.scales[claim.name] for claim in claims}
        self._tester = RootTester(
            self._line,
            rtol=min(claim.share * claim.of_formula.tolerance.rtol for claim in claims),
            atol={claim.name: claim.share * claim.of_formula.tolerance.atol for claim in claims},
            scales=scales,
            rng=generator(point.subject.case, "directions"),
        )
        typical = min(claim.typical_change for claim in claims)
        self._calibration = Calibration(self._tester, typical=typical, spacing=point.spacing)

    def seen(self) -> list[Seen]:
        """Search, and return what is known of each gradient then.

        Raises:
            OpError: where forward gives nothing usable.

        """
        case, calibration = self._point.subject.case, self._calibration
        if not count(self._point.outputs) and not any(bool(claim.formula.any()) for claim in self.claims):
            return [
                Seen(claim, looks_of(claim, {}), method="search") for claim in self.claims
            ]  # nothing to be off from
        ask = self._judge, self._repeats, self._below_noise, lambda: generator(case, "sample")
        search = Search(self._tester, calibration, *ask, self._locate, self._calls_left)
        try:
            for looks in self._looks:
                if looks.claim.broken is not None:
                    self._set_aside(looks, looks.claim.broken)
            found, limit = search.run(), None
            for looks in self._looks if self._locate and found.miss_probability == 1.0 else ():
                looks.look_around(calibration.calibrated, generator(case, "around"))
        except LimitReachedError as reached:
            found, limit = replace(search.outcome, floor=math.inf, miss_probability=1.0), reached.limit
        if not self._line.is_restored():
            message = "an input was not bit-identical after a perturbation was undone: forward kept it and changed it"
            self._point.findings.append(Finding("input-mutated", message, {"by": "forward"}))
        made = [self._seen(looks, found, search.failing) for looks in self._looks]
        if limit is None:
            return made
        more = more_of_a_search(self._line.size, failing=search.failing is not None)
        return [replace(seen, cut=Cut(limit, more)) for seen in made]

    def _set_aside(self, looks: CloseLooks, broken: Array) -> None:
        """Leave out of the tests what is claimed to be no number, given as a mask, and look at some of it."""
        places = np.flatnonzero(np.repeat(on_host(broken).reshape(-1), looks.claim.numbers // looks.claim.size))
        for place in map(int, places):
            self._tester.tested.exclude(looks.positions.start + place)
        for place in map(int, places[:MAX_LISTED]):
            looks.look(place, None)

    def _judge(self, position: int, calibrated: Calibrated | None) -> Judgement:
        looks = self._looks[bisect_right(self._ends, position)]
        return looks.look(position - looks.positions.start, calibrated)

    def _calls_left(self) -> float:
        return self._point.subject.op.calls.left if self._one_by_one else 0.0

    def _repeats(self) -> bool:
        rounding = reordering(self._line.size, self._point.spacing)
        return alike(self._point.outputs, self._point.evaluate(), rounding * largest(self._point.outputs))

    def _below_noise(self, floors: list[tuple[Array | None, float]]) -> tuple[Array, float] | None:
        """Return the largest of the gradients that cannot be told from zero, and the least of these.

        Whoever asks for a tolerance, or computes in a narrow dtype only, is content with errors beside the typical.
        """
        if not self._point.generic or any(claim.of_formula.asked for claim in self.claims):
            return None
        places, magnitudes = [], []
        for looks in self._looks:
            scale = self._point.scales[looks.claim.name]
            where, sizes = looks.claim.below_noise(_floor(looks, floors) / scale)
            if len(where):
                places.append(looks.positions.start + where)
                magnitudes.append(sizes * (scale if isinstance(scale, float) else on_host(scale)[where]))
        if not places:
            return None
        sizes = np.concatenate(magnitudes)
        large = sizes >= sizes.max() / GROUP_RATIO
        group = np.zeros(self._line.size, np.bool_)
        group[np.concatenate(places)[large]] = True
        return like(group, self._line.claims), float(sizes[large].min())

    def _seen(self, looks: CloseLooks, found: Outcome, failing: tuple[RootTest, Gauge] | None) -> Seen:
        claim, scale = looks.claim, self._point.scales[looks.claim.name]
        floors: list[tuple[Array | None, float]] = [(None, found.floor), *found.retested]
        sampled = {looks.index_of(p - looks.positions.start) for p in found.sample if p in looks.positions}
        rows = list(looks.seen)
        return Seen(
            claim,
            looks_of(claim, looks.seen),
            method="search",
            cleared=found.miss_probability < 1.0,
            miss_probability=found.miss_probability,
            floor=_floor(looks, floors) / scale if math.isfinite(found.floor) else math.inf,
            sampled=tuple(k for k, index in enumerate(rows) if index in sampled),
            kinks=found.kinks,
            flat=found.flat,
            kinked=found.kinked,
            suspect=Suspect(self._tester, *failing, looks.positions) if failing else None,
        )


def _floor(looks: CloseLooks, floors: list[tuple[Array | None, float]]) -> Any:
    """Return the floor of each number of an input: one for all, unless some were tested by themselves."""
    (_, floor), *retested = floors
    if not retested:
        return floor
    made = np.full(len(looks.positions), floor)
    for mask, finer in retested:
        made[on_host(mask)[looks.positions.start : looks.positions.stop]] = finer
    return made
