"""One gradient that is to be judged: what backward claims, its formula in float64, and what each may be off by.

A backward in a narrow dtype is two questions. Is its formula right? That is asked in float64, where forward and
backward are generic. Does the implementation keep to the formula, but for what rounding must cost in its dtype? Where
it does, the formula is judged in its place; where it does not, what it gave is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.gradient.allowance import Allowance, Roundoff, default_tolerance
from gradaudit.checks.gradient.beside import climbs_stairs, outputs_beside
from gradaudit.checks.gradient.element import Asked, Element
from gradaudit.checks.gradient.evaluation_point import EvaluationPoint
from gradaudit.numerics.arrays import (
    LARGE,
    Array,
    all_finite,
    as_reals,
    cast,
    count,
    has_complex_dtype,
    in_cache,
    largest,
    like,
    namespace,
    on_host,
)
from gradaudit.numerics.gauge import COARSE_RESOLUTION
from gradaudit.numerics.judging import Judged, Looks, judge, taken
from gradaudit.numerics.magnitude import quantile, rms
from gradaudit.numerics.margins import FAR, MAX_ROUNDINGS, MAX_UNSEEN, NEGLIGIBLE, SAFETY, SPREAD
from gradaudit.spec.case import Tolerance
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES, NATIVE_TOLERANCES, least_spacing, spacing

FORMULA_SHARE = SPREAD
"""Share of the tolerance that the formula may be off by, where the implementation takes the rest."""

OUTLIER_RATIO = spacing("float64") ** -2
"""How many times the typical gradient a claim must be to be looked at by itself: in a test of many it drowns them."""

TRIMMED_ONE_IN = round(1 / NEGLIGIBLE)
"""One element in so many is left out of a gradient's typical magnitude, the largest ones first.

As many may lie below the noise in a pass, whose resolution is told beside that magnitude.
"""


def claims_of(point: EvaluationPoint, claimed: Mapping[str, Array]) -> list[Claim]:
    """Return the gradients of a case that can be judged.

    Args:
        point: where forward is differenced.
        claimed: what backward gave in the case's dtype, by input, of the inputs' shapes.

    """
    case = point.subject.case
    given = {}
    for name, gradient in claimed.items():
        if has_complex_dtype(point.inputs[name]):
            given[name] = cast(gradient, "complex128")
        else:  # a gradient of real numbers is to be real
            real = namespace(gradient).real(gradient) if has_complex_dtype(gradient) else gradient
            given[name] = cast(real, "float64")
    formula = {name: point.formula.get(name, gradient) for name, gradient in given.items()}
    of_formula = Roundoff(point, spacing(point.dtype) / 2, formula)
    of_dtype = Roundoff(point, spacing(case.dtype) / 2, formula)
    return [Claim(point, name, given[name], formula[name], of_formula, of_dtype) for name in given]


class Claim:
    """One gradient.

    Attributes:
        name: its input.
        point: where forward is differenced.
        given: what backward gave in the case's dtype, in double precision.
        formula: what it gives in float64, else the same.
        split: whether the two are different things.
        share: of the tolerance, what the second may be off by in root tests.
        size: elements of the input.
        numbers: real numbers in the input: a complex one counts as two.
        dtype: of its numbers, in double precision.
        allowance: what the first may be off by.
        of_formula: what the second may be off by.

    """

    def __init__(
        self, point: EvaluationPoint, name: str, given: Array, formula: Array, of_formula: Roundoff, of_dtype: Roundoff
    ) -> None:
        self.name = name
        self.point = point
        self.given = given
        self.formula = formula
        self.split = name in point.formula
        self.size = count(formula)
        self.numbers = self.size * (2 if has_complex_dtype(formula) else 1)
        self.dtype: Any = np.complex128 if has_complex_dtype(formula) else np.float64
        self.share = FORMULA_SHARE if self.split else 1.0
        self._roundoff, self._of_dtype = of_formula, of_dtype
        self._uncertain: Array | None = None
        case = point.subject.case
        if case.tolerance is not None:
            self.allowance = self.of_formula = Allowance(name, case.tolerance, None)
            return
        rtol = DEFAULT_TOLERANCES[case.dtype].rtol
        if point.generic:
            self.allowance = Allowance(name, default_tolerance(rtol, case.dtype, self.magnitude), of_dtype)
            finer = default_tolerance(rtol, point.dtype, self.magnitude)
            self.of_formula = Allowance(name, finer, of_formula) if self.split else self.allowance
        else:
            native = NATIVE_TOLERANCES[point.dtype]
            both = Tolerance(max(native.rtol, rtol), max(native.atol * self.magnitude, least_spacing(case.dtype)))
            self.of_formula = self.allowance = Allowance(name, both, of_formula)

    def as_given(self) -> Claim:
        """Return the claim that what backward gave in the case's dtype is right, whatever its formula is."""
        made = self._with(self.given)
        made.split, made.share = False, 1.0
        made.of_formula, made._uncertain = self.allowance, self.inaccurate
        return made

    def beside(self, point: EvaluationPoint, formula: Array) -> Claim:
        """Return what is claimed at another point, to the same tolerance."""
        made = self._with(formula)
        made.point = point
        return made

    def _with(self, formula: Array) -> Claim:
        made = copy(self)
        made.formula = formula
        for known in ("tested", "broken", "inaccurate", "magnitude", "natural_scale", "typical"):
            made.__dict__.pop(known, None)
        return made

    @cached_property
    def magnitude(self) -> float:
        """The gradient's typical magnitude."""
        return typical_magnitude(self.formula)

    @property
    def typical_change(self) -> float:
        """What a displacement of an element by its scale typically changes the loss by."""
        scale = self.point.scales[self.name]
        if not math.isfinite(self.typical):
            return 1.0  # without outputs any change is one
        if isinstance(scale, float) or not self.magnitude:
            return self.typical * (scale if isinstance(scale, float) else float(scale.min()))
        return typical_magnitude(as_reals(self.tested) * scale)

    @cached_property
    def natural_scale(self) -> float:
        """The magnitude that the gradient has where nothing cancels: upstream times outputs over inputs.

        An output without elements has no scale at all: beside infinity no error is seen, and there can be none.
        """
        if not count(self.point.outputs):
            return math.inf
        slope = self.point.size / (rms(self.point.inputs[self.name]) or 1.0)
        return rms(self.point.upstream) * (slope or 1.0)  # outputs that are all zero say nothing of it

    @cached_property
    def typical(self) -> float:
        """The same, or where the gradient is zero what would matter all the same."""
        return self.magnitude or _scale_of_changes(self.point, self.name) or self.natural_scale

    @cached_property
    def hides_stairs(self) -> bool:
        """Whether nothing is claimed of a forward that stands on a stair, whose slope is zero and not that at large."""
        nothing = self.size > 0 and not bool(self.formula.any()) and not bool(self.given.any())
        return nothing and climbs_stairs(self.point, self.name)

    @cached_property
    def broken(self) -> Array | None:
        """Where a claim is no number, in the case's dtype or in float64, or so large that sums hold nothing else.

        None for nowhere.
        """
        xp, beyond = namespace(self.formula), OUTLIER_RATIO * (self.magnitude or math.inf)
        most = largest(self.formula)
        if math.isfinite(most if self.given is self.formula else most + largest(self.given)) and most <= beyond:
            return None  # seen without an array more
        broken = ~(xp.isfinite(self.formula) & xp.isfinite(self.given))
        if 0.0 < self.magnitude < math.inf:
            broken = broken | (abs(self.formula) > OUTLIER_RATIO * self.magnitude)
        return broken if bool(broken.any()) else None

    @cached_property
    def tested(self) -> Array:
        """What root tests are about: the formula, zero where it is no number."""
        return self.formula if self.broken is None else namespace(self.formula).where(self.broken, 0.0, self.formula)

    @cached_property
    def inaccurate(self) -> Array | None:
        """Where the implementation is off from its formula by more than rounding must cost; None for nowhere.

        There it is judged by what it gave.
        """
        if not self.split:
            return None
        off = abs(self.given - self.formula)
        inaccurate = ~(off <= (1.0 - FORMULA_SHARE) * self.allowance.of(self.formula))  # so is NaN
        if bool(inaccurate.any()) and self.allowance.include_roundoff():
            inaccurate = ~(off <= self.allowance.of(self.formula))
        if bool(inaccurate.any()) and self.allowance.include_summation():
            inaccurate = ~(off <= self.allowance.of(self.formula))
        if bool(inaccurate.any()) and self._allow_for_narrowing():
            inaccurate = ~(off <= self.allowance.of(self.formula))
        return inaccurate if bool(inaccurate.any()) else None

    def _allow_for_narrowing(self) -> bool:
        """Allow for the rounding of the coarser dtype that the op rounds its inputs to; return whether there is one."""
        coarser = self.point.narrowed
        if self.allowance.asked or not coarser:
            return False
        self._of_dtype = Roundoff(self.point, spacing(coarser) / 2, {self.name: self.formula})
        given = self.allowance.tolerance
        wider = default_tolerance(DEFAULT_TOLERANCES[coarser].rtol, coarser, self.magnitude)
        both = Tolerance(max(wider.rtol, given.rtol), max(wider.atol, given.atol))
        self.allowance = Allowance(self.name, both, self._of_dtype)
        return self.allowance.include_roundoff()

    def index_of(self, place: int) -> tuple[int, ...]:
        """Return the index of an element, given its place in C order."""
        return tuple(int(k) for k in np.unravel_index(place, tuple(self.formula.shape)))

    def asked_at(self, places: NDArray[np.intp]) -> Asked:
        """Return what is judged at some indices, one a row, and what that may be off by."""
        given, strays = _brought(self.given, places), self.inaccurate_among(places)
        claimed = np.where(strays, given, _brought(self.formula, places)) if self.split else given
        (rtol, atol), wider = self.of_formula.parts(places), self.allowance.parts(places)
        shape = tuple(self.formula.shape)
        flat = np.ravel_multi_index(tuple(places.T), shape) if shape else np.zeros(len(places), np.intp)
        return Asked(np.asarray(flat), claimed, np.where(strays, wider[0], rtol), np.where(strays, wider[1], atol))

    def looks(self, places: NDArray[np.intp], found: Element) -> Looks:
        """Return what was found at some indices, beside what is claimed there."""
        claimed = self.asked_at(places).claimed
        return Looks(places, claimed, found.numerical, found.bound, found.kink, found.jump, found.outside)

    def include_roundoff(self) -> bool:
        """Allow for rounding at each index; return whether that had been left out, so that it may matter."""
        both = [each.include_roundoff() for each in (self.of_formula, self.allowance)]
        return any(both)

    def judged(self, looks: Looks) -> tuple[Judged, Array, Array]:
        """Judge what was seen; return that, and what each index was allowed and what its bound was taken for."""
        if not len(looks.places):
            return Judged(looks.bounds, looks.kink, looks.kink, looks.kink), looks.bounds, looks.bounds
        allowed, bounds = self.of_formula.of(looks.numerical, looks.places), looks.bounds
        if self.inaccurate is not None or self._uncertain is not None:
            bounds = bounds + self._uncertainty(looks.places)
        if self.inaccurate is not None:
            inaccurate = self.inaccurate_among(looks.places)
            allowed = np.where(inaccurate, self.allowance.of(looks.numerical, looks.places), allowed)
        allowed = self._resolvable(allowed, looks.claimed, looks.numerical, looks.bounds, looks.kink)
        return judge(looks.claimed, looks.numerical, bounds, allowed), allowed, bounds

    def _uncertainty(self, places: NDArray[np.intp]) -> NDArray[Any]:
        """Return how sure it is, where an implementation strays from its formula, that rounding need not cost so much.

        How the terms of a formula cancel inside is not known, and what is not known accuses nobody. It is no excuse
        for what would matter beside the typical gradient.
        """
        doubtful = self.inaccurate if self._uncertain is None else self._uncertain
        if doubtful is None or self.allowance.asked or not len(places):
            return np.zeros(len(places))
        inaccurate = taken(on_host(doubtful), places)  # also where what was given is judged whatever its formula is
        most = np.minimum(SAFETY * self.allowance.of_roundoff(places), MAX_UNSEEN * self.magnitude)
        return np.where(inaccurate, most, 0.0)

    def _resolvable(self, allowed: Any, claimed: Any, numerical: Any, bound: Any, kink: Any) -> Any:
        """Return tolerances that nobody asked for, raised to what differences can tell over the noise of forward.

        So root tests do, where nothing speaks against a claim; not at a kink, where the claim may be any of many. The
        resolution says what could have gone unseen.
        """
        if self.of_formula.asked or not self.point.generic:
            return allowed
        resolved = 2.0 * bound <= COARSE_RESOLUTION * np.fmax(abs(numerical), self.typical)
        resolved &= (abs(claimed - numerical) <= bound) & ~np.asarray(kink)
        return np.where(resolved, np.fmax(allowed, 2.0 * bound), allowed)

    def below_noise(self, floor: Any, *, lost: bool = False) -> tuple[NDArray[np.intp], NDArray[Any]]:
        """Return the numbers of the gradient that are too small to be told from zero, and their magnitudes.

        That is below the least error that was resolved, for all numbers or for each. What rounding must cost it anyway
        is not meant, nor what is zero and was tested for that; what is lost beside the typical gradient is, if asked.

        Returns:
            Positions in the one vector of the gradient's real numbers, and the magnitudes there.

        """
        reals, most_lost = as_reals(self.tested), MAX_ROUNDINGS * self._roundoff.unit * self.magnitude if lost else 0.0
        found = []
        for part in in_cache(reals):
            own = abs(reals[part])
            noise = like(floor[part], own) if isinstance(floor, np.ndarray) else floor
            below = own < noise
            if bool(below.any()):  # what is large stays where it is
                meant = (own > self.noise_level) | ((own > 0.0) & (own <= most_lost))
                found.append(part.start + np.flatnonzero(on_host(below & meant)))
        places = np.concatenate(found) if found else np.zeros(0, np.intp)
        own = on_host(abs(reals[like(places, reals)])) if len(places) else np.zeros(0)
        level = self._roundoff.level.get(self.name) if len(places) else None
        if level is None:
            return places, own
        of_element = places // (self.numbers // max(1, self.size))
        own = np.fmax(own, on_host(level.reshape(-1)[like(of_element, level)]))
        still = own < (floor[places] if isinstance(floor, np.ndarray) else floor)
        return places[still], own[still]

    @property
    def unit(self) -> float:
        """Unit roundoff of the coarsest dtype that forward or backward is known to compute in."""
        inside = spacing(self.point.narrowed) if self.point.narrowed else 0.0
        return max(self.point.spacing, spacing(self.point.subject.case.dtype), inside) / 2

    @cached_property
    def noise_level(self) -> float:
        """The magnitude below which the rounding of forward, or of the rest of the gradient, leaves no digit."""
        return MAX_ROUNDINGS * self._roundoff.unit * max(self.magnitude, self.natural_scale)

    @property
    def negligible(self) -> float:
        """The same for the rounding of the case's dtype: nobody who works in it means what is smaller."""
        return self.noise_level * self._of_dtype.unit / self._roundoff.unit

    def inaccurate_among(self, places: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return at which of some indices the implementation strays from its formula."""
        if self.inaccurate is None or not len(places):
            return np.zeros(len(places), np.bool_)
        inaccurate: NDArray[np.bool_] = taken(on_host(self.inaccurate), places)
        return inaccurate


def _brought(array: Array, places: NDArray[np.intp]) -> NDArray[Any]:
    """Return the elements of an array at some indices; what is large stays where it is."""
    if isinstance(array, np.ndarray):
        return taken(array, places)
    return np.array([on_host(array[tuple(place)]) for place in places.tolist()])


def _scale_of_changes(point: EvaluationPoint, name: str) -> float:
    """Return the magnitude of a gradient that explains how forward changes with an input; 0 where it hardly does.

    Other than the natural scale it knows of no constant that is added to the outputs.
    """
    change = rms(outputs_beside(point, FAR, name) - point.outputs)
    if not MAX_ROUNDINGS * point.spacing * point.size < change < math.inf:
        return 0.0
    return rms(point.upstream) * change / (FAR * rms(point.inputs[name]))


def typical_magnitude(gradient: Array) -> float:
    """Return the rms of a gradient without its largest hundredth: a few absurd claims must not set the scale."""
    claims = gradient.reshape(-1)
    if 0 < count(claims) <= TRIMMED_ONE_IN and float(abs(claims).max()) <= OUTLIER_RATIO * float(abs(claims).min()):
        return rms(claims)  # none is absurd beside the least of them
    if not all_finite(claims):
        claims = claims[namespace(claims).isfinite(claims)]
    if (size := count(claims)) <= TRIMMED_ONE_IN:
        sizes = on_host(abs(claims))
        usual = quantile(sizes[sizes > 0.0], 0.5) if bool((sizes > 0.0).any()) else 0.0
        return rms(sizes[sizes <= OUTLIER_RATIO * usual])
    if size > LARGE:  # whose share below the largest hundredth is that of all, give or take a 25th
        claims = claims[like(np.random.default_rng(0).integers(0, size, LARGE), claims)]
    some, left_out = on_host(abs(claims)), count(claims) // TRIMMED_ONE_IN
    return rms(np.partition(some, -left_out)[:-left_out])
