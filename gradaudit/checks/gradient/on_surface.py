"""Inputs that lie on a surface: a single entry is no direction that they can be moved in.

What a gradient says across the surface is a matter of convention: an optimiser on a sphere takes it without its normal
part, a factorisation reads one triangle of a symmetric matrix. What it says along the surface is not. So where single
entries disagree, such an op is audited as a function of any array: forward and backward are given the point of the
surface that belongs to it, and the gradient is pulled back from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from gradaudit.checks.gradient.claim import Claim, claims_of
from gradaudit.checks.gradient.evaluation_point import find_point, widened
from gradaudit.checks.gradient.fold import folded
from gradaudit.checks.gradient.seen import Seen, passes
from gradaudit.checks.subject import Subject
from gradaudit.numerics.arrays import Array, cast, dtype_name, has_complex_dtype, joined, namespace
from gradaudit.numerics.margins import FAR, NEGLIGIBLE
from gradaudit.numerics.surfaces import SURFACES, SYMMETRIC, Surface
from gradaudit.results import Finding, Result, Verdict, changed
from gradaudit.targets.calls import LimitReachedError
from gradaudit.targets.counted import CountedOp, CountingOp
from gradaudit.targets.op import OpError, StackableOp

Audited = dict[str, tuple[Result, Seen]]
"""By input, its result, and what was seen of its gradient."""

Audit = Callable[[list[Claim]], Audited]

OF_SURFACE = "single entries disagree; not known whether the gradient is right for changes that keep {name} {said}"
"""What may excuse the gradient of an input that lies on a surface."""


def along_surfaces(subject: Subject, made: Audited, audit: Audit) -> Audited:
    """Audit along the surfaces that they lie on the inputs whose single entries fail; return what is known then.

    What is right there passes where the input is meant to lie there; else a finding says so.
    """
    found: Audited = {}
    for name, (result, seen) in made.items():
        if result.verdict is not Verdict.FAIL:
            continue
        meant, evaluations, seconds = surface_meant(subject, name), 0, 0.0
        for surface in [meant] if meant else surfaces_under(subject, name):
            try:
                along, known = audit([_claim_along(subject, name, surface)])[name]
                limit = known.cut.limit if known.cut else None
            except LimitReachedError as reached:
                along, known, limit = changed(result, evaluations=0, seconds=0.0), seen, reached.limit
            evaluations, seconds = evaluations + along.evaluations, seconds + along.seconds
            right, told = along.verdict is Verdict.PASS, result
            if meant and right:
                told, known = _told((along, known), surface)
            elif meant and limit:
                known = seen.undecided(limit, OF_SURFACE.format(name=name, said=surface.said))
                told = folded(known)
            else:
                told, known = _not_meant(told, surface) if right and not _vanishes(known, seen) else told, seen
            found[name] = changed(told, evaluations=evaluations, seconds=seconds), known
            if told is not result:
                break
    return found


def right_together(claims: list[Claim], made: Audited, test: Audit) -> Audited:
    """Test along the surfaces that they are held to inputs whose single entries fail together; return what passes."""
    passing: Audited = {}
    for claim in claims:
        subject, seen = claim.point.subject, made[claim.name][1]
        if seen.suspect is None:
            continue
        with suppress(LimitReachedError):
            if surface := surface_meant(subject, claim.name):
                again = test([_claim_along(subject, claim.name, surface)])[claim.name]
                passing |= {claim.name: _told(again, surface)} if passes(again) else {}
    return passing


def surface_meant(subject: Subject, name: str) -> Surface | None:
    """Return the surface that an input is held to: as the spec says, or as forward reads one triangle only.

    One that merely happens to lie on it may be moved off it: a normal part that is wrong would be hidden, or a
    transposed gradient.
    """
    for surface in surfaces_possible(subject, name):
        if surface is not SYMMETRIC or _is_stated(subject, name, surface) or _reads_one_triangle(subject, name):
            return surface
    return None


def surfaces_possible(subject: Subject, name: str) -> Iterator[Surface]:
    """Yield the surfaces that an input may be meant to lie on: the one that the spec says, or of symmetric matrices."""
    known = (each for each in SURFACES if each is SYMMETRIC or _is_stated(subject, name, each))
    return surfaces_under(subject, name, known)


def surfaces_under(subject: Subject, name: str, known: Iterable[Surface] = SURFACES) -> Iterator[Surface]:
    """Yield those of some surfaces that an input lies on, which is not held to one already."""
    if not isinstance(subject.op, OnSurface):
        yield from (surface for surface in known if surface.holds(subject.inputs[name]))


def _is_stated(subject: Subject, name: str, surface: Surface) -> bool:
    return next(made for made in subject.case.inputs if made.name == name).distribution in surface.distributions


def _reads_one_triangle(subject: Subject, name: str) -> bool:
    x, xp = subject.inputs[name], namespace(subject.inputs[name])
    before = joined(subject.counted_of(subject.outputs))
    for off in (xp.triu(x, k=1), xp.tril(x, k=-1)):
        if not bool(off.any()):
            continue
        try:
            outputs = subject.counted_of(subject.op.forward({**subject.inputs, name: x + off * FAR}))
        except OpError:
            continue
        if bool((joined(outputs) == before).all()):
            return True
    return False


class OnSurface(CountedOp):
    """An op as a function of any array in the place of an input that lies on a surface; its calls are the op's own."""

    def __init__(self, op: CountingOp, name: str, surface: Surface) -> None:
        self._op = self._counted = op
        self._name = name
        self._surface = surface

    def forward(self, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        """Return all outputs at the point of the surface."""
        return self._counted.forward(self._held(inputs))

    def forward_stacked(self, inputs: Mapping[str, Array], varied: str, points: Array) -> tuple[Array | None, ...]:
        """Return all outputs at several points, stacked, each on the surface."""
        stackable: StackableOp = self._op  # type: ignore[assignment]
        points = self._onto(points) if varied == self._name else points
        return stackable.forward_stacked(self._held(inputs), varied, points)

    def backward(
        self, upstream: tuple[Array, ...], inputs: Mapping[str, Array], outputs: tuple[Array, ...]
    ) -> dict[str, Array | None]:
        """Return the gradients, that of the input pulled back from the surface."""
        made = dict(self._counted.backward(upstream, self._held(inputs), outputs))
        gradient = made.get(self._name)
        if gradient is not None:
            made[self._name] = _pulled(self._surface, inputs[self._name], gradient)
        return made

    def _held(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {**inputs, self._name: self._onto(inputs[self._name])}

    def _onto(self, x: Array) -> Array:
        return cast(self._surface.onto(widened(x)), dtype_name(x.dtype))


def _pulled(surface: Surface, x: Array, gradient: Array) -> Array:
    """Return a gradient pulled back from the points of a surface that belong to an array, in its own dtype."""
    return cast(surface.pulled(widened(x), widened(gradient)), dtype_name(gradient.dtype))


def _claim_along(subject: Subject, name: str, surface: Surface) -> Claim:
    """Return what is claimed of an op that was called once, along a surface that an input lies on.

    Raises:
        LimitReachedError: where there are no calls left to find out where it is differenced.

    """
    gradient = _pulled(surface, subject.inputs[name], subject.gradients[name])
    gradients = {**subject.gradients, name: gradient}
    held = replace(subject, op=OnSurface(subject.op, name, surface), gradients=gradients)
    return claims_of(find_point(held), {name: gradient})[0]


def _vanishes(along: Seen, seen: Seen) -> bool:
    """Whether a gradient is all but normal to a surface, so that nothing is right along that."""
    return not along.claim.magnitude > NEGLIGIBLE * seen.claim.magnitude


def _told(audited: tuple[Result, Seen], surface: Surface) -> tuple[Result, Seen]:
    """Add to what was found of such a claim that it was audited so."""
    result, seen = audited
    name, said = result.input, surface.said
    if surface is SYMMETRIC and has_complex_dtype(seen.claim.formula):
        said = "Hermitian"
    message = (
        f"single entries of the gradient of {name} disagree with forward, but what it says of changes that keep {name} "
        f"{said} agrees: forward was audited along these"
    )
    return replace(result, findings=(*result.findings, _finding(surface, name, message))), seen


def _not_meant(result: Result, surface: Surface) -> Result:
    """Add to the result of a wrong gradient that it is right along a surface which the spec says nothing of."""
    name, (named, *_) = result.input, surface.distributions
    message = (
        f"the gradient of {name} is right for changes that keep {name} {surface.said}, as it is here, and wrong for "
        f"others only. If {name} is always so, say so in the spec: {name}: {{..., distribution: {named}}}"
    )
    return replace(result, findings=(*result.findings, _finding(surface, name, message)))


def _finding(surface: Surface, name: str, message: str) -> Finding:
    code = "symmetric-input" if surface is SYMMETRIC else "constrained-input"
    return Finding(code, message, {"array": name, "distribution": surface.distributions[0]})
