"""What every check looks at: an op that has been opened, fed and called once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.results import Finding
from gradaudit.spec.case import Case
from gradaudit.spec.draw import draw_inputs, draw_upstream
from gradaudit.targets.op import Op, OpError
from gradaudit.targets.parameters import completed

Array = NDArray[Any]

LARGE = 2**16
"""Bytes from which on an array is compared in place rather than copied."""


@dataclass(frozen=True)
class Snapshot:
    """The bits of some arrays at one moment, to be compared with and restored later."""

    arrays: Mapping[str, Array]
    bits: Mapping[str, bytes]

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> Snapshot:
        """Remember the present contents of the arrays."""
        return cls(arrays, {name: array.tobytes() for name, array in arrays.items()})

    def changed(self) -> list[str]:
        """Return the names of those arrays that are no longer bit-identical."""
        return [name for name, array in self.arrays.items() if not _same_bits(array, self.bits[name])]

    def restore(self) -> None:
        """Write the remembered contents back."""
        for name in self.changed():
            array = self.arrays[name]
            array[...] = np.frombuffer(self.bits[name], array.dtype).reshape(array.shape)


def _same_bits(array: Array, bits: bytes) -> bool:
    if array.nbytes < LARGE or not array.flags.c_contiguous or array.nbytes % 8:
        return array.tobytes() == bits
    words: NDArray[np.uint64] = array.reshape(-1).view(np.uint64)
    return bool((words == np.frombuffer(bits, np.uint64)).all())


@dataclass(frozen=True)
class Subject:
    """An op of a case, with its inputs drawn, forward and backward called once on them.

    Attributes:
        case: the case, with the parameters that the op brings along among its inputs.
        op: its op, with params bound.
        inputs: the drawn inputs, in the case's dtype.
        outputs: what forward returned for them.
        counted: positions of the outputs that upstream gradients belong to.
        upstream: one gradient for each counted output, in its dtype.
        gradients: what backward returned, by input; None where it returned None.
        findings: what was noticed on the way.
        evaluations: calls of forward so far.

    """

    case: Case
    op: Op
    inputs: Mapping[str, Array]
    outputs: tuple[Array, ...]
    counted: tuple[int, ...]
    upstream: tuple[Array, ...]
    gradients: Mapping[str, Array | None]
    findings: tuple[Finding, ...]
    evaluations: int


def examine(case: Case, op: Op) -> Subject:
    """Draw the case's inputs and upstream, and call forward and backward once.

    Raises:
        OpError: where forward or backward gives nothing usable.
        UndrawableError: where the inputs cannot be drawn as the spec asks.

    """
    case = completed(case, op)
    inputs = draw_inputs(case)
    before = Snapshot.of(inputs)
    outputs = op.forward(inputs)
    # Copies: an op may return views of its inputs, which are put back if it changed them, or reuse its buffers.
    outputs = tuple(out if out is None else out.copy() for out in outputs)
    findings = mutations("forward", before)
    counted = op.differentiable_outputs(outputs)
    for k in counted:
        _refuse_nonfinite(f"output {k}" if len(outputs) > 1 else "the output", outputs[k])
    upstream = tuple(draw_upstream(case, k, outputs[k].shape, outputs[k].dtype) for k in counted)
    before = Snapshot.of({**inputs, **_upstream_names(upstream), **_output_names(outputs)})
    gradients = op.backward(upstream, inputs, outputs)
    # Gradients may be views of what backward was given: copies outlast the restoring of it.
    gradients = {name: None if made is None else made.copy() for name, made in gradients.items()}
    findings += mutations("backward", before)
    return Subject(case, op, inputs, outputs, counted, upstream, gradients, tuple(findings), evaluations=1)


def _upstream_names(upstream: tuple[Array, ...]) -> dict[str, Array]:
    """Return upstream gradients by the names that findings call them."""
    return {f"upstream[{k}]" if len(upstream) > 1 else "upstream": u for k, u in enumerate(upstream)}


def _output_names(outputs: tuple[Array | None, ...]) -> dict[str, Array]:
    named = {f"output[{k}]" if len(outputs) > 1 else "output": out for k, out in enumerate(outputs)}
    return {name: out for name, out in named.items() if out is not None}


def mutations(culprit: str, before: Snapshot) -> list[Finding]:
    """Return a finding for each array that is no longer what it was, and restore it."""
    findings = []
    for name in before.changed():
        was = np.frombuffer(before.bits[name], before.arrays[name].dtype).reshape(before.arrays[name].shape)
        now = before.arrays[name]
        different = np.argwhere(~((was == now) | ((was != was) & (now != now))))
        where = tuple(int(k) for k in different[0]) if len(different) else ()
        message = f"{culprit} changed its {name}: {len(different)} of {was.size} elements, the first at index {where}"
        evidence = {"by": culprit, "array": name, "changed": len(different), "index": list(where)}
        findings.append(Finding("input-mutated", message, evidence))
    before.restore()
    return findings


def _refuse_nonfinite(name: str, array: Array) -> None:
    broken = np.argwhere(~np.isfinite(array))
    if len(broken):
        where = tuple(int(k) for k in broken[0])
        message = f"{name} is {array[where]} at index {where}; {len(broken)} of {array.size} elements are not finite"
        finding = Finding("nonfinite", message, {"index": list(where), "count": len(broken)})
        raise OpError(message, finding)
