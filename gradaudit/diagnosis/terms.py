"""Terms that backwards lose: means, projections, the upstream itself, an input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, combinations
from math import prod

import numpy as np

from gradaudit.diagnosis.evidence import Array, Evidence
from gradaudit.diagnosis.quantities import stabilizers

Axes = tuple[int, ...]

PLAIN = (1.0, 2.0, 0.5)
"""Multiples that a term may be lost in."""


@dataclass(frozen=True)
class Term:
    """What may have to be added, up to its coefficient.

    Attributes:
        array: of the gradient's shape.
        name: what it is.
        coefficients: the coefficients that make it recognisable; empty where any does.

    """

    array: Array
    name: str
    coefficients: tuple[float, ...] = ()


def terms(evidence: Evidence) -> Iterator[Term]:
    """Yield the terms that this op may have lost, the plain ones first."""
    yield from _residual(evidence)
    long = [axis for axis, size in enumerate(evidence.analytical.shape) if size > 1]
    subsets = list(chain.from_iterable(combinations(long, count) for count in range(1, len(long) + 1)))
    for name, base in _bases(evidence):
        for over in subsets:
            yield _mean(name, base, over)
    for name, base in _bases(evidence):
        for over in subsets:
            yield from _projections(evidence, name, base, over)
    yield from _inputs(evidence)


def _bases(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    """Yield the analytical gradient and those upstream gradients that have its shape."""
    yield "analytical", evidence.analytical
    for upstream in evidence.upstream:
        if upstream.shape == evidence.analytical.shape:
            yield "upstream", upstream


def _residual(evidence: Evidence) -> Iterator[Term]:
    shape = evidence.analytical.shape
    for upstream in evidence.upstream:
        if upstream.shape == shape:
            yield Term(upstream, "upstream", _signed(PLAIN))
        elif upstream.ndim >= len(shape) and upstream.shape[upstream.ndim - len(shape) :] == shape:
            summed = upstream.sum(axis=tuple(range(upstream.ndim - len(shape))))
            yield Term(summed, "upstream summed over its leading axes", _signed(PLAIN))


def _mean(name: str, base: Array, over: Axes) -> Term:
    size = prod(base.shape[k] for k in over)
    mean = np.broadcast_to(base.mean(axis=over, keepdims=True), base.shape)
    coefficients = (*PLAIN, float(size), size / (size - 1.0), size / (size + 1.0))  # sums; means once too often
    return Term(mean, f"the mean of {name} over {_in_words(over)}", _signed(coefficients))


def _projections(evidence: Evidence, name: str, base: Array, over: Axes) -> Iterator[Term]:
    """Yield what takes out the part of a gradient along something that the op keeps fixed."""
    shape, about = base.shape, _in_words(over)
    size = prod(shape[k] for k in over)
    for output in evidence.outputs:
        if output.shape == shape:
            yield Term(output * _sum(base, over), f"output x the sum of {name} over {about}", _signed(PLAIN))
            yield Term(output * _sum(base * output, over), f"its projection on the output over {about}", _signed(PLAIN))
            exponential = np.exp(output) * _sum(base, over)
            yield Term(exponential, f"exp(output) x the sum of {name} over {about}", _signed(PLAIN))
    x = evidence.inputs.get(evidence.name)
    if x is None or x.shape != shape or size < 2:
        return
    deviation = x - x.mean(axis=over, keepdims=True)
    for eps in stabilizers(evidence):
        z = deviation / np.sqrt(np.square(np.abs(deviation)).mean(axis=over, keepdims=True) + eps)
        along = z * _sum(base * np.conj(z), over) / size
        normalised = f"z x the mean of {name} x z over {about}, z the normalised {evidence.name}"
        yield Term(along, normalised, _summed(size))
        both = along + base.mean(axis=over, keepdims=True)
        two = f"(the mean of {name} over {about} + {normalised})"
        yield Term(both, two, _signed(PLAIN))
    own = x * _sum(base * np.conj(x), over) / _sum(np.square(np.abs(x)), over)
    yield Term(own, f"the projection of {name} on {evidence.name} over {about}", _signed(PLAIN))


def _inputs(evidence: Evidence) -> Iterator[Term]:
    shape = evidence.analytical.shape
    for name, array in evidence.inputs.items():
        if array.shape == shape and array.dtype.kind in "biufc" and (array != array.reshape(-1)[:1]).any():
            yield Term(array * 1.0, name)
            if array.dtype.kind in "if":
                yield Term(np.sign(array) * 1.0, f"sign({name})")
    yield Term(np.ones(shape), "1")


def _sum(array: Array, over: Axes) -> Array:
    return np.asarray(array.sum(axis=over, keepdims=True))


def _summed(size: int) -> tuple[float, ...]:
    return _signed((*PLAIN, float(size)))


def _signed(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sign * value for value in values for sign in (-1.0, 1.0))


def _in_words(axes: Axes) -> str:
    return f"{'axis' if len(axes) == 1 else 'axes'} {', '.join(map(str, axes))}"
