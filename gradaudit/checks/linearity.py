"""Whether backward depends on the upstream gradient, and linearly: a vector-Jacobian product does.

Two more upstreams are powers of two times the first at every element, so that no rounding enters by them:
``v = s u`` with s drawn from -1 and -1/4, and ``w = u/2 + v``, which is ``-u/2`` or ``u/4``. The second is asked for
1,024 times as large again, which shows a clip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from gradaudit.checks.agreement import Change, alike, exceeding
from gradaudit.checks.gradient.evaluation_point import widened
from gradaudit.checks.gradient.narrowing import narrowest
from gradaudit.checks.probe import Probe, Upstream
from gradaudit.numerics.arrays import Array, as_reals, cast, dtype_name, largest, like, namespace
from gradaudit.numerics.margins import SAFETY, SIGNIFICANT
from gradaudit.results import Finding
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES, largest_value, spacing
from gradaudit.targets.op import OpError

LARGE_UPSTREAM = 1 / spacing("float16")
"""How many times as large an upstream is tried: a loss scale of mixed precision makes up for float16's digits."""

OF_V, OF_W = (-1.0, -0.25), (-0.5, 0.25)
"""What ``v`` and ``w`` are times ``u``, at one half of the elements and at the other."""


@dataclass(frozen=True)
class Answers:
    """Backward's answers to u, to v and to ``w = u/2 + v``, in double precision."""

    u: Array
    v: Array
    w: Array

    @cached_property
    def largest(self) -> float:
        """The largest magnitude in any of them, NaN where there is a NaN."""
        return float(np.max([largest(answer) for answer in (self.u, self.v, self.w)]))

    @property
    def expected(self) -> Array:
        """What the answer to w should be."""
        expected = self.u / 2
        expected += self.v
        return expected


def is_asked(probe: Probe) -> bool:
    """Whether backward is given an upstream at all; the gradient function of a scalar loss may take none."""
    return probe.case.takes_upstream or any(math.prod(u.shape) != 1 for u in probe.upstream)


def upstream_dependence(probe: Probe) -> Iterator[Finding]:
    """Yield a finding for each input whose gradient ignores the upstream, or is not linear in it."""
    if not is_asked(probe):
        return
    v, w = other(probe, *OF_V), other(probe, *OF_W)
    in_v, in_w = probe.backward(probe.base, v), probe.backward(probe.base, w)
    rounding: Callable[[], dict[str, float]] = cache(lambda: probe.roundoff_of_backward(probe.base, v, in_v))
    found = [_fault(probe, name, in_v, in_w, rounding) for name in probe.claimed]
    yield from filter(None, found)
    if any(found):
        return
    with suppress(OpError):
        made = probe.backward(probe.base, scaled_by(w, large(probe)))
        in_large = {name: widened(gradient) / large(probe) for name, gradient in made.items()}
        for name in probe.claimed:
            if _fault(probe, name, in_v, in_large, rounding):
                yield _clipped(name, Answers(*(widened(made[name]) for made in (probe.gradients, in_v, in_large))))


def _fault(
    probe: Probe,
    name: str,
    in_v: Mapping[str, Array],
    in_w: Mapping[str, Array],
    measured: Callable[[], Mapping[str, float]],
) -> Finding | None:
    """Return what is wrong with how a gradient depends on the upstream; its rounding is measured where that matters."""
    answers = Answers(*(widened(gradients[name]) for gradients in (probe.gradients, in_v, in_w)))
    if not math.isfinite(answers.largest):
        return None
    inside = narrowest(as_reals(answers.w))
    coarse = math.sqrt(max(probe.spacing, spacing(inside) if inside else 0.0))
    negligible, rounding = coarse * probe.natural_scale(name), coarse * answers.largest
    if answers.largest <= negligible:
        return None
    if alike(answers.u, answers.v, rounding) and alike(answers.u, answers.w, rounding):
        return _ignored(name, answers)
    allowed = rounding + negligible + _slack(probe, answers)
    if not exceeding(answers.expected, answers.w, allowed):
        return None
    off = exceeding(answers.expected, answers.w, allowed + SIGNIFICANT * measured()[name])
    return _nonlinear(name, off, answers) if off else None


def large(probe: Probe) -> float:
    """Return how many times as large an upstream is tried, as far as the dtype has room for it."""
    room = largest_value(dtype_name(probe.upstream[0].dtype)) ** 0.25 if probe.upstream else LARGE_UPSTREAM
    return min(LARGE_UPSTREAM, 2.0 ** math.floor(math.log2(room)))


def scaled_by(upstream: Upstream, times: float) -> Upstream:
    """Return an upstream so many times as large."""
    return tuple(cast(part * times, dtype_name(part.dtype)) for part in upstream)


def other(probe: Probe, one: float, other: float) -> Upstream:
    """Return the upstream times one number at random elements, the same at every call, and another elsewhere."""
    rng = generator(probe.case, "linearity")
    far = [like(rng.random(tuple(u.shape), np.float32) < 0.5, u) for u in probe.upstream]
    return tuple(_scaled(u, k, one, other) for u, k in zip(probe.upstream, far, strict=True))


def _scaled(u: Array, far: Array, one: float, other: float) -> Array:
    """Return an upstream times one number where a mask is true, and another elsewhere."""
    made = cast(far, dtype_name(u.dtype))
    made *= one - other
    made += other
    made *= u
    return made


def _slack(probe: Probe, answers: Answers) -> float:
    """Return what the tolerance admits; backward may compute in a narrower dtype than it is asked in."""
    tolerance = probe.case.tolerance or DEFAULT_TOLERANCES[probe.case.dtype]
    wide = probe.spacing <= np.finfo(np.float64).eps
    return SAFETY * (tolerance.rtol * answers.largest + (0.0 if wide else tolerance.atol))


def _ignored(name: str, answers: Answers) -> Finding:
    message = (
        f"backward does not use the upstream gradient: the gradient of {name} is the same for three upstreams that "
        "differ at every element; multiply by it (the chain rule)"
    )
    return Finding("upstream-ignored", message, {"array": name, "largest": answers.largest})


def _clipped(name: str, answers: Answers) -> Finding:
    place = _example(answers)
    message = (
        f"backward is linear in a small upstream gradient and not in one {LARGE_UPSTREAM:,.0f} times as large: the "
        f"gradient of {name} should be {place['expected']:.4g} times that and is {place['found']:.4g} times that where "
        "the error is largest; look for a clip, a saturation or an overflow"
    )
    return Finding("upstream-clipped", message, {"array": name, **place})


def _nonlinear(name: str, off: Change, answers: Answers) -> Finding:
    place: Mapping[str, float] = _example(answers)
    message = (
        f"backward is not linear in the upstream gradient: for w = u/2 + v the gradient of {name} should be "
        f"{place['expected']:.4g} and is {place['found']:.4g} where the error is largest, and is wrong at "
        f"{off.count:,} of {off.size:,} indices; look for a constant added, a clip, or an upstream used twice"
    )
    return Finding("nonlinear-upstream", message, {"array": name, **off.evidence, **place})


def _example(answers: Answers) -> dict[str, float]:
    expected = answers.expected
    place = np.unravel_index(int(namespace(expected).argmax(abs(answers.w - expected))), expected.shape)
    return {"expected": float(expected[place].real), "found": float(answers.w[place].real)}
