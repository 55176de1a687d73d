"""One screening of backward, which a right one passes: four questions that share their calls.

Is its answer the same again, is it linear in the upstream, does it mind how that lies in memory, and does it answer for
the inputs that it is given? Besides the first answer this takes three: at another point, where differences of forward
must bear it out; then at the first again for a stretched upstream ``t``, and for ``w = u + t`` in another layout and
1,024 times as large. Where one is off, any of the four may be why, and each has a check that tells. No more is allowed
here than rounding must cost, so that nothing passes which they would find.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial

import numpy as np

from gradaudit.checks.agreement import scatter
from gradaudit.checks.captured import comparable, forget, second_inputs, trials
from gradaudit.checks.gradient.evaluation_point import widened
from gradaudit.checks.layout import narrow_view, reversed_axes, stretched
from gradaudit.checks.linearity import OF_V, is_asked, large, other
from gradaudit.checks.probe import Point, Probe
from gradaudit.numerics.arrays import Array, cast, dtype_name, in_cache, largest
from gradaudit.results import Verdict
from gradaudit.spec.draw import UndrawableError
from gradaudit.spec.dtypes import spacing
from gradaudit.targets.op import OpError


def is_clear(probe: Probe) -> bool:
    """Whether backward passes; where not, or where it refuses what it is asked, there may be a fault or none.

    It is not asked with an upstream that a spec gives, which may be a multiple of ``t``.
    """
    if not isinstance(probe.case.upstream, str) or probe.case.upstream != "random" or not is_asked(probe):
        return False
    with suppress(OpError, UndrawableError, MemoryError):
        if not probe.claimed or _is_clear(probe):
            return bool(probe.claimed)
    if probe.backward_inputs != frozenset():
        probe.forward(probe.inputs)  # what follows is not about the other inputs, which were the last
    return False


def _is_clear(probe: Probe) -> bool:
    there = second_inputs(probe)
    if there is not None and not _is_right_there(probe, there):
        return False
    forget(probe, there or {})
    del there
    t = stretched(probe.upstream) or narrow_view(other(probe, *OF_V))
    in_t = probe.backward_only(probe.base, t)
    w = reversed_axes(tuple(_sum(u, more, large(probe)) for u, more in zip(probe.upstream, t, strict=True)))
    in_w = probe.backward(probe.base, w, fleeting=True)
    return all(_adds_up(probe, name, in_t, in_w) for name in probe.claimed)


def _sum(one: Array, other: Array, times: float) -> Array:
    """Return so many times the sum of two parts of upstreams."""
    made = one + other
    made *= times
    return cast(made, dtype_name(one.dtype))


def _is_right_there(probe: Probe, there: dict[str, Array]) -> bool:
    """Whether forward bears out what backward answers at other inputs, which is asked where it does at the first."""
    right = probe.verdict is not Verdict.FAIL
    if not right and probe.backward_inputs == frozenset():
        return True
    second = Point(there, probe.forward(there))
    if not comparable(probe, second):
        return True
    answer = probe.backward_only(second, narrow_view(probe.upstream))
    made = trials(probe, second, probe.gradients, answer) if right else ()
    return not any(trial.contradiction() for _, trial in made)


def _adds_up(probe: Probe, name: str, in_t: Mapping[str, Array], in_w: Mapping[str, Array]) -> bool:
    """Whether the answer to ``w`` is what those to ``u`` and ``t`` make of it, but for what rounding must cost."""
    u, t, w = (made[name] for made in (probe.gradients, in_t, in_w))
    if not u.dtype == t.dtype == w.dtype:
        return False
    u, t, w = (made.reshape(-1) for made in (u, t, w))
    furthest, times = 0.0, large(probe)
    for part in in_cache(w):
        off = widened(w[part]) / times
        off -= widened(t[part])
        off -= widened(u[part])
        furthest = float(np.maximum(furthest, largest(off)))
    allowed = partial(scatter, probe.terms, spacing(dtype_name(w.dtype)), probe.natural_scale(name))
    return furthest <= allowed(0.0) or furthest <= allowed(largest(widened(w)) / times)
