"""Regions of indices that one can describe: slices, borders, strides, half-spaces of an input, ties, repeats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from gradaudit.diagnosis.evidence import Array, Evidence, Mask
from gradaudit.diagnosis.quantities import alignments, known_arrays
from gradaudit.diagnosis.words import axes_in_words

MOST_STRIDE = 4
"""Largest stride that is looked for."""

MOST_BORDER = 3
"""Widest border that is looked for."""

MOST_LISTED = 3
"""Most positions along an axis that are listed."""


@dataclass(frozen=True)
class Region:
    """Some of the places, and what they have in common."""

    mask: Mask
    text: str
    fitted: int = 0
    """How many numbers in the text were chosen to fit."""


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
        at, size = evidence.places[:, axis], shape[axis]
        for width in range(1, min(MOST_BORDER, size - 1) + 1):
            first, last = at < width, at >= size - width
            yield Region(first, f"in the first {width} along axis {axis}" if width > 1 else f"at 0 along axis {axis}")
            yield Region(last, f"in the last {width} along axis {axis}" if width > 1 else f"at the end of axis {axis}")
        for stride in range(2, min(MOST_STRIDE, size - 1) + 1):
            for start in range(min(stride, size - stride)):  # two positions at least
                text = f"at every {_ordinal(stride)} position along axis {axis}, from {start}"
                yield Region(at % stride == start, text)
    for axes in (pair for count in range(1, len(long) + 1) for pair in combinations(long, count)):
        for width in range(1, MOST_BORDER + 1):
            yield Region(_border(evidence, axes, width), f"within {width} of the border of {axes_in_words(axes)}")


def _listed_positions(evidence: Evidence) -> Iterator[Region]:
    for axis, size in enumerate(evidence.analytical.shape):
        at = evidence.places[:, axis]
        held = np.unique(at[evidence.wrong])
        if len(held) <= min(MOST_LISTED, size - 1):
            listed = ", ".join(str(int(k)) for k in held)
            yield Region(np.isin(at, held), f"at {listed} along axis {axis}", len(held))


def _border(evidence: Evidence, axes: tuple[int, ...], width: int) -> Mask:
    at = evidence.places[:, list(axes)]
    sizes = np.array([evidence.analytical.shape[axis] for axis in axes])
    return np.asarray(((at < width) | (at >= sizes - width)).any(axis=1))


def _between_axes(evidence: Evidence) -> Iterator[Region]:
    places, shape = evidence.places, evidence.analytical.shape
    for i, j in combinations(range(len(shape)), 2):
        if min(shape[i], shape[j]) > 1:
            a, b = places[:, i], places[:, j]
            yield Region(a == b, f"on the diagonal of axes {i}, {j}")
            yield Region(a != b, f"off the diagonal of axes {i}, {j}")
            yield Region(a < b, f"above the diagonal of axes {i}, {j}")
            yield Region(a > b, f"below the diagonal of axes {i}, {j}")
            for parity in (0, 1):
                text = f"where the sum of the indices along axes {i}, {j} is {'odd' if parity else 'even'}"
                yield Region((a + b) % 2 == parity, text)


def _by_index(evidence: Evidence) -> Iterator[Region]:
    """Yield what an input of integers picks along an axis: rows taken more than once, once, or never."""
    for name, array in evidence.inputs.items():
        if array.dtype.kind not in "iu" or not array.size:
            continue
        for axis, size in enumerate(evidence.analytical.shape):
            if array.min() >= 0 and array.max() < size:
                counts = np.bincount(array.reshape(-1), minlength=size)[evidence.places[:, axis]]
                yield Region(counts > 1, f"where {name} holds the position along axis {axis} more than once")
                yield Region(counts == 0, f"where {name} does not hold the position along axis {axis}")
                yield Region(counts > 0, f"where {name} holds the position along axis {axis}")


def _ties(evidence: Evidence) -> Iterator[Region]:
    x = evidence.inputs.get(evidence.name)
    if x is None or x.shape != evidence.analytical.shape or x.ndim == 0:
        return
    for axis in range(x.ndim):
        if x.shape[axis] > 1:
            ordered, order = np.sort(x, axis=axis), np.argsort(x, axis=axis)
            beside = np.diff(ordered, axis=axis) == 0
            none = np.zeros_like(np.take(ordered, [0], axis=axis), bool)
            tied = np.concatenate([none, beside], axis) | np.concatenate([beside, none], axis)
            back = np.empty_like(tied)
            np.put_along_axis(back, order, tied, axis)
            text = f"where {evidence.name} has its value more than once along axis {axis}"
            yield Region(evidence.at_places(back), text)


def _by_value(evidence: Evidence) -> Iterator[Region]:
    for name, array in known_arrays(evidence).items():
        if array.dtype.kind == "c" or array.size < 2:
            continue
        for spread, _ in alignments(array, evidence.analytical.shape):
            values = evidence.at_places(spread)
            yield from _half_spaces(evidence, values * 1.0, name)
            if array.dtype.kind not in "biu":
                yield from _half_spaces(evidence, np.abs(values), f"|{name}|")


def _half_spaces(evidence: Evidence, values: Array, name: str) -> Iterator[Region]:
    """Yield where values are one, and where they are below or above what parts the wrong places from the right ones."""
    wrong, right = evidence.wrong, evidence.right & evidence.telling
    if not wrong.any() or not right.any():
        return
    only = np.unique(values[wrong])
    if len(only) == 1:
        yield Region(values == only[0], f"where {name} = {only[0]:.3g}", 1)
    for sign, low, high in (("<", wrong, right), (">", right, wrong)):
        inner, outer = float(values[low].max()), float(values[high].min())
        if inner < outer:
            mask = values <= inner if sign == "<" else values >= outer
            mark = _mark(evidence, inner, outer, included=sign == "<")
            text = f"where {name} {sign} {(inner + outer) / 2 if mark is None else mark:.3g}"
            yield Region(mask, text, 1 if mark is None else 0)


def _mark(evidence: Evidence, inner: float, outer: float, *, included: bool) -> float | None:
    """Return a number that one would expect as a threshold, and that parts the two values as the text will say."""
    params = [float(value) for value in evidence.params.values() if isinstance(value, (int, float))]
    for mark in (0.0, 1.0, -1.0, *params):
        if inner < mark <= outer if included else inner <= mark < outer:
            return mark
    return None


def _ordinal(count: int) -> str:
    return {2: "second", 3: "third"}.get(count, f"{count}th")
