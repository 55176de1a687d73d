"""What an analytical gradient may be off by at each index, without a constant that has a scale.

For a dtype with unit roundoff u, and ``a`` the numerical gradient at an index,

    tolerance = rtol |a| + C u (M + S) + C D

``M`` is the uncancelled magnitude: the rms of what backward gives where the upstream's signs are drawn at random, to
which the terms of a sum add up when they do not cancel. ``D`` is the inherent error: the rms change of the gradient
where inputs and upstream are rounded, which no algorithm that is given rounded inputs can avoid (N. J. Higham,
Accuracy and Stability of Numerical Algorithms, 2002, section 1.6). ``S`` is what the larger elements of the gradient
are, here or at smaller inputs, where the op is not saturated: ``1 - y^2`` at ``y = 1`` has the rounding of the one.
Where ``D`` is more than the gradient itself, its terms cancel because inputs are equal: ``S`` is then what they come to
where inputs are not. All three cost calls of backward, and are asked for only where a claim is not within the rest.

A long sum that is taken term by term may be off by more: each of its n partial sums is rounded. Where roundings are
independent that typically comes to ``0.42 u sqrt(n) P``, for partial sums with the rms ``P`` (Higham, section 4.2). C
times as much is allowed, where the rest does not cover it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.agreement import known
from gradaudit.checks.gradient.beside import displaced
from gradaudit.checks.gradient.evaluation_point import EvaluationPoint, widened
from gradaudit.numerics.arrays import Array, cast, copied, count, dtype_name, like, namespace, on_host
from gradaudit.numerics.judging import taken
from gradaudit.numerics.magnitude import rms
from gradaudit.numerics.margins import MAX_ATTEMPTS, MAX_ROUNDINGS, QUARTER, SMALL_SAMPLE, SPREAD, WIDENING
from gradaudit.spec.case import Tolerance
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import is_floating, least_spacing, spacing

UPPER_QUANTILE = 1 - SPREAD
"""Share of a gradient's elements that its larger ones exceed: a few absurd claims must not be taken for them."""

SHRUNK_INPUTS = tuple(0.5 / WIDENING**k for k in range(SMALL_SAMPLE))
"""Parts of an input at which an op that is saturated here is not."""

ROUNDING = math.sqrt(1 / (8 * math.log(2)))
"""Rms of a rounding in units of u, 0.42, of numbers whose leading digits are distributed as those of most are."""

HEARD = math.erfc(QUARTER / math.sqrt(2.0))
"""How often a sum of many terms with random signs is more than a quarter of its magnitude: four times in five."""


@dataclass
class Roundoff:
    """What rounding must cost at each index of every gradient of a case, found out by calls of backward when asked.

    Attributes:
        point: where forward is differenced; backward is asked there.
        unit: the unit roundoff of the dtype whose rounding is meant.
        gradients: what backward gave there, by input, in double precision.

    """

    point: EvaluationPoint
    unit: float
    gradients: Mapping[str, Array]

    @cached_property
    def magnitudes(self) -> Mapping[str, Array]:
        """The uncancelled magnitude ``M`` of each gradient, by input."""
        return self._uncancelled(self._inputs())

    @cached_property
    def _generic(self) -> Mapping[str, Array]:
        """The uncancelled magnitude where equal inputs are equal no more: of each element some part is left."""
        rng = generator(self.point.subject.case, "generic")
        shrunk = {name: displaced(_times(x, -0.5), -2.0, rng) for name, x in self.point.inputs.items()}
        return self._uncancelled({name: self.point.subject.in_layout(name, x) for name, x in shrunk.items()})

    def _uncancelled(self, inputs: dict[str, Array]) -> Mapping[str, Array]:
        point, rng = self.point, generator(self.point.subject.case, "signs")
        outputs = self.point.outputs_at(inputs)

        def drawn() -> Mapping[str, Array]:
            signed = [_signed(part, rng) for part in point.subject.upstream]
            return point.claims(signed, inputs, outputs)

        return _root_mean_square(drawn, {}, SMALL_SAMPLE)

    def larger(self, name: str) -> float:
        """Return what the larger elements ``S`` of a gradient are, here or where the input is smaller.

        In float64 there is no finer formula to hold an implementation to: its own elements will do. In half precision
        a gradient that grows without end as the input shrinks, as that of a norm does, would excuse anything: what is
        saturated here has its steepest slope about zero, and it grows no more there.
        """
        found, smaller = _larger(self.gradients[name]), [0.0]
        for part in SHRUNK_INPUTS if self.unit > spacing("float64") / 2 else ():
            inputs = {**self._inputs(), name: self.point.subject.in_layout(name, _times(self.point.inputs[name], part))}
            outputs = self.point.outputs_at(inputs)
            upstream = map(widened, self.point.subject.upstream)
            made = self.point.claims(upstream, inputs, outputs)
            smaller.append(_larger(made[name]) if name in made else 0.0)
        endless = self.unit > spacing("float32") and smaller[-1] > 2.0 * smaller[-2:][0]
        return found if endless else max(found, *smaller)

    def generic(self, name: str) -> float:
        """Return what the larger elements of a gradient are where no two elements of an input are equal.

        Where all keys of an attention are equal, the gradient of its queries is a sum whose terms cancel, whatever the
        upstream. Here they do not.
        """
        return _larger(self._generic[name]) if name in self._generic else 0.0

    @cached_property
    def summation(self) -> Mapping[str, Array]:
        """What rounding costs each gradient that is added up term by term, by input.

        Partial sums are the gradients of the first outputs alone. How many terms of one size there are shows where
        outputs are left out at random but one in 4^k: a sum of fewer terms is next to nothing then, and of more it is
        that part of its magnitude which their root is. Half precision is added up in float32 by all who mean it.
        """
        point, rng = self.point, generator(self.point.subject.case, "terms")
        inputs = self._inputs()
        outputs = self.point.outputs_at(inputs)
        upstream = point.subject.upstream

        def prefix(part: int) -> Mapping[str, Array]:
            first = (like(np.arange(count(u)) < part / MAX_ATTEMPTS * count(u), u).reshape(u.shape) for u in upstream)
            return point.claims(map(_where, first, upstream), inputs, outputs)

        parts = iter(range(1, MAX_ATTEMPTS))
        partial = _root_mean_square(lambda: prefix(next(parts)), {}, MAX_ATTEMPTS - 1)
        exponents = {name: 0.0 * size for name, size in partial.items()}
        for k in range(1, int(math.log(max(map(count, upstream)), 4)) + 1 if upstream else 0):
            some = (like(rng.random(tuple(u.shape)) < 4.0**-k, u) for u in upstream)
            signed = (_signed(u, rng) for u in upstream)
            for name, made in point.claims(map(_where, some, signed), inputs, outputs).items():
                if name in exponents and name in self.magnitudes:
                    heard = abs(made) > QUARTER * 2.0**-k * self.magnitudes[name]
                    exponents[name] = namespace(made).where(heard, exponents[name] + 1.0 / HEARD, exponents[name])
        unit = min(self.unit, spacing("float32") / 2)
        return {name: MAX_ROUNDINGS * ROUNDING * unit * 2.0 ** exponents[name] * size for name, size in partial.items()}

    @cached_property
    def level(self) -> Mapping[str, Array]:
        """What each gradient comes to at upstreams of one magnitude and random signs, by input: one such draw."""
        point, rng = self.point, generator(self.point.subject.case, "level")
        inputs = self._inputs()
        outputs = self.point.outputs_at(inputs)
        upstream = point.subject.upstream
        even = (cast(like(_signs(part, rng) * rms(part), part), dtype_name(part.dtype)) for part in upstream)
        made = point.claims(even, inputs, outputs)
        return {name: abs(gradient) for name, gradient in made.items()}

    @cached_property
    def inherent(self) -> Mapping[str, Array]:
        """The inherent error ``D`` of each gradient, by input.

        Of what rounding does towards zero and away from it the less: at a kink one of the two crosses it.
        """
        rng = generator(self.point.subject.case, "rounding")
        sides = [self._nudged(side * self.unit, rng) for side in (-1.0, 1.0)]
        both = {name for side in sides for name in side}
        found = {name: [side[name] for side in sides if name in side] for name in both}
        return {name: namespace(made[0]).minimum(made[0], made[-1]) for name, made in found.items()}

    def _nudged(self, unit: float, rng: np.random.Generator) -> dict[str, Array]:
        """Return the rms change of each gradient where inputs and upstream are displaced by about this part of them."""
        point, subject = self.point, self.point.subject

        def beside() -> Mapping[str, Array]:
            inputs = {name: subject.in_layout(name, displaced(x, unit, rng)) for name, x in point.inputs.items()}
            upstream = [displaced(widened(given), unit, rng) for given in subject.upstream]
            return point.claims(upstream, inputs, point.outputs_at(inputs))

        return _root_mean_square(beside, self.gradients, SMALL_SAMPLE // 2)

    def _inputs(self) -> dict[str, Array]:
        """Return the inputs as arrays of their own: an op may change what it is given."""
        return {name: self.point.subject.in_layout(name, copied(x)) for name, x in self.point.inputs.items()}


@dataclass
class Allowance:
    """What one gradient may be off by, at each index.

    Attributes:
        name: the input.
        tolerance: its relative part, and an absolute part that is the same at every index.
        roundoff: what rounding must cost besides; None where the spec asks for a tolerance, which is kept literally.

    """

    name: str
    tolerance: Tolerance
    roundoff: Roundoff | None
    _more: NDArray[Any] | None = None

    @property
    def asked(self) -> bool:
        """Whether the spec asks for this tolerance."""
        return self.roundoff is None

    def of(self, numerical: Array, places: NDArray[np.intp] | None = None) -> Array:
        """Return what is allowed where the numerical gradient is this: at all indices, or at those that are given."""
        allowed = self.tolerance.atol + self.tolerance.rtol * abs(numerical)
        if self._more is None:
            return allowed
        return allowed + (like(self._more, allowed) if places is None else taken(self._more, places))

    def include_roundoff(self) -> bool:
        """Add what rounding must cost at each index; return whether that had been left out, so that it may matter."""
        if self.roundoff is None or self._more is not None:
            return False
        magnitude, inherent = (made.get(self.name) for made in (self.roundoff.magnitudes, self.roundoff.inherent))
        if magnitude is None or inherent is None:
            return False
        larger, error = self.roundoff.larger(self.name), on_host(inherent)
        if _larger(error) > self.roundoff.unit**0.5 * larger:
            larger = max(larger, self.roundoff.generic(self.name))
        most = self.roundoff.unit**0.5 * larger  # a claim that jumps at the very point excuses nothing by that
        more = MAX_ROUNDINGS * (self.roundoff.unit * (on_host(magnitude) + larger) + np.minimum(error, most))
        self._more = np.where(np.isfinite(more), more, 0.0)
        return True

    def include_summation(self) -> bool:
        """Allow for the rounding of partial sums where the rest does not cover it; return whether that may matter."""
        if self.roundoff is None or self._more is None or self.name not in self.roundoff.summation:
            return False
        covered = self.tolerance.rtol * abs(on_host(self.roundoff.gradients[self.name]))
        sums = on_host(self.roundoff.summation[self.name]) - covered
        self._more = np.fmax(self._more, np.where(np.isfinite(sums), sums, 0.0))
        return True

    def parts(self, places: NDArray[np.intp]) -> tuple[float, NDArray[Any]]:
        """Return the relative part, and the absolute part at some indices."""
        return self.tolerance.rtol, self.tolerance.atol + self.of_roundoff(places)

    def of_roundoff(self, places: NDArray[np.intp]) -> NDArray[Any]:
        """Return how much of what is allowed at some indices is for rounding; 0 where that was not asked for."""
        return np.zeros(len(places)) if self._more is None else taken(self._more, places)


def default_tolerance(rtol: float, dtype: str, typical: float) -> Tolerance:
    """Return the tolerance to begin with: its relative part, and one rounding of a typical gradient in a dtype."""
    return Tolerance(rtol, max(spacing(dtype) / 2 * typical, least_spacing(dtype)))


def _signed(upstream: Array, rng: np.random.Generator) -> Array:
    return upstream * cast(like(_signs(upstream, rng), upstream), dtype_name(upstream.dtype))


def _where(mask: Array, upstream: Array) -> Array:
    return namespace(upstream).where(mask, upstream, namespace(upstream).zeros_like(upstream))


def _signs(array: Array, rng: np.random.Generator) -> NDArray[np.int8]:
    signs = rng.integers(0, 1, tuple(array.shape), np.int8, endpoint=True)
    return signs * np.int8(2) - np.int8(1)


def _times(x: Array, part: float) -> Array:
    return cast(x * part, dtype_name(x.dtype)) if is_floating(dtype_name(x.dtype)) else x


def _larger(gradient: Array) -> float:
    """Return what a tenth of the elements exceed."""
    sizes = on_host(abs(known(gradient))).reshape(-1)
    return float(np.quantile(sizes, UPPER_QUANTILE, method="lower")) if sizes.size else 0.0


def _root_mean_square(
    draw: Callable[[], Mapping[str, Array]], base: Mapping[str, Array], times: int
) -> dict[str, Array]:
    """Return the root mean square of what is drawn, less a base where one is given; zero where it is not finite."""
    sums: dict[str, Array] = {}
    drawn = 0
    for _ in range(times):
        made = draw()
        drawn += bool(made)
        for name, gradient in made.items():
            if not count(gradient):
                continue
            off = known(gradient - base[name] if name in base else gradient) / times**0.5
            sums[name] = namespace(off).hypot(sums[name], abs(off)) if name in sums else abs(off)
    return {name: total * (times / drawn) ** 0.5 for name, total in sums.items()}
