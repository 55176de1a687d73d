"""Terms that backwards lose: means, projections, the upstream itself, an input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np

from gradaudit.diagnosis.evidence import Array, Claim
from gradaudit.diagnosis.quantities import stabilizers
from gradaudit.diagnosis.slices import Slices, slices_along
from gradaudit.diagnosis.words import axes_in_words


@dataclass(frozen=True)
class Coefficient:
    """A multiple of a term, and what it is where it depends on sizes."""

    value: float
    name: str = ""


def _signed(*values: Coefficient) -> tuple[Coefficient, ...]:
    return tuple([Coefficient(sign * each.value, each.name) for each in values for sign in (-1.0, 1.0)])


PLAIN = _signed(Coefficient(1.0), Coefficient(2.0), Coefficient(0.5))
"""Multiples that a term may be lost in."""


@dataclass(frozen=True)
class Term:
    """What may have to be added, up to its coefficient.

    Attributes:
        values: the term at the places.
        name: what it is.
        coefficients: the coefficients that make it recognisable; empty where any does.

    """

    values: Array
    name: str
    coefficients: tuple[Coefficient, ...] = ()


def terms(claim: Claim) -> Iterator[Term]:
    """Yield the terms that this op may have lost, the plain ones first."""
    yield from _residual(claim)
    long = [axis for axis, size in enumerate(claim.analytical.shape) if size > 1]
    subsets = list(chain.from_iterable(combinations(long, count) for count in range(1, len(long) + 1)))
    for name, base in _bases(claim):
        for over in subsets:
            yield _mean(slices_along(claim, over), name, base)
    for name, base in _bases(claim):
        for over in subsets:
            yield from _projections(claim, slices_along(claim, over), name, base)
    yield from _inputs(claim)


def _bases(claim: Claim) -> Iterator[tuple[str, Array]]:
    """Yield the analytical gradient and those upstream gradients that have its shape."""
    yield "analytical", claim.analytical
    for upstream in claim.upstream:
        if upstream.shape == claim.analytical.shape:
            yield "upstream", upstream


def _residual(claim: Claim) -> Iterator[Term]:
    shape = claim.analytical.shape
    for upstream in claim.upstream:
        leading = upstream.ndim - len(shape)
        if leading >= 0 and upstream.shape[leading:] == shape:
            summed = upstream.sum(axis=tuple(range(leading))) if leading else upstream
            name = "upstream summed over its leading axes" if leading else "upstream"
            yield Term(claim.at_places(summed), name, PLAIN)


def _mean(slices: Slices, name: str, base: Array) -> Term:
    size = slices.size
    mean = slices.of(base).mean(axis=1, keepdims=True)
    along = f"N = {size}, the elements along {axes_in_words(slices.over)}"
    more = (  # sums; means once too often
        Coefficient(float(size), f"N ({along})"),
        Coefficient(size / (size - 1.0), f"N/(N-1) ({along})"),
        Coefficient(size / (size + 1.0), f"N/(N+1) ({along})"),
    )
    text = f"the mean of {name} over {axes_in_words(slices.over)}"
    return Term(slices.at_places(mean), text, (*PLAIN, *_signed(*more)))


def _projections(claim: Claim, slices: Slices, name: str, base: Array) -> Iterator[Term]:
    """Yield what takes out the part of a gradient along something that the op keeps fixed."""
    shape, about, g = base.shape, axes_in_words(slices.over), slices.of(base)
    at = slices.at_places
    for output in (slices.of(output) for output in claim.outputs if output.shape == shape):
        total = _sum(g)
        yield Term(at(output * total), f"output times the sum of {name} over {about}", PLAIN)
        along = output * _sum(g * np.conj(output))
        yield Term(at(along), f"output times the sum of {name} times output over {about}", PLAIN)
        yield Term(at(np.exp(output) * total), f"exp(output) times the sum of {name} over {about}", PLAIN)
    whole = claim.inputs.get(claim.name)
    if whole is not None and whole.shape == shape:
        x = slices.of(whole)
        yield from _on_normalised(claim, slices, name, g, x)
        own = x * _sum(g * np.conj(x)) / _sum(np.square(np.abs(x)))
        yield Term(at(own), f"the projection of {name} on {claim.name} over {about}", PLAIN)


def _on_normalised(claim: Claim, slices: Slices, name: str, g: Array, x: Array) -> Iterator[Term]:
    """Yield the projection on x without its mean and deviation, alone and with the mean."""
    about, size = axes_in_words(slices.over), slices.size
    coefficients = (*PLAIN, *_signed(Coefficient(float(size), f"N (N = {size}, the elements along {about})")))
    deviation = x - x.mean(axis=1, keepdims=True)
    variance = np.square(np.abs(deviation)).mean(axis=1, keepdims=True)
    for eps in stabilizers(claim):
        z = deviation / np.sqrt(variance + eps)
        along = z * (g * np.conj(z)).mean(axis=1, keepdims=True)
        said = f"z times the mean of {name} times z over {about}, z the normalised {claim.name}"
        yield Term(slices.at_places(along), said, coefficients)
        both = along + g.mean(axis=1, keepdims=True)
        yield Term(slices.at_places(both), f"(the mean of {name} over {about} + {said})", PLAIN)


def _inputs(claim: Claim) -> Iterator[Term]:
    for name, array in claim.inputs.items():
        if array.shape == claim.analytical.shape and array.dtype.kind in "biufc":
            values = claim.at_places(array)
            if (values != values[:1]).any():  # one that is constant is the last term
                yield Term(values * 1.0, name)
                yield Term(np.sign(values * 1.0), f"sign({name})")
    yield Term(np.ones(len(claim.places)), "1")


def _sum(slices: Array) -> Array:
    return np.asarray(slices.sum(axis=1, keepdims=True))
