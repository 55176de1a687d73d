"""Symmetric matrices, and complex Hermitian ones, of which a single entry is no direction that they can be moved in.

A factorisation reads one triangle of its input and takes the other for granted. What its gradient is at a single entry
is a matter of convention; what it is for two entries that mirror each other is not. So such an op is audited as a
function of one triangle: forward is given the triangle mirrored, and of the gradient what falls on the one is added to
what falls on the other. Complex entries mirror each other as conjugates, so that the diagonal is real: what a gradient
says of its imaginary part is a matter of convention too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gradaudit.checks.gradient.claim import Claim, claims_of
from gradaudit.checks.gradient.evaluation_point import find_point
from gradaudit.checks.gradient.seen import Seen
from gradaudit.checks.subject import Subject
from gradaudit.numerics.arrays import Array, has_complex_dtype, joined, namespace
from gradaudit.numerics.margins import FAR
from gradaudit.results import Finding, Result
from gradaudit.targets.counted import CountedOp, CountingOp
from gradaudit.targets.op import OpError, StackableOp

MESSAGE = (
    "single entries of the gradient of {name} disagree with forward, but pairs of entries that keep {name} {kind} "
    "agree: forward was audited as a function of one triangle"
)


SYMMETRIC = frozenset({"spd", "symmetric"})
"""Distributions that hold an input to be symmetric."""


def is_meant_symmetric(subject: Subject, name: str) -> bool:
    """Whether an input holds symmetric matrices, by its distribution or because forward reads one triangle only.

    One that merely happens to be symmetric may be read whole: a transposed gradient of it would be hidden.
    """
    plan = next(made for made in subject.case.inputs if made.name == name)
    return is_symmetric(subject, name) and (plan.distribution in SYMMETRIC or _reads_one_triangle(subject, name))


def is_symmetric(subject: Subject, name: str) -> bool:
    """Whether an input equals its adjoint, and is not taken for one of its triangles already."""
    x = subject.inputs[name]
    square = x.ndim > 1 and x.shape[-1] == x.shape[-2] > 1
    return square and not isinstance(subject.op, OfOneTriangle) and bool((x == adjoint(x)).all())


def _reads_one_triangle(subject: Subject, name: str) -> bool:
    x, xp = subject.inputs[name], namespace(subject.inputs[name])
    before = joined(tuple(subject.outputs[k] for k in subject.counted))
    for off in (xp.triu(x, k=1), xp.tril(x, k=-1)):
        if not bool(off.any()):
            continue
        try:
            outputs = subject.op.forward({**subject.inputs, name: x + off * FAR})
        except OpError:
            continue
        if bool((joined(tuple(outputs[k] for k in subject.counted)) == before).all()):
            return True
    return False


class OfOneTriangle(CountedOp):
    """An op as a function of the lower triangle of one of its inputs; its calls count as the op's own."""

    def __init__(self, op: CountingOp, name: str) -> None:
        self._op = self._counted = op
        self._name = name

    def forward(self, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        """Return all outputs for the mirrored triangle."""
        return self._counted.forward({**inputs, self._name: mirrored(inputs[self._name])})

    def forward_stacked(self, inputs: Mapping[str, Array], varied: str, points: Array) -> tuple[Array | None, ...]:
        """Return all outputs at several points, stacked, each with the mirrored triangle."""
        whole = {**inputs, self._name: mirrored(inputs[self._name])}
        stackable: StackableOp = self._op  # type: ignore[assignment]
        return stackable.forward_stacked(whole, varied, mirrored(points) if varied == self._name else points)

    def backward(
        self, upstream: tuple[Array, ...], inputs: Mapping[str, Array], outputs: tuple[Array, ...]
    ) -> dict[str, Array | None]:
        """Return the gradients, that of the triangle with what falls on the other."""
        whole = {**inputs, self._name: mirrored(inputs[self._name])}
        made = dict(self._counted.backward(upstream, whole, outputs))
        gradient = made.get(self._name)
        return {**made, self._name: None if gradient is None else gathered(gradient)}


def claim_of_triangle(subject: Subject, name: str) -> Claim:
    """Return what is claimed of an op that was called once, as a function of one triangle of an input.

    Raises:
        LimitReachedError: where there are no calls left to find out where it is differenced.

    """
    gradient = gathered(subject.gradients[name])
    gradients = {**subject.gradients, name: gradient}
    triangle = replace(subject, op=OfOneTriangle(subject.op, name), gradients=gradients)
    return claims_of(find_point(triangle), {name: gradient})[0]


def with_finding(audited: tuple[Result, Seen]) -> tuple[Result, Seen]:
    """Add to what was found of such a claim that it was audited so."""
    result, seen = audited
    kind = "Hermitian" if has_complex_dtype(seen.claim.formula) else "symmetric"
    message = MESSAGE.format(name=result.input, kind=kind)
    told = Finding("symmetric-input", message, {"array": result.input})
    return replace(result, findings=(*result.findings, told)), seen


def adjoint(x: Array) -> Array:
    """Return the transposes of some matrices, conjugated where they are complex."""
    xp = namespace(x)
    return xp.conj(xp.matrix_transpose(x)) if has_complex_dtype(x) else xp.matrix_transpose(x)


def mirrored(x: Array) -> Array:
    """Return symmetric matrices, or Hermitian ones, with the lower triangles of some."""
    below = _below(x)
    return below + adjoint(below)


def gathered(gradient: Array) -> Array:
    """Return the gradient of the lower triangle: zero above it."""
    return _below(gradient + adjoint(gradient))


def _below(x: Array) -> Array:
    """Return what is below the diagonals of some matrices, with half of the diagonals."""
    xp = namespace(x)
    return 0.5 * xp.tril(x) + 0.5 * xp.tril(x, k=-1)
