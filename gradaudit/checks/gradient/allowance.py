"""What an analytical gradient may be off by at each index, without a constant that has a scale.

For a dtype with unit roundoff u, and ``a`` the numerical gradient at an index,

    tolerance = rtol |a| + C u (M + |a| + rms a) + C D

``M`` is the uncancelled magnitude: the rms of what backward gives where the upstream's signs are drawn at random, to
which the terms of a sum add up when they do not cancel. ``D`` is the inherent error: the rms change of the gradient
where inputs and upstream are rounded, which no algorithm that is given rounded inputs can avoid (N. J. Higham,
Accuracy and Stability of Numerical Algorithms, 2002, section 1.6). Both cost calls of backward, and are asked for only
where a claim is not within the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.gradient.ground import Ground, widened
from gradaudit.checks.gradient.inside import displaced
from gradaudit.numerics.arrays import Array, cast, count, dtype_name, like, namespace, on_host
from gradaudit.numerics.magnitude import rms
from gradaudit.spec.case import Tolerance
from gradaudit.spec.draw import generator
from gradaudit.targets.op import OpError

ROUNDINGS = 16.0
"""``C``: of 2,154 right gradients in float32, float16 and bfloat16, errors in units of what it multiplies have a median
of 0.25, and 99% of them are below 3.8."""

DRAWS = 4
"""Random signs, and roundings, that a root mean square is taken over."""

NOTHING: Mapping[str, Array] = {}


class Roundoff:
    """What rounding must cost at each index of every gradient of a case, found out by calls of backward when asked.

    Args:
        ground: where forward is differenced; backward is asked there.
        unit: the unit roundoff of the dtype whose rounding is meant.
        gradients: what backward gave there, by input, in double precision.

    """

    def __init__(self, ground: Ground, unit: float, gradients: Mapping[str, Array]) -> None:
        self._ground = ground
        self._gradients = gradients
        self.unit = unit

    @cached_property
    def magnitudes(self) -> Mapping[str, Array]:
        """The uncancelled magnitude ``M`` of each gradient, by input."""
        ground, rng = self._ground, generator(self._ground.subject.case, "signs")
        outputs = self._outputs(ground.inputs)

        def drawn() -> Mapping[str, Array]:
            signed = [_signed(part, rng) for part in ground.subject.upstream]
            return ground.claims(signed, ground.inputs, outputs) if outputs else NOTHING

        return _root_mean_square(drawn, {})

    @cached_property
    def level(self) -> Mapping[str, Array]:
        """What each gradient comes to at upstreams of one magnitude and random signs, by input: one such draw."""
        ground, rng = self._ground, generator(self._ground.subject.case, "level")
        outputs = self._outputs(ground.inputs)
        even = [like(np.full(tuple(part.shape), rms(part)), part) for part in ground.subject.upstream]
        made = ground.claims([_signed(part, rng) for part in even], ground.inputs, outputs) if outputs else NOTHING
        return {name: abs(gradient) for name, gradient in made.items()}

    @cached_property
    def inherent(self) -> Mapping[str, Array]:
        """The inherent error ``D`` of each gradient, by input."""
        ground, rng = self._ground, generator(self._ground.subject.case, "rounding")

        def nudged() -> Mapping[str, Array]:
            # Towards zero: to where the op is defined too, as a rule.
            inputs = {name: displaced(x, -self.unit, rng) for name, x in ground.inputs.items()}
            upstream = [displaced(widened(part), -self.unit, rng) for part in ground.subject.upstream]
            outputs = self._outputs(inputs)
            return ground.claims(upstream, inputs, outputs) if outputs else NOTHING

        return _root_mean_square(nudged, self._gradients)

    def _outputs(self, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        try:
            return self._ground.subject.op.forward(inputs)
        except OpError:
            return ()


class Allowance:
    """What one gradient may be off by, at each index.

    Args:
        name: the input.
        tolerance: its relative part, and an absolute part that is the same at every index.
        roundoff: what rounding must cost besides; None where the spec asks for a tolerance, which is kept literally.

    """

    def __init__(self, name: str, tolerance: Tolerance, roundoff: Roundoff | None) -> None:
        self.name = name
        self.tolerance = tolerance
        self._roundoff = roundoff
        self._more: NDArray[Any] | None = None

    @property
    def asked(self) -> bool:
        """Whether the spec asks for this tolerance."""
        return self._roundoff is None

    def at(self, index: tuple[int, ...]) -> Tolerance:
        """Return the tolerance at an index."""
        given = self.tolerance
        return given if self._more is None else Tolerance(given.rtol, given.atol + float(self._more[index]))

    def of(self, numerical: Array, places: NDArray[np.intp] | None = None) -> Array:
        """Return what is allowed where the numerical gradient is this: at all indices, or at those that are given."""
        allowed = self.tolerance.atol + self.tolerance.rtol * abs(numerical)
        if self._more is None:
            return allowed
        return allowed + (like(self._more, allowed) if places is None else self._more[tuple(places.T)])

    def include_roundoff(self) -> bool:
        """Add what rounding must cost at each index; return whether that had been left out, so that it may matter."""
        if self._roundoff is None or self._more is not None:
            return False
        magnitude, inherent = self.magnitude, self._roundoff.inherent.get(self.name)
        if magnitude is None or inherent is None:
            return False
        self._more = ROUNDINGS * (self._roundoff.unit * on_host(magnitude) + on_host(inherent))
        return True

    @property
    def magnitude(self) -> Array | None:
        """The uncancelled magnitude at each index; None where backward does not tell."""
        return None if self._roundoff is None else self._roundoff.magnitudes.get(self.name)


def unasked(rtol: float, unit: float, typical: float) -> Tolerance:
    """Return the part of a tolerance that is known without another call: ``rtol |a| + C u rms a``."""
    return Tolerance(rtol, ROUNDINGS * unit * typical)


def _signed(upstream: Array, rng: np.random.Generator) -> Array:
    signs = rng.integers(0, 1, tuple(upstream.shape), np.int8, endpoint=True) * np.int8(2) - np.int8(1)
    return upstream * cast(like(signs, upstream), dtype_name(upstream.dtype))


def _root_mean_square(draw: Callable[[], Mapping[str, Array]], base: Mapping[str, Array]) -> dict[str, Array]:
    """Return the root mean square of what is drawn, less a base where one is given; zero where it is not finite."""
    squares: dict[str, Array] = {}
    drawn = 0
    for _ in range(DRAWS):
        made = draw()
        drawn += bool(made)
        for name, gradient in made.items():
            if not count(gradient):
                continue
            off = abs(gradient - base[name]) if name in base else abs(gradient)
            xp = namespace(off)
            squares[name] = squares.get(name, 0.0) + xp.where(xp.isfinite(off), off, 0.0) ** 2
    return {name: (total / drawn) ** 0.5 for name, total in squares.items()}
