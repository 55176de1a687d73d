"""What every check looks at: an op that has been opened, fed and called once, and whether it kept its contract."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import (
    LARGE,
    Array,
    all_finite,
    bits_of,
    cast,
    copied,
    count,
    dtype_name,
    has_bits,
    like,
    namespace,
    places,
    same_bits,
)
from gradaudit.numerics.margins import FAR
from gradaudit.results import Finding
from gradaudit.spec.case import Case
from gradaudit.spec.draw import draw_inputs, draw_upstream, laid_out
from gradaudit.spec.dtypes import dtype_of
from gradaudit.targets.counted import CountingOp, counting
from gradaudit.targets.op import Op, OpError
from gradaudit.targets.parameters import completed
from gradaudit.targets.unwritten import FIRST, unwritten


class Snapshot(NamedTuple):
    """The bits of some arrays at one moment, to be compared with and restored later."""

    arrays: Mapping[str, Array]
    bits: Mapping[str, Any]

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> Snapshot:
        """Remember the present contents of the arrays."""
        return cls(arrays, {name: bits_of(array) for name, array in arrays.items()})

    def and_of(self, arrays: Mapping[str, Array]) -> Snapshot:
        """Remember the present contents of some more arrays."""
        more = Snapshot.of(arrays)
        return Snapshot({**self.arrays, **more.arrays}, {**self.bits, **more.bits})

    def changed(self) -> list[str]:
        """Return the names of those arrays that are no longer bit-identical."""
        return [name for name, array in self.arrays.items() if not has_bits(array, self.bits[name])]

    def restore(self, changed: Iterable[str]) -> None:
        """Write the remembered contents of some arrays back."""
        for name in changed:
            self.arrays[name][...] = self.was(name)

    def was(self, name: str) -> Array:
        """Return the remembered contents of an array."""
        array, bits = self.arrays[name], self.bits[name]
        return np.frombuffer(bits, array.dtype).reshape(array.shape) if isinstance(bits, bytes) else bits


@dataclass(frozen=True)
class Subject:
    """An op of a case, with its inputs drawn, forward and backward called once on them.

    Attributes:
        case: the case, with the parameters that the op brings along among its inputs.
        op: its op, with params bound and its calls counted.
        inputs: the drawn inputs, in the case's dtype.
        outputs: what forward returned for them.
        counted: positions of the outputs that upstream gradients belong to.
        upstream: one gradient for each counted output, in its dtype.
        gradients: what backward returned, by input; None where it returned None.
        findings: what was noticed on the way.
        placed: brings an array to where the inputs are: to the op's framework and device, or nowhere.

    """

    case: Case
    op: CountingOp
    inputs: dict[str, Array]
    outputs: tuple[Array, ...]
    counted: tuple[int, ...]
    upstream: tuple[Array, ...]
    gradients: Mapping[str, Array | None]
    findings: tuple[Finding, ...]
    placed: Callable[[NDArray[Any]], Array] = np.asarray

    def counted_of(self, outputs: tuple[Any, ...]) -> tuple[Array, ...]:
        """Return the outputs that upstream gradients belong to.

        Raises:
            OpError: where one is missing.

        """
        made = tuple([outputs[k] for k in self.counted if k < len(outputs) and outputs[k] is not None])
        if len(made) < len(self.counted):
            raise OpError("forward returned different outputs than before")
        return made

    def in_layout(self, name: str, array: Array) -> Array:
        """Return an array in the memory layout that the input of this name has."""
        layout = next(made.layout for made in self.case.inputs if made.name == name)
        return laid_out(array, layout) if isinstance(array, np.ndarray) else array


def examine(case: Case, op: Op) -> Subject:
    """Draw the case's inputs and upstream, and call forward and backward once.

    Raises:
        OpError: where forward or backward gives nothing usable.
        UndrawableError: where the inputs cannot be drawn as the spec asks.

    """
    case, op = completed(case, op), counting(op)
    if not any(made.differentiable for made in case.inputs):
        raise OpError("none of its inputs is differentiable, so there is no gradient to audit")
    placed = _placing(case, op)
    inputs = {name: placed(array) for name, array in draw_inputs(case).items()}
    before = Snapshot.of(inputs)
    with unwritten(FIRST):
        outputs = op.forward(inputs)
    # Copies: an op may return views of its inputs, which are put back if it changed them, or reuse its buffers.
    outputs = tuple([out if out is None else copied(out) for out in outputs])
    findings = mutations("forward", before)
    counted = op.differentiable_outputs(outputs)
    for k in counted:
        if not all_finite(outputs[k]):
            broken = _nonfinite(f"output {k}" if len(outputs) > 1 else "the output", outputs[k])
            raise OpError(broken.message, broken)
    dtypes = {k: dtype_of(dtype_name(outputs[k].dtype)) for k in counted}
    upstream = tuple([placed(draw_upstream(case, k, tuple(outputs[k].shape), made)) for k, made in dtypes.items()])
    before = before.and_of(_named("upstream", upstream))
    if getattr(op, "takes_outputs", True):  # else nobody else knows the copies
        before = before.and_of(_named("output", outputs))
    with unwritten(FIRST):
        gradients = op.backward(upstream, inputs, outputs)
    # Gradients may be views of what backward was given: copies outlast the restoring of it.
    gradients = {name: None if made is None else copied(made) for name, made in gradients.items()}
    findings += mutations("backward", before)
    return _with_zeros(Subject(case, op, inputs, outputs, counted, upstream, gradients, tuple(findings), placed))


def _with_zeros(subject: Subject) -> Subject:
    """Return the op with None for the gradient zero of each input that forward does not depend on, as frameworks do."""
    nothing = [name for name in subject.case.audited if subject.gradients.get(name, subject) is None]
    unused = frozenset(name for name in nothing if not _depends_on(subject, name))
    subject.op.unused = unused
    zeros = {name: namespace(x).zeros_like(x) for name, x in subject.inputs.items() if name in unused}
    return replace(subject, gradients={**subject.gradients, **zeros}) if zeros else subject


def _depends_on(subject: Subject, name: str) -> bool:
    """Whether any output is another one where an input is displaced by so much that it would be."""
    inputs = {other: copied(x) for other, x in subject.inputs.items()}
    x = inputs[name]
    parts = like(1.0 + FAR * np.random.default_rng(0).random(tuple(x.shape)), x)
    inputs[name] = subject.in_layout(name, cast(x * parts, dtype_name(x.dtype)))
    try:
        there = subject.counted_of(subject.op.forward(inputs))
    except OpError:
        return True
    pairs = zip(there, subject.counted_of(subject.outputs), strict=True)
    return not all(now.shape == was.shape and same_bits(now, was) for now, was in pairs)


def _placing(case: Case, op: Op) -> Callable[[NDArray[Any]], Array]:
    """Return what brings an array to where the op works: to its framework, where copies at every call would be dear."""
    native: Callable[[NDArray[Any]], Array] | None = getattr(op, "native", None)
    if native is None:
        return lambda array: array
    largest = max((math.prod(made.shape) * dtype_of(made.dtype).itemsize for made in case.inputs), default=0)
    return native if largest >= getattr(op, "large", LARGE) else lambda array: array


def _named(what: str, arrays: tuple[Array | None, ...]) -> dict[str, Array]:
    """Return upstream gradients or outputs by the names that findings call them."""
    named = {f"{what}[{k}]" if len(arrays) > 1 else what: array for k, array in enumerate(arrays)}
    return {name: array for name, array in named.items() if array is not None}


def mutations(culprit: str, before: Snapshot) -> list[Finding]:
    """Return a finding for each array that is no longer what it was, and restore it."""
    findings = []
    changed = before.changed()
    for name in changed:
        was, now = before.was(name), before.arrays[name]
        different = places(~((was == now) | ((was != was) & (now != now))))
        where = tuple(int(k) for k in different[0]) if len(different) else ()
        message = f"{culprit} changed its {name}: {len(different)} of {count(was)} elements, the first at index {where}"
        evidence = {"by": culprit, "array": name, "changed": len(different), "index": list(where)}
        findings.append(Finding("input-mutated", message, evidence))
    before.restore(changed)
    return findings


def _nonfinite(what: str, array: Array) -> Finding:
    """Return the finding that some elements of an array are not finite."""
    broken = places(~namespace(array).isfinite(array))
    where = tuple(int(k) for k in broken[0])
    message = (
        f"{what} is {array[where].item()} at index {where}; {len(broken)} of {count(array)} elements are not finite"
    )
    return Finding("nonfinite", message, {"index": list(where), "count": len(broken)})


def broken_contract(name: str, x: Array, gradient: Array | None, *, answered: bool) -> Finding | None:
    """Return what makes it impossible to compare a gradient that backward answered, or did not; None for nothing."""
    if gradient is None:
        said = "backward returned None for it" if answered else "backward's returns do not name it"
        return Finding("missing-gradient", f"{name} is differentiable, but {said}")
    if gradient.shape != x.shape:
        return Finding(
            "shape-mismatch",
            f"the gradient of {name} has shape {tuple(gradient.shape)}, the input has shape {tuple(x.shape)}",
            {"expected": list(x.shape), "found": list(gradient.shape)},
        )
    return None


def flaws(name: str, x: Array, gradient: Array) -> list[Finding]:
    """Return what is wrong with a gradient that can be compared all the same: its dtype, or numbers that are none."""
    found = []
    if gradient.dtype != x.dtype:
        message = f"the gradient of {name} is {dtype_name(gradient.dtype)}, the input is {dtype_name(x.dtype)}"
        evidence = {"expected": dtype_name(x.dtype), "found": dtype_name(gradient.dtype)}
        found.append(Finding("dtype-mismatch", message, evidence))
    if not all_finite(gradient):
        found.append(_nonfinite(f"the gradient of {name}", gradient))
    return found
