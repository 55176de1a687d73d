"""Where forward is differenced: in float64 if it can be, else in the case's own dtype."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.contract import broken_contract
from gradaudit.checks.subject import Snapshot, Subject, mutations
from gradaudit.numerics.loss import Floats, joined, lifted
from gradaudit.results import Finding
from gradaudit.spec.draw import laid_out
from gradaudit.spec.dtypes import dtype_of, has_derivatives, is_complex, spacing
from gradaudit.targets.op import OpError

Array = NDArray[Any]

NARROW = ("bfloat16", "float16", "float32")
"""Dtypes that a forward which returns float64 may compute in, the coarsest first."""

NUDGE = 2.0**-14
"""Relative displacement at which such a forward's outputs have changed, though perhaps not all of them."""

MOVED = 0.05
"""Part of the outputs that must have changed: those that jump from one round number to another are few."""

WIDE = (np.dtype(np.float64), np.dtype(np.complex128))


@dataclass
class Ground:
    """A point and a dtype to difference forward in.

    Attributes:
        subject: the op and its case.
        inputs: lifted to float64 where forward is generic in dtype, else as the case has them.
        outputs: the counted outputs there, as ``lifted`` returns them.
        upstream: likewise.
        dtype: name of the coarsest dtype that forward returns there.
        kinds: dtypes and shapes of the counted outputs there.
        formula: what backward returns there, for the inputs whose gradient is usable, in double precision; empty where
            it is not generic, or where the case is in that dtype itself.
        evaluations: calls of forward that it took to find this ground.
        findings: what was noticed while forward was called here.

    """

    subject: Subject
    inputs: Mapping[str, Array]
    outputs: Floats
    upstream: Floats
    dtype: str
    kinds: Kinds
    formula: Mapping[str, Array] = field(default_factory=dict)
    evaluations: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def generic(self) -> bool:
        """Whether forward gives float64 for float64, so that it is differenced there."""
        return self.dtype == "float64"

    def evaluate(self) -> Floats:
        """Call forward on the present inputs and return its counted outputs, NaN where it raises.

        Inputs that forward changes are put back and reported, so that the next call sees what it should.

        Raises:
            OpError: where the outputs have other shapes or dtypes than at the unperturbed point.

        """
        before = Snapshot.of(self.inputs)
        try:
            return self.evaluate_trusting()
        finally:
            self.notice(mutations("forward", before))

    def evaluate_trusting(self) -> Floats:
        """Call forward as ``evaluate`` does, without watching the inputs: that takes a copy of them."""
        outputs = self._counted_outputs()
        # While the inputs are as forward left them: its outputs may be views of them.
        return np.full_like(self.outputs, np.nan) if outputs is None else lifted(outputs)

    def notice(self, findings: list[Finding]) -> None:
        """Keep findings about the case, one of each kind."""
        known = {finding.code for finding in self.findings}
        self.findings += [finding for finding in findings if finding.code not in known]

    def _counted_outputs(self) -> tuple[Array, ...] | None:
        """Return forward's outputs; None where it raises: a perturbed value may have left its domain."""
        try:
            outputs = self.subject.op.forward(self.inputs)
        except OpError:
            return None
        counted = tuple(outputs[k] if k < len(outputs) else None for k in self.subject.counted)
        if (kinds := _kinds(counted)) != self.kinds:
            found, before = _in_words(kinds), _in_words(self.kinds)
            raise OpError(f"forward returned {found} at a perturbed input, {before} before")
        return tuple(out for out in counted if out is not None)


def find_ground(subject: Subject) -> Ground:
    """Return the float64 ground where forward gives float64 for it, else the case's own.

    A forward that returns float64 but computes in a narrower dtype inside is differenced in that.
    """
    ground = _declared_ground(subject)
    return (_ground_inside(ground) or ground) if ground.generic else ground


def _declared_ground(subject: Subject) -> Ground:
    upstream = joined(subject.upstream)
    native = tuple(subject.outputs[k] for k in subject.counted)
    arrays = [array for array in (*subject.inputs.values(), *native) if has_derivatives(array.dtype)]
    dtype = "float64"
    if not all(is_wide(array) for array in arrays):
        if generic := _generic_ground(subject, native, upstream):
            return generic
        dtype = max((array.dtype.name for array in arrays), key=spacing)
    return Ground(subject, subject.inputs, joined(native), upstream, dtype, _kinds(native))


def _generic_ground(subject: Subject, native: tuple[Array, ...], upstream: Floats) -> Ground | None:
    wide = {made.name: laid_out(widened(subject.inputs[made.name]), made.layout) for made in subject.case.inputs}
    before = Snapshot.of(wide)
    try:
        outputs = subject.op.forward(wide)
        lifts = tuple(outputs[k] for k in subject.counted)
    except (OpError, IndexError):
        return None
    if not all(out.dtype in WIDE for out in lifts) or [out.shape for out in lifts] != [out.shape for out in native]:
        return None
    ground = Ground(subject, wide, lifted(lifts), upstream, "float64", _kinds(lifts), evaluations=1)
    ground.notice(mutations("forward", before))
    ground.formula = _formula(subject, wide, outputs)
    ground.notice(mutations("backward", before))
    return ground


def _ground_inside(ground: Ground) -> Ground | None:
    """Return the ground in the narrower dtype that forward computes in though it returns float64; None for none.

    All that such a forward returns are numbers of that dtype, also where its inputs are none.
    """
    if _narrowest(ground.outputs) is None:
        return None
    near, far = (_beside(ground, displacement) for displacement in (NUDGE, 2 * NUDGE))
    moving = (near != ground.outputs) & (near != far)
    dtype = _narrowest(near[moving]) if np.count_nonzero(moving) > MOVED * moving.size else None
    if dtype is None:
        return None
    subject = ground.subject
    inputs = {
        made.name: laid_out(narrowed(ground.inputs[made.name], dtype), made.layout) for made in subject.case.inputs
    }
    try:
        outputs = subject.op.forward(inputs)
        native = tuple(outputs[k] for k in subject.counted)
    except (OpError, IndexError):
        return None
    if [out.shape for out in native] != [kind[1] for kind in ground.kinds if kind]:
        return None
    inside = Ground(subject, inputs, lifted(native), ground.upstream, dtype, _kinds(native))
    inside.evaluations = ground.evaluations + 3
    if spacing(dtype) < spacing(subject.case.dtype):
        inside.formula = _formula(subject, inputs, outputs, dtype)
    return inside


def _beside(ground: Ground, displacement: float) -> Floats:
    """Return forward's outputs where all inputs are displaced, by this part of them and half as much again or less."""
    here = {name: x.copy() for name, x in ground.inputs.items()}
    rng = np.random.default_rng(0)
    try:
        for x in ground.inputs.values():
            if has_derivatives(x.dtype):
                x[...] = x * (1.0 + displacement * rng.uniform(0.5, 1.5, x.shape))
        return ground.evaluate()
    finally:
        for name, x in ground.inputs.items():
            x[...] = here[name]


def _narrowest(numbers: Floats) -> str | None:
    """Return the narrowest dtype that finite numbers, not all zero, are numbers of; None for float64."""
    numbers = numbers[np.isfinite(numbers) & (numbers != 0.0)]
    for name in NARROW if numbers.size else ():
        if (numbers.astype(dtype_of(name)).astype(np.float64) == numbers).all():
            return name
    return None


def narrowed(array: Array, dtype: str) -> Array:
    """Return a floating array in this real dtype or its complex counterpart, another as it is."""
    if not has_derivatives(array.dtype):
        return array
    if array.dtype.kind == "c":
        return array.astype(np.complex128 if dtype == "float64" else np.complex64)
    return array.astype(dtype_of(dtype))


Kinds = tuple[tuple[np.dtype[Any], tuple[int, ...]] | None, ...]


def _kinds(outputs: tuple[Array | None, ...]) -> Kinds:
    return tuple(None if out is None else (out.dtype, out.shape) for out in outputs)


def _in_words(kinds: Kinds) -> str:
    return ", ".join(f"{kind[0]} of shape {kind[1]}" if kind else "nothing" for kind in kinds)


def is_wide(array: Array) -> bool:
    """Whether an array is in double precision already, or has no derivatives anyway."""
    return array.dtype in WIDE or not has_derivatives(array.dtype)


def widened(array: Array) -> Array:
    """Return a floating array in double precision, another as it is."""
    return array if is_wide(array) else array.astype(WIDE[is_complex(array.dtype.name)])


def _formula(
    subject: Subject, wide: Mapping[str, Array], outputs: tuple[Array, ...], dtype: str = "float64"
) -> dict[str, Array]:
    """Return what backward gives in a dtype wider than the case's, where it is generic in dtype too."""
    try:
        gradients = subject.op.backward(tuple(narrowed(part, dtype) for part in subject.upstream), wide, outputs)
    except OpError:
        return {}
    return {
        name: widened(gradient.copy())
        for name, gradient in gradients.items()
        if gradient is not None and broken_contract(name, wide[name], gradient, answered=True) is None
    }
