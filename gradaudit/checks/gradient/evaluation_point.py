"""Where forward is differenced: in float64 if it can be, else in the case's own dtype."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from gradaudit.checks.gradient.beside import outputs_beside
from gradaudit.checks.gradient.narrowing import narrowed_to, narrowest
from gradaudit.checks.subject import Snapshot, Subject, broken_contract, mutations
from gradaudit.numerics.arrays import (
    Array,
    cast,
    copied,
    count,
    dtype_name,
    has_complex_dtype,
    joined,
    lifted,
    namespace,
    on_host,
)
from gradaudit.numerics.magnitude import rms, scales_of
from gradaudit.numerics.margins import FAR, MAX_ROUNDINGS, MAX_UNSEEN, STEP, WIDE_STEP
from gradaudit.results import Finding
from gradaudit.spec.case import Layout
from gradaudit.spec.draw import laid_out
from gradaudit.spec.dtypes import dtype_of, is_complex, is_floating, least_spacing, spacing
from gradaudit.targets.op import OpError
from gradaudit.targets.unwritten import FIRST, unwritten

WIDE = ("float64", "complex128")


@dataclass
class EvaluationPoint:
    """A point and a dtype to difference forward in.

    Attributes:
        subject: the op and its case.
        inputs: lifted to float64 where forward is generic in dtype, else as the case has them.
        outputs: the counted outputs there, as ``lifted`` returns them.
        upstream: likewise.
        dtype: name of the coarsest dtype that forward returns there.
        kinds: dtypes and shapes of the counted outputs there, as their framework has them.
        formula: what backward returns there, for the inputs whose gradient is usable, in double precision; empty where
            it is not generic, or where the case is in that dtype itself.
        absorbed: whether forward does not change with its inputs in this dtype, as it does in float64.
        findings: what was noticed while forward was called here.
        notes: what is to be said beside every verdict.
        raised: what forward said where it first raised at a perturbed input; empty where it never did.

    """

    subject: Subject
    inputs: dict[str, Array]
    outputs: Array
    upstream: Array
    dtype: str
    kinds: Kinds
    formula: Mapping[str, Array] = field(default_factory=dict)
    absorbed: bool = False
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    raised: list[str] = field(default_factory=list)

    @property
    def generic(self) -> bool:
        """Whether forward gives float64 for float64, so that it is differenced there."""
        return self.dtype == "float64"

    @cached_property
    def spacing(self) -> float:
        """Distance from an output of typical magnitude to the next number of the dtype, relative to it.

        That is the spacing of the dtype, or where outputs are subnormal more.
        """
        size = self.size
        return max(spacing(self.dtype), least_spacing(self.dtype) / size) if size else spacing(self.dtype)

    @cached_property
    def size(self) -> float:
        """The rms of the outputs."""
        return rms(self.outputs)

    @cached_property
    def scales(self) -> dict[str, float | Array]:
        """What displacements of each input are measured in: a power of two for all of its numbers, or for each."""
        floating = {name: x for name, x in self.inputs.items() if is_floating(dtype_name(x.dtype))}
        return {name: scales_of(x, self.size) for name, x in floating.items()}

    def scale_at(self, name: str, index: tuple[int, ...]) -> float:
        """Return what displacements of one element are measured in."""
        scale, x = self.scales[name], self.inputs[name]
        if isinstance(scale, float):
            return scale
        place = int(np.ravel_multi_index(index, tuple(x.shape))) if index else 0
        return float(scale[place * (count(scale) // count(x))])

    @cached_property
    def narrowed(self) -> str | None:
        """The dtype that the op rounds what it is given to in the case's dtype, if that is coarser."""
        return narrowed_to(self.subject)

    def evaluate(self) -> Array:
        """Call forward on the present inputs and return its counted outputs, NaN where it raises.

        Inputs that forward changes are put back and reported, so that the next call sees what it should.

        Raises:
            OpError: where the outputs have other shapes or dtypes than at the unperturbed point.

        """
        before = Snapshot.of(self.inputs)
        try:
            return copied(self.evaluate_fleeting())  # while the inputs are as forward left them: it may be a view
        finally:
            if before.changed():
                self.add_findings(mutations("forward", before))

    def evaluate_fleeting(self) -> Array:
        """Call forward as ``evaluate`` does, for outputs that are done with before anything else happens.

        The inputs are not watched, which takes a copy of them. What it returns may be a view of these, or a buffer that
        the next call writes to.
        """
        try:
            outputs = self.subject.op.forward(self.inputs)
        except OpError as error:
            outputs = None
            self.raised.extend([] if self.raised else [str(error)])
        return self.flat(outputs)

    @cached_property
    def on_host(self) -> EvaluationPoint:
        """The same point in NumPy's arrays: for what is small, such as a close look at a single index."""
        if isinstance(self.outputs, np.ndarray):
            return self
        return replace(
            self,
            inputs={name: np.require(on_host(x), requirements="W") for name, x in self.inputs.items()},
            outputs=on_host(self.outputs),
            upstream=on_host(self.upstream),
            kinds=[kind and (dtype_of(dtype_name(kind[0])), tuple(kind[1])) for kind in self.kinds],
            formula={name: on_host(gradient) for name, gradient in self.formula.items()},
        )

    def outputs_at(self, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        """Return all outputs of forward at other inputs, which it may not keep changed; none where it raises."""
        before = Snapshot.of(inputs)
        try:
            return self.subject.op.forward(inputs)
        except OpError:
            return ()
        finally:
            before.restore(before.changed())  # backward is to see what forward was given

    def claims(
        self, upstream: Iterable[Array], inputs: Mapping[str, Array], outputs: tuple[Array, ...]
    ) -> dict[str, Array]:
        """Return what backward gives here, in double precision, as far as it can be used.

        Nothing where it raises, or where forward gave no outputs.
        """
        try:
            return self.answered(upstream, inputs, outputs) if outputs else {}
        except OpError:
            return {}

    def answered(
        self,
        upstream: Iterable[Array],
        inputs: Mapping[str, Array],
        outputs: tuple[Array, ...],
        *,
        any_dtype: bool = False,
    ) -> dict[str, Array]:
        """Return what backward gives here, in double precision, as far as it can be used.

        Each part of the upstream is given in the dtype of the output that it belongs to. With ``any_dtype`` gradients
        in another real dtype than their input's count too: float64 for inputs in float32.

        Raises:
            OpError: where backward raises, or forward returned other outputs than at the point.

        """
        counted = self.subject.counted_of(outputs)
        parts = ((part, narrowed(part, dtype_name(out.dtype))) for part, out in zip(upstream, counted, strict=True))
        writes = any(finding.code == "input-mutated" for finding in self.subject.findings)
        given = tuple(copied(made) if writes and made is part else made for part, made in parts)
        gradients = self.subject.op.backward(given, inputs, outputs)
        return {
            name: widened(copied(gradient))
            for name, gradient in gradients.items()
            if gradient is not None
            and broken_contract(name, inputs[name], gradient, answered=True) is None
            and (gradient.dtype == inputs[name].dtype or (any_dtype and not has_complex_dtype(gradient)))
        }

    def add_findings(self, findings: list[Finding]) -> None:
        """Keep findings about the case, one of each kind."""
        known = {finding.code for finding in self.findings}
        self.findings += [finding for finding in findings if finding.code not in known]

    def flat(self, outputs: tuple[Array, ...] | None) -> Array:
        """Return forward's counted outputs as ``joined`` does; NaN for none, as where forward raises beside the point.

        Raises:
            OpError: where they have other shapes or dtypes than at the unperturbed point.

        """
        if outputs is None:
            return namespace(self.outputs).full_like(self.outputs, math.nan)
        counted = [outputs[k] if k < len(outputs) else None for k in self.subject.counted]
        if (kinds := kinds_of(counted)) != self.kinds:
            found, before = _in_words(kinds), _in_words(self.kinds)
            raise OpError(f"forward returned {found} at a perturbed input, {before} before")
        return joined(tuple([out for out in counted if out is not None]))


def find_point(subject: Subject) -> EvaluationPoint:
    """Return the float64 point where forward gives float64 for it, else the case's own.

    A forward that returns float64 but computes in a narrower dtype inside is differenced in that; so is one whose
    backward refuses float64 and rounds what it is given, as under autocast: it is no more accurate than that.
    """
    upstream, who = joined(subject.upstream), "forward"
    native = subject.counted_of(subject.outputs)
    arrays = [array for array in (*subject.inputs.values(), *native) if is_floating(dtype_name(array.dtype))]
    if all(is_wide(array) for array in arrays):
        point = EvaluationPoint(subject, subject.inputs, joined(native), upstream, "float64", kinds_of(native))
    else:
        dtype = max((dtype_name(array.dtype) for array in arrays), key=spacing)
        own = EvaluationPoint(subject, subject.inputs, joined(native), upstream, dtype, kinds_of(native))
        found = _float64_point(own)
        if isinstance(found, Finding):
            own.findings.append(found)
            own.absorbed = bool((outputs_beside(own, FAR) == own.outputs).all())
        point = found if isinstance(found, EvaluationPoint) else own
        if point is found and not point.formula and own.narrowed:
            point, who = own, "backward"
    point = (_point_inside(point) or point) if point.generic else point
    if not point.generic:
        point.notes.append(f"differenced in {point.dtype}: {who} does not compute in float64")
    return point


def _float64_point(own: EvaluationPoint) -> EvaluationPoint | Finding | None:
    """Return the float64 point, or what is to be said of a forward that is another function there; else None."""
    subject = own.subject
    found = _point_in(own, dict.fromkeys(own.inputs, "float64"), "float64")
    if found is None or not all(dtype_name(kind[0]) in WIDE for kind in found[0].kinds if kind):
        return None
    point, outputs = found
    if off := _difference(point, own):
        dtype = subject.case.dtype
        message = (
            f"forward computes a different function in float64 than in {dtype}: its outputs differ by a relative "
            f"{off:.2g}; it is differenced in {dtype}"
        )
        return Finding("forward-dtype", message, {"difference": off})
    before = Snapshot.of(point.inputs)
    with unwritten(FIRST):
        point.formula = point.claims(subject.upstream, point.inputs, outputs)
    point.add_findings(mutations("backward", before))
    return point


def _point_in(
    own: EvaluationPoint, dtypes: Mapping[str, str], dtype: str
) -> tuple[EvaluationPoint, tuple[Array, ...]] | None:
    """Return the point in other dtypes of its inputs, with all outputs there; None for outputs of other shapes."""
    subject = own.subject
    plans = subject.case.inputs
    inputs = {made.name: _in_dtype(subject, own.inputs[made.name], dtypes[made.name], made.layout) for made in plans}
    before = Snapshot.of(inputs)
    try:
        with unwritten(FIRST):
            outputs = subject.op.forward(inputs)
        counted = subject.counted_of(outputs)
    except OpError:
        return None
    if [out.shape for out in counted] != [kind[1] for kind in own.kinds if kind]:
        return None
    made = EvaluationPoint(subject, inputs, lifted(counted), own.upstream, dtype, kinds_of(counted))
    made.add_findings(mutations("forward", before))
    return made, outputs


def _difference(point: EvaluationPoint, own: EvaluationPoint) -> float:
    """Return how far outputs in a narrow dtype are from those in float64, relative to their size.

    Zero where rounding explains it: of outputs to half of their digits, or of inputs. That of inputs must then show in
    the narrow dtype too. What reads the memory of any array as float32 makes of float64 numbers that of chance, which
    change altogether at the least nudge.
    """
    arrays = (*point.subject.inputs.values(), *point.subject.outputs)
    names = [dtype_name(array.dtype) for array in arrays if array is not None]
    unit = max(spacing(name) for name in names if is_floating(name)) / 2
    off = rms(own.outputs - point.outputs) / (point.size or 1.0)
    if off <= math.sqrt(unit):
        return 0.0
    for there, nudge in ((point, unit), (own, 2.0 * unit)):  # one that half of the inputs are not rounded back from
        change = rms(outputs_beside(there, nudge) - there.outputs) / (there.size or 1.0)
        if not off <= MAX_ROUNDINGS * change:
            return off
    return 0.0


def _point_inside(point: EvaluationPoint) -> EvaluationPoint | None:
    """Return the point in the narrower dtype that forward computes in though it returns float64; None for none.

    All that such a forward returns are numbers of that dtype, also where its inputs are none.
    """
    if narrowest(point.outputs) is None:
        return None
    dtype = None
    for step in (STEP, WIDE_STEP):
        near, far = (outputs_beside(point, displacement) for displacement in (step, 2 * step))
        moving = (near != point.outputs) & (near != far)
        if int(moving.sum()) > MAX_UNSEEN * count(moving):
            # Where it stands still before, that is to be for the rounding of its inputs: there are other stairs.
            rounds = step == STEP or point.narrowed is not None
            dtype = narrowest(namespace(near).where(moving, near, 0.0)) if rounds else None
            break
    if dtype is None:
        return None
    subject = point.subject
    found = _point_in(point, {name: _inside(subject, name, dtype) for name in point.inputs}, dtype)
    if found is None:
        return None
    inside, outputs = found
    if not rms(inside.outputs - point.outputs) <= math.sqrt(spacing(dtype)) * rms(point.outputs):
        return None  # its outputs had few digits for another reason
    if spacing(dtype) < spacing(subject.case.dtype):
        inside.formula = inside.claims(subject.upstream, inside.inputs, outputs)
    return inside


def _inside(subject: Subject, name: str, dtype: str) -> str:
    """Return the dtype that an input has where forward computes in one: its own where the case says that it is finer.

    Beside weights in half precision, a scale in float32 is one for the op too.
    """
    own = dtype_name(subject.inputs[name].dtype)
    finer = is_floating(own) and spacing(own) < min(spacing(dtype), spacing(subject.case.dtype))
    return own if finer else dtype


Kinds = list[tuple[Any, tuple[int, ...]] | None]


def kinds_of(outputs: Iterable[Array | None]) -> Kinds:
    """Return the dtypes and shapes of outputs."""
    return [None if out is None else (out.dtype, out.shape) for out in outputs]


def _in_words(kinds: Kinds) -> str:
    return ", ".join(f"{dtype_name(kind[0])} of shape {tuple(kind[1])}" if kind else "nothing" for kind in kinds)


def is_wide(array: Array) -> bool:
    """Whether an array is in double precision already, or has no derivatives anyway."""
    name = dtype_name(array.dtype)
    return name in WIDE or not is_floating(name)


def widened(array: Array) -> Array:
    """Return a floating array in double precision, another as it is."""
    return array if is_wide(array) else cast(array, WIDE[is_complex(dtype_name(array.dtype))])


def _in_dtype(subject: Subject, array: Array, dtype: str, layout: Layout) -> Array:
    """Return an array of its own in a dtype or its complex counterpart, which lies in memory as the other does."""
    made = narrowed(array, dtype)
    if isinstance(made, np.ndarray):
        return subject.placed(laid_out(made, layout))
    return copied(made) if made is array else made


def narrowed(array: Array, dtype: str) -> Array:
    """Return a floating array in this dtype, a complex one in its complex counterpart, another as it is."""
    name = dtype_name(array.dtype)
    if not is_floating(name):
        return array
    if is_complex(name):
        dtype = "complex128" if dtype in WIDE else "complex64"
    return cast(array, dtype)
