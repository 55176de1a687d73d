"""Regions of indices that one can describe: slices, borders, strides, half-spaces of an input, ties, repeats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from gradaudit.diagnosis.evidence import Array, Claim, Evidence, Mask
from gradaudit.diagnosis.quantities import alignments, known_arrays
from gradaudit.diagnosis.words import axes_in_words

MOST_STRIDE = 4
"""Largest stride that is looked for."""

MOST_BORDER = 3
"""Widest border that is looked for."""

MOST_LISTED = 3
"""Most positions along an axis that are listed."""


@dataclass(frozen=True)
class Spread:
    """An array, or its magnitudes, spread to the gradient's shape along some axes."""

    whole: str
    axes: tuple[int, ...]
    magnitude: bool = False

    @property
    def name(self) -> str:
        """What it is called."""
        return f"|{self.whole}|" if self.magnitude else self.whole

    def at(self, claim: Claim) -> Array | None:
        """Return its values at the places of a claim; None where it does not fit there."""
        array = known_arrays(claim).get(self.whole)
        for spread, axes in alignments(array, claim.analytical.shape) if array is not None else ():
            if axes == self.axes:
                values = claim.at_places(spread) * 1.0
                return np.abs(values) if self.magnitude else values
        return None


NARROW = 0.02
"""Share of the range of the values that two may be apart between which a threshold lies, and nothing be said of it."""


@dataclass(frozen=True)
class Threshold:
    """A number that values are compared with.

    Attributes:
        spread: the values.
        number: the number.
        inner, outer: the values next to it, on either side.
        whole: the range of the values.
        known: whether it is a number that one would expect; else any between ``inner`` and ``outer`` would do.

    """

    spread: Spread
    number: float
    inner: float
    outer: float
    whole: float
    known: bool

    def unsure(self, claim: Claim) -> Mask:
        """Return the places whose values lie where nothing is known of them."""
        values = self.spread.at(claim)
        return np.zeros(len(claim.places), bool) if values is None else (self.inner < values) & (values < self.outer)

    def tightened(self, claim: Claim) -> Threshold:
        """Return the threshold as it is known when the number has held at another claim as well."""
        values = self.spread.at(claim)
        if values is None or not self.known:
            return self
        below, above = values[values < self.number], values[values >= self.number]
        inner = max(self.inner, float(below.max(initial=-np.inf)))
        return replace(self, inner=inner, outer=min(self.outer, float(above.min(initial=np.inf))))

    def __str__(self) -> str:
        """Say how well it is known, where that is not well."""
        apart = max(self.number - self.inner, self.outer - self.number)
        return f" (to within {apart:.1g})" if apart > NARROW * self.whole else ""


@dataclass(frozen=True)
class Region:
    """A rule that says which indices belong together.

    Attributes:
        text: the rule in words.
        of: from a claim to those of its places that are inside; None where the rule says nothing of such a claim.
        fitted: how many numbers in the text were chosen to fit.
        threshold: the number in the text that values are compared with, and how well it is known; None for none.

    """

    text: str
    of: Callable[[Claim], Mask | None]
    fitted: int = 0
    threshold: Threshold | None = None


def regions(evidence: Evidence) -> Iterator[Region]:
    """Yield regions that may hold the wrong places, the plainest first."""
    yield from _along_axes(evidence)
    yield from _between_axes(evidence)
    yield from _by_index(evidence)
    yield from _ties(evidence)
    yield from _by_value(evidence)
    yield from _listed_positions(evidence)


def _along_axes(evidence: Evidence) -> Iterator[Region]:
    shape = evidence.analytical.shape
    long = [axis for axis, size in enumerate(shape) if size > 1]
    for axis in long:
        for width in range(1, min(MOST_BORDER, shape[axis] - 1) + 1):
            yield _first(axis, width)
            yield _last(axis, width)
        for stride in range(2, min(MOST_STRIDE, shape[axis] - 1) + 1):
            for start in range(min(stride, shape[axis] - stride)):  # two positions at least
                yield _every(axis, stride, start)
    for axes in (pair for count in range(1, len(long) + 1) for pair in combinations(long, count)):
        inner = min(shape[axis] for axis in axes)
        for width in range(1, MOST_BORDER + 1):
            if width == 1 or inner - 2 * width > 1:  # else it is all but the middle, as where an axis is reversed
                yield _border(axes, width)


def _first(axis: int, width: int) -> Region:
    text = f"in the first {width} along axis {axis}" if width > 1 else f"at 0 along axis {axis}"
    return Region(text, lambda claim: claim.places[:, axis] < width)


def _last(axis: int, width: int) -> Region:
    text = f"in the last {width} along axis {axis}" if width > 1 else f"at the end of axis {axis}"
    return Region(text, lambda claim: claim.places[:, axis] >= claim.analytical.shape[axis] - width)


def _every(axis: int, stride: int, start: int) -> Region:
    ordinal = {2: "second", 3: "third"}.get(stride, f"{stride}th")
    text = f"at every {ordinal} position along axis {axis}, from {start}"
    return Region(text, lambda claim: claim.places[:, axis] % stride == start)


def _border(axes: tuple[int, ...], width: int) -> Region:
    def inside(claim: Claim) -> Mask:
        at = claim.places[:, list(axes)]
        sizes = np.array([claim.analytical.shape[axis] for axis in axes])
        return np.asarray(((at < width) | (at >= sizes - width)).any(axis=1))

    return Region(f"within {width} of the border of {axes_in_words(axes)}", inside)


def _listed_positions(evidence: Evidence) -> Iterator[Region]:
    for axis, size in enumerate(evidence.analytical.shape):
        held = np.unique(evidence.places[:, axis][evidence.wrong])
        if len(held) <= min(MOST_LISTED, size - 1):
            yield _at(axis, tuple(int(k) for k in held), size)


def _at(axis: int, held: tuple[int, ...], size: int) -> Region:
    def inside(claim: Claim) -> Mask | None:
        return np.isin(claim.places[:, axis], held) if claim.analytical.shape[axis] == size else None

    return Region(f"at {', '.join(map(str, held))} along axis {axis}", inside, len(held))


def _between_axes(evidence: Evidence) -> Iterator[Region]:
    shape = evidence.analytical.shape
    for i, j in combinations(range(len(shape)), 2):
        if min(shape[i], shape[j]) > 1:
            yield from _between(i, j)


def _between(i: int, j: int) -> Iterator[Region]:
    def both(claim: Claim) -> tuple[Array, Array]:
        return claim.places[:, i], claim.places[:, j]

    yield Region(f"on the diagonal of axes {i}, {j}", lambda claim: np.equal(*both(claim)))
    yield Region(f"off the diagonal of axes {i}, {j}", lambda claim: np.not_equal(*both(claim)))
    yield Region(f"above the diagonal of axes {i}, {j}", lambda claim: np.less(*both(claim)))
    yield Region(f"below the diagonal of axes {i}, {j}", lambda claim: np.greater(*both(claim)))
    summed = f"where the sum of the indices along axes {i}, {j} is"
    yield Region(f"{summed} even", lambda claim: np.add(*both(claim)) % 2 == 0)
    yield Region(f"{summed} odd", lambda claim: np.add(*both(claim)) % 2 == 1)


def _by_index(evidence: Evidence) -> Iterator[Region]:
    """Yield what an input of integers picks along an axis: rows taken more than once, once, or never."""
    for name in evidence.inputs:
        for axis in range(evidence.analytical.ndim):
            if _counts(evidence, name, axis) is not None:
                yield _held_by(name, axis, "holds the position along axis {} more than once", lambda count: count > 1)
                yield _held_by(name, axis, "does not hold the position along axis {}", lambda count: count == 0)
                yield _held_by(name, axis, "holds the position along axis {}", lambda count: count > 0)


def _held_by(name: str, axis: int, text: str, told: Callable[[Array], Mask]) -> Region:
    def inside(claim: Claim) -> Mask | None:
        counts = _counts(claim, name, axis)
        return None if counts is None else told(counts)

    return Region(f"where {name} {text.format(axis)}", inside)


def _counts(claim: Claim, name: str, axis: int) -> Array | None:
    """Return how often an input of integers holds the position of each place; None where it holds no positions."""
    array, size = claim.inputs[name], claim.analytical.shape[axis]
    if array.dtype.kind not in "iu" or not array.size or array.min() < 0 or array.max() >= size:
        return None
    return np.bincount(array.reshape(-1).astype(np.intp), minlength=size)[claim.places[:, axis]]


def _ties(evidence: Evidence) -> Iterator[Region]:
    x = evidence.inputs.get(evidence.name)
    if x is not None and x.shape == evidence.analytical.shape:
        for axis, size in enumerate(x.shape):
            if size > 1:
                yield _tied(evidence.name, axis)


def _tied(name: str, axis: int) -> Region:
    def inside(claim: Claim) -> Mask:
        x = claim.inputs[name]
        ordered, order = np.sort(x, axis=axis), np.argsort(x, axis=axis)
        beside = np.diff(ordered, axis=axis) == 0
        none = np.zeros_like(np.take(ordered, [0], axis=axis), bool)
        tied = np.concatenate([none, beside], axis) | np.concatenate([beside, none], axis)
        back = np.empty_like(tied)
        np.put_along_axis(back, order, tied, axis)
        return claim.at_places(back)

    return Region(f"where {name} has its value more than once along axis {axis}", inside)


def _by_value(evidence: Evidence) -> Iterator[Region]:
    for name, array in known_arrays(evidence).items():
        if array.dtype.kind == "c" or array.size < 2:
            continue
        for _, axes in alignments(array, evidence.analytical.shape):
            yield from _half_spaces(evidence, Spread(name, axes))
            if array.dtype.kind not in "biu":
                yield from _half_spaces(evidence, Spread(name, axes, magnitude=True))


def _half_spaces(evidence: Evidence, spread: Spread) -> Iterator[Region]:
    """Yield where values are one, and where they are below or above what parts the wrong places from the right ones."""
    wrong, right = evidence.wrong, evidence.right & evidence.telling
    values = spread.at(evidence)
    if values is None or not wrong.any() or not right.any():
        return
    only = np.unique(values[wrong])
    if len(only) == 1:
        yield _equal(spread, float(only[0]))
    for sign, low, high in (("<", wrong, right), (">", right, wrong)):
        inner, outer = float(values[low].max()), float(values[high].min())
        if inner < outer:
            mark = _mark(evidence, inner, outer, included=sign == "<")
            whole = float(values.max() - values.min())
            number = (inner + outer) / 2 if mark is None else mark
            yield _beyond(sign, Threshold(spread, number, inner, outer, whole, known=mark is not None))


def _equal(spread: Spread, number: float) -> Region:
    def inside(claim: Claim) -> Mask | None:
        values = spread.at(claim)
        return None if values is None else np.asarray(values == number)

    return Region(f"where {spread.name} = {number:.3g}", inside, 1)


def _beyond(sign: str, threshold: Threshold) -> Region:
    spread, number = threshold.spread, threshold.number

    def inside(claim: Claim) -> Mask | None:
        values = spread.at(claim)
        return None if values is None else np.asarray(values < number if sign == "<" else values > number)

    text = f"where {spread.name} {sign} {number:.3g}"
    return Region(text, inside, 0 if threshold.known else 1, threshold)


def _mark(evidence: Evidence, inner: float, outer: float, *, included: bool) -> float | None:
    """Return a number that one would expect as a threshold, and that parts the two values as the text will say."""
    params = [float(value) for value in evidence.params.values() if isinstance(value, (int, float))]
    for mark in (0.0, 1.0, -1.0, *params):
        if inner < mark <= outer if included else inner <= mark < outer:
            return mark
    return None
