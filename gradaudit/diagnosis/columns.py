"""Columns of the Jacobian at a few wrong places: which part of the upstream a gradient is made of, to the row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gradaudit.diagnosis.cause import Cause, Elsewhere, NothingToldError, known
from gradaudit.diagnosis.evidence import Array, Evidence
from gradaudit.results import Finding

Floats = NDArray[np.float64]
Forward = Callable[[Mapping[str, Array]], Sequence[Array]]
"""From inputs in double precision to the outputs that count."""

PLACES = 4
"""Places whose columns are measured: two forwards each."""

STEP = 2.0**-17
"""Step of a central difference, in units of the element or of the typical one."""

CLOSE = 1e-5
"""Difference up to which parts of the upstream add up to a gradient, relative to the sum of what they could add."""

LONGEST = 400
"""Slices of an axis of the upstream whose ranges are looked at."""

NEEDED = 3
"""Places that must speak for a part: where it and the rest of the upstream both matter."""


@dataclass(frozen=True)
class Columns:
    """What each element of the upstream adds to the true gradient at some places.

    Attributes:
        claimed: the analytical gradient at the places.
        parts: for each output that counts, what its upstream adds: shape (places, *shape of the output).
        slopes: the same without the upstream: the derivatives of the output.
        own: the flat index of each place in the input.

    """

    claimed: Floats
    parts: tuple[Floats, ...]
    slopes: tuple[Floats, ...]
    own: NDArray[np.intp]

    @property
    def room(self) -> Floats:
        """How far a sum of parts may be from the gradient claimed, at each place."""
        sums = [np.abs(part).reshape(len(self.claimed), -1).sum(axis=1) for part in self.parts]
        return np.asarray(CLOSE * np.sum(sums, axis=0), np.float64)


Upstream = tuple[Array, ...]

SINGLE = 2
"""Places that are looked at one by one at another point."""


@dataclass(frozen=True)
class Mistaken(Cause):
    """A gradient that is right for another upstream than the one given.

    Attributes:
        ways: from the upstream given to the one that the gradient belongs to; any of them, at other sizes.

    """

    ways: tuple[Callable[[Upstream], Upstream | None], ...] = ()

    def held(self, there: Elsewhere) -> Cause | None:
        """Return the cause where the claim is right for such an upstream, and wrong for the one given."""
        claim = there.claim
        slope = there.slope(known(claim.claimed))
        if slope.near(claim.claimed):
            raise NothingToldError
        others = [made for way in self.ways if (made := way(claim.upstream)) is not None]
        if not others:
            raise NothingToldError
        if any(slope.near(claim.claimed, made) for made in others):
            return self
        return None if all(slope.off(claim.claimed, made) for made in others) else self


@dataclass(frozen=True)
class Diagonal(Cause):
    """A gradient that is made of the upstream at the same index alone."""

    def held(self, there: Elsewhere) -> Cause | None:
        """Return the cause where that is so at a few places as well."""
        claim = there.claim
        if len(claim.upstream) != 1 or claim.upstream[0].shape != claim.analytical.shape:
            raise NothingToldError
        told = 0
        for place in np.argsort(-np.abs(claim.claimed), kind="stable")[:SINGLE]:
            slope = there.slope(np.arange(len(claim.claimed)) == place)
            own, index = np.zeros_like(claim.upstream[0]), tuple(claim.places[place])
            own[index] = claim.upstream[0][index]
            if slope.off(claim.claimed, (own,)):
                return None
            told += not slope.near(claim.claimed)
        if not told:
            raise NothingToldError
        return self


def from_columns(evidence: Evidence, forward: Forward) -> Iterator[Cause]:
    """Yield what part of the upstream the analytical gradient is made of, if that is its fault.

    Args:
        evidence: a wrong gradient.
        forward: called twice for each of a few places.

    """
    columns = _measured(evidence, forward)
    if columns is None:
        return
    yield from _diagonal_only(evidence, columns)
    for k, made in enumerate(columns.parts):
        others = sum((_sum(other) for j, other in enumerate(columns.parts) if j != k), start=np.zeros(1))
        for axis in range(1, made.ndim):
            yield from _range_of(columns, k, axis, others, len(columns.parts) > 1)
            yield from _one_for_all(evidence, columns, k, axis, others, len(columns.parts) > 1)


def _measured(evidence: Evidence, forward: Forward) -> Columns | None:
    given = evidence.inputs.get(evidence.name)
    real = given is not None and given.dtype.kind == "f" and all(u.dtype.kind == "f" for u in evidence.upstream)
    if given is None or not real or not evidence.wrong.any():
        return None
    order = np.argsort(-np.minimum(evidence.mismatch, np.abs(evidence.claimed)))  # a claim of zero tells little
    places = [k for k in order if evidence.wrong[k]][:PLACES]
    typical = float(np.sqrt(np.mean(np.square(given)))) or 1.0
    rows = []
    for k in places:
        index = tuple(evidence.places[k])
        step = STEP * max(abs(float(given[index])), typical)
        pair = []
        for sign in (1.0, -1.0):
            moved = {name: array.copy() for name, array in evidence.inputs.items()}
            moved[evidence.name][index] += sign * step
            pair.append(forward(moved))
        if not pair[0] or any(a.shape != u.shape for a, u in zip(pair[0], evidence.upstream, strict=False)):
            return None
        rows.append([(np.asarray(a, np.float64) - b) / (2 * step) for a, b in zip(*pair, strict=True)])
    slopes = tuple(np.array(each) for each in zip(*rows, strict=True))
    parts = tuple(slope * u for slope, u in zip(slopes, evidence.upstream, strict=True))
    own = np.ravel_multi_index(evidence.places[places].T, given.shape) if given.ndim else np.zeros(len(places), int)
    made = Columns(evidence.claimed[places], parts, slopes, np.asarray(own, np.intp))
    whole = np.sum([_sum(part) for part in parts], axis=0)
    known = bool((np.abs(whole - evidence.numerical[places]) <= 10 * made.room + evidence.slack[places]).all())
    return made if known and np.isfinite(made.room).all() else None


def _sum(part: Floats) -> Floats:
    return np.asarray(part.reshape(len(part), -1).sum(axis=1))


def _diagonal_only(evidence: Evidence, columns: Columns) -> Iterator[Diagonal]:
    """The gradient at an index is made of the upstream at that index alone, where other elements matter too."""
    (part, *more) = columns.parts
    if more or part.shape[1:] != evidence.analytical.shape:
        return
    flat = part.reshape(len(part), -1)
    alone = flat[np.arange(len(flat)), columns.own]
    rest = np.abs(flat.sum(axis=1) - alone) > 10 * columns.room
    if not _speaks(np.abs(alone - columns.claimed) <= columns.room, rest & (np.abs(alone) > columns.room)):
        return
    reached = int(np.median((np.abs(flat) > columns.room[:, None]).sum(axis=1)))
    message = (
        f"backward uses only the upstream at the same index, but {reached} elements of the upstream contribute to each "
        "gradient: it multiplies by the diagonal of the Jacobian only"
    )
    yield Diagonal(
        Finding("diagonal-only", message, {"explained": 1.0, "reached": reached}), lambda claim: claim.claimed
    )


def _speaks(met: NDArray[np.bool_], telling: NDArray[np.bool_]) -> bool:
    """Whether what was measured is met everywhere, and told from the truth at enough places."""
    return bool(met.all()) and int(telling.sum()) >= min(NEEDED, len(met)) and len(met) > 1


def _range_of(columns: Columns, k: int, axis: int, others: Floats, several: bool) -> Iterator[Mistaken]:
    """The gradient is made of some slices of the upstream along an axis, or of all but some."""
    part = columns.parts[k]
    size = part.shape[axis]
    if not 1 < size <= LONGEST:
        return
    away = tuple(each for each in range(1, part.ndim) if each != axis)
    slices = part.sum(axis=away)
    sums = np.concatenate([np.zeros((len(slices), 1)), np.cumsum(slices, axis=1)], axis=1)
    whole = sums[:, -1] + others
    low, high = np.triu_indices(size + 1, 1)
    inside = sums[:, high] - sums[:, low]
    for read, made in ((True, inside + others[:, None]), (False, whole[:, None] - inside)):
        met = (np.abs(made - columns.claimed[:, None]) <= columns.room[:, None]).all(axis=0)
        telling = (np.abs(made - whole[:, None]) > 10 * columns.room[:, None]) & (np.abs(made) > columns.room[:, None])
        enough = telling.sum(axis=0) >= min(NEEDED, len(slices))
        chosen = np.flatnonzero(met & enough & (high - low < size))
        if len(chosen) and len(slices) > 1:
            best = chosen[np.argmin((high - low)[chosen])]
            first, last = int(low[best]), int(high[best]) - 1
            yield _part(part.ndim - 1, Part(k, axis - 1, first, last, size, read), several)


@dataclass(frozen=True)
class Part:
    """Some slices of an upstream gradient along an axis: those that are read, or those that are not."""

    k: int
    axis: int
    first: int
    last: int
    size: int
    read: bool

    def kept(self, upstream: Upstream, low: int, high: int) -> Upstream | None:
        """Return the upstream as backward reads it, where its size is another one.

        Args:
            upstream: the gradients.
            low: 1 where the first slice is counted from the end, 0 where from the start.
            high: the same of the last one.

        """
        longer = upstream[self.k].shape[self.axis] - self.size
        at = np.arange(self.size + longer)
        inside = (at >= self.first + low * longer) & (at <= self.last + high * longer)
        spread = [1] * upstream[self.k].ndim
        spread[self.axis] = len(at)
        made = upstream[self.k] * (inside == self.read).reshape(spread)
        return (*upstream[: self.k], made, *upstream[self.k + 1 :])


def _part(ndim: int, part: Part, several: bool) -> Mistaken:
    k, axis, first, last, read = part.k, part.axis, part.first, part.last, part.read
    name = f"upstream[{k}]" if several else "upstream"
    rows = f"{first}" if first == last else f"{first}:{last + 1}"
    place = ", ".join(rows if each == axis else ":" for each in range(ndim))
    said = f"reads only {name}[{place}]" if read else f"never reads {name}[{place}]"
    where = "elsewhere" if read else "there"
    message = f"backward {said}: its gradient is right if the upstream is zero {where}"
    numbers = {"explained": 1.0, "axis": axis, "first": first, "last": last, "read": read}
    ways = tuple(partial(part.kept, low=low, high=high) for low, high in ((0, 0), (1, 1), (0, 1)))
    return Mistaken(Finding("upstream-part", message, numbers), lambda claim: claim.claimed, ways)


def _one_for_all(
    evidence: Evidence, columns: Columns, k: int, axis: int, others: Floats, several: bool
) -> Iterator[Mistaken]:
    """The gradient is made of one slice of the upstream, in the place of all along an axis."""
    upstream, slopes = evidence.upstream[k], columns.slopes[k]
    size = upstream.shape[axis - 1]
    if not 1 < size <= LONGEST:
        return
    whole = _sum(columns.parts[k]) + others
    for one in _slices(upstream, axis - 1):
        made = _sum(slopes * one.values) + others
        met = np.abs(made - columns.claimed) <= columns.room
        if _speaks(met, (np.abs(made - whole) > 10 * columns.room) & (np.abs(made) > columns.room)):
            name = f"upstream[{k}]" if several else "upstream"
            place = ", ".join(str(one.place) if each == axis - 1 else ":" for each in range(upstream.ndim))
            message = f"backward uses {name}[{place}] for every slice along axis {axis - 1}"
            numbers = {"explained": 1.0, "axis": axis - 1, "slice": one.place}
            ways = tuple(partial(_spread, k, axis - 1, one.place, size, end) for end in (0, 1))
            yield Mistaken(Finding("upstream-part", message, numbers), lambda claim: claim.claimed, ways)


def _spread(k: int, axis: int, place: int, size: int, end: int, upstream: Upstream) -> Upstream | None:
    """Return the upstream with one slice, counted from the start or from the end, in the place of all."""
    place = place + end * (upstream[k].shape[axis] - size)
    if not 0 <= place < upstream[k].shape[axis]:
        return None
    made = np.broadcast_to(np.take(upstream[k], [place], axis=axis), upstream[k].shape)
    return (*upstream[:k], made, *upstream[k + 1 :])


@dataclass(frozen=True)
class _Slice:
    place: int
    values: Array


def _slices(upstream: Array, axis: int) -> Iterator[_Slice]:
    for place in range(upstream.shape[axis]):
        yield _Slice(place, np.take(upstream, [place], axis=axis))
