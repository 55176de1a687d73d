"""The same inputs otherwise in memory: forward and backward answer the same.

Where both read memory in its order, they agree with each other in every layout, and no difference of forward shows it.
What works on its inputs in place and puts them back cannot where they are read-only, as JAX's arrays are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from gradaudit.checks import compared
from gradaudit.checks.agreement import Change
from gradaudit.checks.determinism import worst_change
from gradaudit.checks.layout import reversed_axes, stretched
from gradaudit.checks.probe import Point, Probe, Upstream
from gradaudit.numerics.arrays import Array, all_finite, copied, is_contiguous, is_writable, lifted
from gradaudit.numerics.magnitude import rms
from gradaudit.results import Finding
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES
from gradaudit.targets.op import OpError

Inputs = dict[str, Array]


@dataclass(frozen=True)
class Copy:
    """Inputs, and the same ones otherwise in memory.

    Attributes:
        how: they lie there, to follow "inputs" in a sentence.
        plain: the ones; those of the case itself, or contiguous.
        inputs: the others.
        upstream: what backward is given with the others.

    """

    how: str
    plain: Inputs
    inputs: Inputs
    upstream: Upstream


def laid_out_otherwise(probe: Probe) -> Iterator[Finding]:
    """Yield a finding where an output, or else a gradient, changes with how the inputs lie in memory."""
    for copy in _copies(probe):
        with suppress(OpError):  # forward does not take them so, or backward not their values
            found = list(_changed(probe, copy))
            if found and not _is_rounding(probe, copy):
                yield from found
                return


def _copies(probe: Probe) -> Iterator[Copy]:
    inputs, upstream = probe.subject.inputs, probe.subject.upstream
    yield Copy("in another memory layout", inputs, {name: _otherwise(x) for name, x in inputs.items()}, upstream)
    rows = {name: _stretched(x) for name, x in inputs.items()}
    dense = {name: copied(x.reshape(-1)).reshape(x.shape) for name, x in rows.items()}
    yield Copy("whose rows are one row that is stretched, with strides of zero,", dense, rows, upstream)
    if not hasattr(probe.op, "native"):  # a framework makes arrays of its own
        frozen = {name: _frozen(x) for name, x in inputs.items()}
        yield Copy("that are read-only and not aligned in memory", inputs, frozen, tuple(map(_frozen, upstream)))


def _is_rounding(probe: Probe, copy: Copy) -> bool:
    """Whether rows that are all one change in another layout as well: of what differs between them rounding is left."""
    if copy.plain is probe.subject.inputs:
        return False
    control = replace(copy, inputs={name: _otherwise(x) for name, x in copy.plain.items()})
    return bool(list(_changed(probe, control)))


def _changed(probe: Probe, copy: Copy) -> Iterator[Finding]:
    """Yield what changes from one copy to the other.

    Raises:
        OpError: where forward does not take one of them, or backward not the plain one.

    """
    own = copy.plain is probe.subject.inputs
    if all(copy.inputs[name] is copy.plain[name] for name in copy.plain):
        return
    plain = Point(copy.plain, probe.subject.outputs if own else probe.forward(copy.plain))
    other = Point(copy.inputs, probe.forward(copy.inputs))
    was, now = probe.counted(plain.outputs), probe.counted(other.outputs)
    if not all(map(all_finite, was)):
        return
    if seen := worst_change(was, now, probe.subject.inputs):
        tolerance = probe.case.tolerance or DEFAULT_TOLERANCES[probe.case.dtype]
        # Where all rows are one, what is left of a difference of rows is rounding: a batch norm's whole output.
        usual = 0.0 if own else math.sqrt(probe.rounding) * rms(probe.outputs)
        if not seen.largest <= max(tolerance.rtol * rms(lifted(was)), usual):
            yield _finding("forward's output", probe.claimed[0], copy.how, seen)
        return
    gradients = {name: compared.claim(probe, name) for name in probe.claimed}
    if not own:
        gradients = probe.backward(plain, probe.subject.upstream)
    try:
        answer = probe.backward(other, copy.upstream)
    except OpError as error:
        message = f"with the same inputs, {copy.how}, which forward takes: {error}"
        yield Finding("layout-dependent", message, {"array": probe.claimed[0], "relation": "copies", "raised": True})
        return
    asked = compared.Asked(plain, probe.subject.upstream, gradients)
    for name in probe.claimed:
        if changed := compared.change(probe, name, gradients[name], answer[name], asked):
            yield _finding(f"backward's gradient of {name}", name, copy.how, changed)


def _otherwise(array: Array) -> Array:
    """Return a contiguous copy, or else one with its axes reversed in memory and gaps between elements."""
    if not is_writable(array):
        return array
    return reversed_axes((array,))[0] if is_contiguous(array) else copied(array.reshape(-1)).reshape(array.shape)


def _stretched(array: Array) -> Array:
    """Return an array's first row in the place of each, in the same memory."""
    rows = stretched((array,))
    return array if rows is None else rows[0]


def _frozen(array: Array) -> Array:
    """Return a copy of an array of NumPy that cannot be written to and begins one byte after what is aligned."""
    if not isinstance(array, np.ndarray):
        return array
    memory = np.zeros(array.nbytes + 1, np.uint8)
    frozen = np.frombuffer(memory, array.dtype, math.prod(array.shape), offset=1).reshape(array.shape)
    frozen[...] = array
    frozen.flags.writeable = False
    return frozen


def _finding(what: str, name: str, how: str, seen: Change) -> Finding:
    message = (
        f"{what} changes with the same inputs, {how.removesuffix(',')}, at {seen.count:,} of {seen.size:,} indices by "
        f"up to {seen.largest:.2g}: copy what has to be dense, and write to nothing that is given"
    )
    evidence = {"array": name, "relation": "copies", "changed": seen.count, "size": seen.size, "largest": seen.largest}
    return Finding("layout-dependent", message, evidence)
