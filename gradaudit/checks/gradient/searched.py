"""One input within a search: its claims, and what was seen of them where they were looked at closely."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from gradaudit.checks.gradient import outcome
from gradaudit.checks.gradient.element import SAME_SLOPE, Element, look_at
from gradaudit.checks.gradient.ground import Ground, widened
from gradaudit.checks.gradient.rounding import without_rounding
from gradaudit.checks.subject import Subject
from gradaudit.numerics.arrays import LARGE, Array, count, has_complex_dtype, in_cache, like, namespace, on_host
from gradaudit.numerics.decision import is_right
from gradaudit.numerics.loss import Loss
from gradaudit.numerics.magnitude import norm, rms
from gradaudit.numerics.root_test import Calm
from gradaudit.numerics.search import Judgement
from gradaudit.numerics.vicinity import Index
from gradaudit.spec.case import Tolerance
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import spacing

MANY = 100
"""One element in so many is left out of a gradient's typical magnitude, the largest ones first."""

ENOUGH = 2**16
"""Elements drawn at random whose largest hundredth begins where that of all does, give or take a 25th of it."""

UNUSUAL = 2.0**8
"""Noise, in units of the rounding of the dtype that forward computes in, that each look measures anew."""

REMEASURED = 2
"""Wrong indices at which noise is measured, where it may be what is seen; after so many it is errors."""

UNSURE = 2.0
"""How much larger an error may be than its bound where noise was measured at few points, before a claim is wrong."""

CONFIRMED = 8
"""Wrong indices that are looked at twice; after so many the others are what they seem."""


@dataclass(frozen=True)
class Look:
    """What was seen at one index: the claim, the truth as far as known, and what that means."""

    index: tuple[int, ...]
    claimed: complex
    element: Element
    judgement: Judgement


class Searched:
    """One input within a search: its claims, and what was seen where it was looked at closely."""

    def __init__(
        self, subject: Subject, ground: Ground, name: str, gradient: Array, tolerance: Tolerance | None = None
    ) -> None:
        self.name = name
        self.ground = ground
        self.case = subject.case
        self.claimed = gradient
        self.formula = ground.formula.get(name, widened(gradient))
        self.split = name in ground.formula
        self.magnitude = typical_magnitude(self.formula)
        self.typical = self.magnitude or outcome.natural_scale(ground, name)
        self.tolerance = tolerance or outcome.tolerance_in_force(subject.case, ground, self.typical)
        self.rounded = 0
        if self.split and subject.case.tolerance is None:
            self.claimed, self.rounded = without_rounding(ground, name, gradient, self.tolerance)
        self.positions = range(0)
        self.looks: list[Look] = []
        self._losses: dict[float, Loss] = {}
        self.evaluations = 0

    @property
    def numbers(self) -> int:
        """Real numbers in the input: a complex one counts as two."""
        return count(self.formula) * (2 if has_complex_dtype(self.formula) else 1)

    def look(self, position: int, calm: Calm | None) -> Judgement:
        """Look at the element that holds the real number at a position, given what is known of forward by then."""
        place = position // 2 if has_complex_dtype(self.formula) else position
        index = tuple(int(k) for k in np.unravel_index(place, self.formula.shape))
        for seen in self.looks:
            if seen.index == index:  # the other part of a complex number
                return seen.judgement
        claimed = complex(self.claimed[index]) if has_complex_dtype(self.claimed) else float(self.claimed[index])
        element = self._element(index, claimed, calm)
        self.looks.append(Look(index, claimed, element, _judgement(claimed, element, self.tolerance)))
        return self.looks[-1].judgement

    def _element(self, index: Index, claimed: complex, calm: Calm | None) -> Element:
        """Look at an element with the noise that is known of, or with its own where that cannot be trusted."""
        declared = spacing(self.ground.dtype)
        usual = calm if calm and calm.spacing <= UNUSUAL * declared else None
        loss = self._loss(usual.spacing if usual else declared)
        before, wrong = loss.evaluations, sum(look.judgement is Judgement.WRONG for look in self.looks)
        try:
            if usual is not None:
                loss.assume_noise()
                element = look_at(loss, index, claimed, self.tolerance, start=usual.step, confirm=wrong < CONFIRMED)
                if wrong >= REMEASURED or not self._may_be_noise(claimed, element):
                    return element
            loss.measure_noise(generator(self.case, "noise"), index)
            element = look_at(loss, index, claimed, self.tolerance, confirm=wrong < CONFIRMED)
            is_wrong = _judgement(claimed, element, self.tolerance) is Judgement.WRONG
            return replace(element, bound=UNSURE * element.bound) if is_wrong else element
        finally:
            loss.vicinity.verify_restored()
            self.evaluations += loss.evaluations - before

    def _may_be_noise(self, claimed: complex, element: Element) -> bool:
        """Whether what contradicts a claim may be more noise than was taken for granted."""
        difference = abs(claimed - element.numerical)
        wrong = _judgement(claimed, element, self.tolerance) is Judgement.WRONG
        return wrong and (element.doubtful or difference <= SAME_SLOPE * abs(element.numerical))

    def _loss(self, assumed: float) -> Loss:
        """Return the loss along single elements for an assumed rounding, the one that there is where it is the same."""
        if assumed not in self._losses:
            ground = self.ground.on_host
            x = ground.inputs[self.name]
            # A large one is not compared at every call: the root tests before have seen that it is left alone.
            trusted = x.nbytes >= LARGE and not (ground.findings or self.ground.findings)
            forward = ground.evaluate_trusting if trusted else ground.evaluate
            self._losses = {assumed: Loss(forward, x, ground.upstream, ground.outputs, assumed)}
        return self._losses[assumed]


def typical_magnitude(gradient: Array) -> float:
    """Return the rms of a gradient without its largest hundredth: a few absurd claims must not set the scale."""
    claims = gradient.reshape(-1)
    if (size := count(claims)) <= MANY:
        return rms(claims)
    if size <= ENOUGH:
        some = on_host(abs(claims))
        return rms(np.partition(some, -(size // MANY))[: -(size // MANY)])
    drawn = np.random.default_rng(0).integers(0, size, ENOUGH)
    some = on_host(abs(claims[like(drawn, claims)]))
    largest = float(np.partition(some, -(ENOUGH // MANY))[-(ENOUGH // MANY)])
    norms, kept = [], 0
    for part in in_cache(claims):
        magnitudes = abs(claims[part])
        small = magnitudes <= largest
        norms.append(norm(namespace(small).where(small, magnitudes, 0.0)))
        kept += int(small.sum())
    return math.hypot(*norms) / math.sqrt(max(1, kept))


def _judgement(claimed: complex, element: Element, tolerance: Tolerance) -> Judgement:
    difference, allowed = abs(claimed - element.numerical), tolerance.at(abs(element.numerical))
    if is_right(difference, element.bound, allowed):
        return Judgement.KINK if element.kink else Judgement.RIGHT
    return Judgement.WRONG if difference - element.bound > allowed else Judgement.UNDECIDED
