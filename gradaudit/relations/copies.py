"""The same inputs in another memory layout: forward and backward answer the same.

Where both read memory in its order, they agree with each other in every layout, and no difference of forward shows it.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradaudit.checks.agreement import Change
from gradaudit.checks.determinism import worst_change
from gradaudit.checks.layout import reversed_axes
from gradaudit.checks.probe import Point, Probe
from gradaudit.numerics.arrays import Array, copied, is_contiguous, is_writable, lifted
from gradaudit.numerics.magnitude import rms
from gradaudit.relations import compared
from gradaudit.results import Finding
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES
from gradaudit.targets.op import OpError


def laid_out_otherwise(probe: Probe) -> Iterator[Finding]:
    """Yield a finding where an output, or else a gradient, changes with the memory layout of the inputs.

    Raises:
        OpError: where forward does not take them so.

    """
    subject = probe.subject
    inputs = {name: _otherwise(array) for name, array in subject.inputs.items()}
    if all(inputs[name] is subject.inputs[name] for name in inputs):
        return
    outputs = probe.forward(inputs)
    was, now = probe.counted(subject.outputs), probe.counted(outputs)
    if seen := worst_change(was, now, subject.inputs):
        tolerance = probe.case.tolerance or DEFAULT_TOLERANCES[probe.case.dtype]
        if seen.largest > tolerance.rtol * rms(lifted(was)):
            yield _finding("forward's output", probe.claimed[0], seen)
        return
    try:
        answer = probe.backward(Point(inputs, outputs), subject.upstream)
    except OpError as error:
        message = f"with the same inputs in another memory layout, which forward takes, {error}"
        yield Finding("layout-dependent", message, {"array": probe.claimed[0], "relation": "copies"})
        return
    for name in probe.claimed:
        if changed := compared.change(probe, name, compared.claim(probe, name), answer[name]):
            yield _finding(f"backward's gradient of {name}", name, changed)


def _otherwise(array: Array) -> Array:
    """Return a contiguous copy, or else one with its axes reversed in memory and gaps between elements."""
    if not is_writable(array):
        return array
    return reversed_axes((array,))[0] if is_contiguous(array) else copied(array.reshape(-1)).reshape(array.shape)


def _finding(what: str, name: str, seen: Change) -> Finding:
    message = (
        f"{what} changes if the same inputs lie in memory in another way, at {seen.count:,} of {seen.size:,} indices "
        f"by up to {seen.largest:.2g}: strides are ignored"
    )
    evidence = {"array": name, "relation": "copies", "changed": seen.count, "size": seen.size, "largest": seen.largest}
    return Finding("layout-dependent", message, evidence)
