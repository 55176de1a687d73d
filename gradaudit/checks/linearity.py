"""Whether backward depends on the upstream gradient, and linearly: a vector-Jacobian product does.

Two more upstreams are powers of two times the first at every element, so that no rounding enters by them:
``v = s u`` with s drawn from -1 and -1/4, and ``w = u/2 + v``, which is ``-u/2`` or ``u/4``. None is larger than the
first, so that nothing overflows that did not before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradaudit.checks.agreement import Change, alike, exceeding
from gradaudit.checks.gradient.ground import widened
from gradaudit.checks.probe import Probe, Upstream
from gradaudit.numerics.arrays import Array, cast, dtype_name, largest, like, namespace
from gradaudit.results import Finding
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES

ROUNDED = 4.0
"""Tolerances that three answers, each right within one, may miss linearity by."""


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


def upstream_dependence(probe: Probe) -> Iterator[Finding]:
    """Yield a finding for each input whose gradient ignores the upstream, or is not linear in it.

    The gradient function of a scalar loss may take none.
    """
    if not probe.case.takes_upstream and all(math.prod(u.shape) == 1 for u in probe.upstream):
        return
    in_v, in_w = (probe.backward(probe.base, upstream) for upstream in _other_upstreams(probe))
    for name in probe.claimed:
        answers = Answers(*(widened(gradients[name]) for gradients in (probe.gradients, in_v, in_w)))
        if not math.isfinite(answers.largest):
            continue
        negligible = math.sqrt(probe.spacing) * probe.natural_scale(name)
        rounding = math.sqrt(probe.spacing) * answers.largest
        if answers.largest <= negligible:
            continue
        if _ignores(answers, rounding):
            yield _ignored(name, answers)
        elif off := exceeding(answers.expected, answers.w, rounding + negligible + _slack(probe, answers)):
            yield _nonlinear(name, off, answers)


def _other_upstreams(probe: Probe) -> Iterator[Upstream]:
    rng = generator(probe.case, "linearity")
    far = [like(rng.random(tuple(u.shape), np.float32) < 0.5, u) for u in probe.upstream]
    for one, other in ((-1.0, -0.25), (-0.5, 0.25)):
        yield tuple(_scaled(u, k, one, other) for u, k in zip(probe.upstream, far, strict=True))


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
    return ROUNDED * (tolerance.rtol * answers.largest + (0.0 if wide else tolerance.atol))


def _ignores(answers: Answers, rounding: float) -> bool:
    return alike(answers.u, answers.v, rounding) and alike(answers.u, answers.w, rounding)


def _ignored(name: str, answers: Answers) -> Finding:
    message = (
        f"backward does not use the upstream gradient: the gradient of {name} is the same for three upstreams that "
        "differ at every element; multiply by it (the chain rule)"
    )
    return Finding("upstream-ignored", message, {"array": name, "largest": answers.largest})


def _nonlinear(name: str, off: Change, answers: Answers) -> Finding:
    place: Mapping[str, float] = _example(answers)
    message = (
        f"backward is not linear in the upstream gradient: for w = u/2 + v the gradient of {name} should be "
        f"{place['expected']:.4g} and is {place['found']:.4g} where it is furthest off, and is off at {off.count:,} of "
        f"{off.size:,} indices; a constant added, a clip, or an upstream used twice"
    )
    evidence = {"array": name, "changed": off.count, "size": off.size, "largest": off.largest, **place}
    return Finding("nonlinear-upstream", message, evidence)


def _example(answers: Answers) -> dict[str, float]:
    expected = answers.expected
    place = np.unravel_index(int(namespace(expected).argmax(abs(answers.w - expected))), expected.shape)
    return {"expected": float(expected[place].real), "found": float(answers.w[place].real)}
