"""Whether backward answers for the inputs that it is given, or for those of an earlier forward.

Two things are tried with the live op. Forward is called at a second point, and then backward at the first: the answer
must be what it was. And where the gradient is right at the first point, what backward answers at the second must agree
with forward there. An op whose backward is given nothing but the upstream leans on its last forward by its contract,
and is spared the first trial.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.gradient.beside import inside
from gradaudit.checks.gradient.evaluation_point import widened
from gradaudit.checks.probe import Point, Probe
from gradaudit.checks.trial import Trial, try_claim
from gradaudit.numerics.arrays import Array, all_finite, dtype_name, largest, on_host, same_bits
from gradaudit.numerics.margins import SIGNIFICANT, SLOPE_RTOL, SMALL_SAMPLE
from gradaudit.results import Finding, Verdict
from gradaudit.spec.case import Input
from gradaudit.spec.draw import draw_input, generator, laid_out
from gradaudit.spec.dtypes import dtype_of
from gradaudit.targets.op import OpError

NUDGE = 1 / SIGNIFICANT
"""Relative change of values that a spec gives explicitly, where there is nothing to draw anew."""


def captured_state(probe: Probe) -> Iterator[Finding]:
    """Yield a finding where backward's answer belongs to other inputs than those it is given."""
    there = second_inputs(probe)
    if not probe.claimed or there is None:
        return
    here = probe.gradients
    second = Point(there, probe.forward(there))
    if not comparable(probe, second):
        return
    answer = probe.backward_only(second, probe.upstream)  # which is right after its own forward
    finding = _stale_here(probe, second, here, answer) or _stale_there(probe, second, here, answer)
    if finding:
        yield finding


def second_inputs(probe: Probe) -> dict[str, Array] | None:
    """Return inputs drawn as the spec says with another seed, in the probe's dtype and layout; None for the same.

    Explicit values are changed slightly where they are differentiable, no farther than from the least of them to the
    largest, and kept where they are data.
    """
    made = {}
    for plan in probe.case.inputs:
        rng = generator(probe.case, plan.name, seed=-1 - probe.case.seed)
        given = plan.values is not None
        array = _nudged(on_host(probe.subject.inputs[plan.name]), plan, rng) if given else draw_input(plan, rng)
        dtype = dtype_of(dtype_name(probe.inputs[plan.name].dtype))
        if given or array.dtype != dtype:
            array = laid_out(array.astype(dtype, copy=False), plan.layout)
        made[plan.name] = probe.subject.placed(array)
    return None if all(same_bits(made[name], probe.inputs[name]) for name in made) else made


def forget(probe: Probe, there: Mapping[str, Array]) -> None:
    """Call forward at other inputs last; only what backward is not given, and may remember, stays as it was."""
    given = probe.backward_inputs
    if given is not None and given < set(probe.inputs):
        probe.forward({**probe.base.inputs, **{name: there[name] for name in given if name in there}})


def _nudged(array: NDArray[Any], plan: Input, rng: np.random.Generator) -> NDArray[Any]:
    if not plan.differentiable:
        return array
    factors = np.asarray(rng.random(array.shape))
    factors *= 2 * NUDGE
    factors += 1 - NUDGE
    nudged = factors.astype(array.dtype, copy=False)
    nudged *= array
    return np.asarray(inside(nudged, array, plan.range))


def comparable(probe: Probe, second: Point) -> bool:
    """Whether the second point's outputs have the shapes of the first one's and are finite."""
    pairs = zip(probe.counted(second.outputs), probe.counted(probe.base.outputs), strict=True)
    return all(there.shape == here.shape and all_finite(there) for there, here in pairs)


def _stale_here(probe: Probe, second: Point, here: Mapping[str, Array], answer: Mapping[str, Array]) -> Finding | None:
    """Return a finding where a forward called elsewhere changes the answer at the first point."""
    if probe.backward_inputs == frozenset():
        return None
    forget(probe, second.inputs)
    try:
        now = probe.backward_only(probe.base, probe.upstream)
    except OpError:
        return None
    changes = {name: probe.gradient_change(name, here[name], now[name]) for name in probe.claimed}
    if not (moved := [name for name, seen in changes.items() if seen]):
        return None
    name, seen = moved[0], changes[moved[0]]
    others = not probe.gradient_change(name, answer[name], now[name])
    whose = "is the gradient at those inputs" if others else "changes"
    message = (
        f"after a forward with other inputs, backward's gradient of {name} {whose}, at {seen.count:,} of "
        f"{seen.size:,} indices by up to {seen.largest:.2g}: backward uses values saved by the last forward call, not "
        "its arguments"
    )
    evidence = {
        "array": name,
        "order": "forward(x), forward(other), backward(x)",
        "same_answer": others,
        "changed": seen.count,
        "largest": seen.largest,
    }
    return Finding("captured-state", message, evidence)


def _stale_there(probe: Probe, second: Point, here: Mapping[str, Array], answer: Mapping[str, Array]) -> Finding | None:
    """Return a finding where a gradient that is right at the first point is wrong at the second."""
    if (error := _error_there(probe, second, here, answer)) == 0.0:
        return None
    rounding = probe.roundoff_of_backward(second, probe.upstream, answer)
    relative = max((rounding[name] / (largest(widened(answer[name])) or 1.0) for name in probe.claimed), default=0.0)
    if error <= SIGNIFICANT * relative:
        return None
    same = not any(probe.gradient_change(name, here[name], answer[name]) for name in probe.claimed)
    # Kinks at the second point can cancel along one direction so that they look like an error, but not along two.
    if not same and not try_claim(probe, second, answer, "captured again").contradiction():
        return None
    message = (
        "backward returns the same gradient at two points where forward's derivative differs: it uses values saved by "
        "another forward call, not its arguments"
        if same
        else "the gradient is right at the first point and wrong at a second one: backward uses values saved by "
        "another forward call, or its formula holds only for inputs like the first"
    )
    evidence = {"order": "forward(other), backward(other)", "same_answer": same, "relative_error": error}
    return Finding("captured-state", f"{message} (off by {error:.2g} of its size)", evidence)


def _error_there(probe: Probe, second: Point, here: Mapping[str, Array], answer: Mapping[str, Array]) -> float:
    """Return the relative error at the second point of a gradient that is right at the first, 0 where there is none.

    The same direction and step are the control: where they find fault with the first point too, they are to blame.
    """
    if probe.verdict not in (Verdict.PASS, Verdict.INCONCLUSIVE):
        return 0.0
    for direction, trial in trials(probe, second, here, answer):
        error = trial.contradiction()
        if error and try_claim(probe, probe.base, here, direction).borne_out:
            return error
    return 0.0


def trials(
    probe: Probe, second: Point, here: Mapping[str, Array], answer: Mapping[str, Array]
) -> Iterator[tuple[str, Trial]]:
    """Yield trials of an answer at another point, each with the name of its direction.

    One tells what is far off. What is off by its own size it misses in so many cases as the part of that which is
    tolerated: in half precision in every fifth. So more are made of an answer that is the first point's, bit by bit,
    which is right of a linear op alone.
    """
    same = any(same_bits(here[name], answer[name]) and bool((answer[name] != 0).any()) for name in here)
    missed = 1.0
    for k in range(SMALL_SAMPLE):
        name = f"captured {k}" if k else "captured"
        trial = try_claim(probe, second, answer, name)
        yield name, trial
        missed *= max(trial.allowed, trial.tolerated) / (trial.claim or math.inf)
        if not same or missed <= SLOPE_RTOL:
            return
