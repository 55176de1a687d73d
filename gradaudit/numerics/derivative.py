"""Derivatives by differences, each with a bound on its error: of many elements at once, or of one.

A difference over a step ``h`` is off by its truncation error, which for a central one falls as ``h^2``, and by the
rounding of forward, which grows as ``1/h``. Both are estimated from differences at several steps, and the estimate
returned is the one with the least bound among those that the finer ones do not contradict.

All arithmetic is on arrays over the elements, a row each; what one of them has no use for is NaN there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.margins import MAX_ATTEMPTS, QUARTER, SMALL_SAMPLE

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Rows = NDArray[np.intp]

PLACES = tuple(1 - 2**k for k in range(6))
"""Doublings of the step that are tried in search of one at which forward is finite: ever more halvings, down to 31."""

MAX_DOUBLINGS = SMALL_SAMPLE
"""Doublings by which the step moves at once towards its best."""

FINEST = PLACES[-1] - 2 * MAX_DOUBLINGS * SMALL_SAMPLE
"""Doublings at which the finest step lies that is ever asked for."""

WIDEST = MAX_DOUBLINGS * SMALL_SAMPLE + MAX_ATTEMPTS
"""The same for the widest."""

CONTRACTION = 8.0
"""Truncation counts twice where it is one part in this of the slopes.

The step is then hardly below the function's scale, and what it does not show may be more than what it does. Of 20,000
random functions in bfloat16 this leaves 8 outside their bounds; 4 leaves 30, and 12 leaves 4 but doubles the widest
tenth of the bounds.
"""


class Difference(NamedTuple):
    """The slopes over one step up and one step down, NaN where forward is not finite there; numbers or arrays.

    ``rounding`` is what their mean may be off by; each by itself may be off by twice that.
    """

    up: Any
    down: Any
    rounding: Any

    @property
    def central(self) -> Any:
        """The central difference."""
        return 0.5 * (self.up + self.down)

    @property
    def bend(self) -> Any:
        """Half of what the slopes differ by: it falls with the step where the function is smooth."""
        return 0.5 * (self.up - self.down)


class Estimate(NamedTuple):
    """A derivative and what it may be off by: the truth is expected within ``value +- bound``; numbers or arrays.

    ``bound`` is infinite, and ``value`` NaN, where nothing is known. ``step`` is the finest that it was made with.
    """

    value: Any
    truncation: Any
    rounding: Any
    step: Any = np.nan

    @property
    def bound(self) -> Any:
        """Truncation and rounding together."""
        return self.truncation + self.rounding

    def at(self, rows: Any) -> Estimate:
        """Return the estimates of some rows."""
        return Estimate(*(part[rows] for part in self))

    def where(self, known: Mask) -> Estimate:
        """Return these where they are known, and nowhere else."""
        return Estimate(*(np.where(known, part, nothing) for part, nothing in zip(self, UNKNOWN, strict=True)))


UNKNOWN = Estimate(np.nan, np.inf, np.inf)

Sampler = Callable[[float], Difference | None]
"""The difference of one element at a step; None where there is no telling, as at one below the spacing of numbers."""

Samplers = Callable[[Rows, Floats], Difference]
"""The differences of some rows, each at the steps in its row; NaN for None."""

Settled = Callable[[Estimate], Mask]
"""Whether the estimate of each row is good enough for the question asked."""


class Entry(NamedTuple):
    """Values of Neville's tableau, one a row.

    ``curvature`` is the bend over the step, which approximates the second derivative as ``value`` does the first.
    ``slope`` is the largest of the slopes, ``step`` the finest.
    """

    value: Floats
    curvature: Any
    rounding: Floats
    slope: Floats
    step: Floats


class View(NamedTuple):
    """A way to look at differences.

    ``entry`` is what one at a step becomes, ``base`` how fast its error falls as the step is halved, ``trust`` what a
    first extrapolation may be off by, in units of what it corrects its finer parent by, and ``places`` where to begin.
    """

    entry: Callable[[Difference, Floats], Entry]
    base: float
    trust: float
    places: tuple[int, ...]


def _central(made: Difference, step: Floats) -> Entry:
    return Entry(made.central, made.bend / step, made.rounding, np.maximum(abs(made.up), abs(made.down)), step)


def _upward(made: Difference, step: Floats) -> Entry:
    return Entry(made.up, 0.0, 2.0 * made.rounding, abs(made.up), step)


def _downward(made: Difference, step: Floats) -> Entry:
    return Entry(made.down, 0.0, 2.0 * made.rounding, abs(made.down), step)


VIEWS = (
    View(_central, 4.0, 1.0, PLACES),
    View(_upward, 2.0, 2.0, PLACES[::-1]),
    View(_downward, 2.0, 2.0, PLACES[::-1]),
)
"""Central differences, whose errors go with even powers of the step; and one-sided ones for the edge of a domain.

Those have errors in all powers, and begin with the finest step: the edge is near.
"""


class Differences:
    """Differences of rows, each at its step and at doublings and halvings of that, each taken once.

    Args:
        sample: takes them.
        steps: powers of two: the displacement of each row to start with.

    """

    def __init__(self, sample: Samplers, steps: Floats) -> None:
        self._sample = sample
        self.steps = steps
        self._rows = np.arange(len(steps))
        self._taken = np.full((3, len(steps), WIDEST - FINEST), np.nan)
        self._known = np.zeros((len(steps), WIDEST - FINEST), bool)

    def take_pairs(self, wanted: Mask) -> None:
        """Take the differences at the steps and at twice the steps, those of one row after the other."""
        (rows,), pair = wanted.nonzero(), slice(-FINEST, 2 - FINEST)
        self._taken[:, rows, pair] = self._sample(rows, self.steps[rows, None] * (1.0, 2.0))
        self._known[rows, pair] = True

    def at(self, places: Any, wanted: Mask) -> Difference:
        """Return the differences at so many doublings of each wanted row's step; NaN where nothing is known."""
        columns = places - FINEST
        (rows,) = (wanted & ~self._known[self._rows, columns]).nonzero()
        if len(rows):
            there = np.broadcast_to(columns, self._rows.shape)[rows]
            made = self._sample(rows, np.ldexp(self.steps[rows], there + FINEST)[:, None])
            self._taken[:, rows, there] = np.array(made)[:, :, 0]
            self._known[rows, there] = True
        return Difference(*self._taken[:, self._rows, columns])

    def run(self, places: Any, length: int, view: View, wanted: Mask) -> tuple[list[Entry], Mask]:
        """Return entries at ``length`` doublings from ``places`` on, and for which rows forward is finite at all."""
        entries = []
        for k in range(length):
            entry = view.entry(self.at(places + k, wanted), np.ldexp(self.steps, places + k))
            wanted = wanted & np.isfinite(entry.value)
            entries.append(entry)
        return entries, wanted


def estimate_derivatives(differences: Differences, settled: Settled, wanted: Mask) -> Estimate:
    """Estimate derivatives from differences at steps around those given, until ``settled`` or out of ideas.

    The first attempt takes two differences. Where it does not settle the question, the step moves to where the
    measured truncation and rounding balance; then more stages of extrapolation let the step grow, and rounding fall,
    without the truncation error of one difference. Where forward is finite on one side only, one-sided differences
    take the place of central ones, with the same extrapolation.

    Args:
        differences: those to choose from.
        settled: stops the effort for the rows for which it holds.
        wanted: the rows to estimate.

    Returns:
        For each row the estimate with the least bound among those made and not contradicted.

    """
    effort = _Effort(differences, settled, wanted)
    for view in VIEWS:
        for place in view.places:
            if not wanted.any():
                return effort.best
            entries, begun = differences.run(place, 2, view, wanted)
            effort.begin(view, place, entries, begun)
            wanted = wanted & ~begun
    return effort.best


def estimate_at_steps(differences: Differences) -> Estimate:
    """Estimate derivatives from differences at the steps and at twice the steps.

    The steps are taken to suit the function, but not where forward is finite on one side only: the edge is near then.
    """
    best, wanted = UNKNOWN, np.ones(len(differences.steps), bool)
    for view in VIEWS:
        entries, made = differences.run(0, 2, view, wanted)
        (estimate,) = extrapolate(entries, view, contraction=0.0 if view is VIEWS[0] else CONTRACTION)
        best = Estimate(*(np.where(made, new, old) for new, old in zip(estimate, best, strict=True)))
        wanted = wanted & ~made
    return best


class _Effort:
    """Ever better estimates of rows.

    Attributes:
        best: the most credible ones so far.

    """

    def __init__(self, differences: Differences, settled: Settled, wanted: Mask) -> None:
        self._differences = differences
        self._settled = settled
        self._made: list[Estimate] = []
        self._left = wanted
        self.best = UNKNOWN.where(wanted)

    def _add(self, *estimates: Estimate, rows: Mask) -> None:
        """Take estimates of some rows into account; those that they settle are left alone afterwards."""
        self._made += [estimate.where(rows) for estimate in estimates]
        self.best = _most_credible(self._made)[0]
        self._left = self._left & ~(rows & self._settled(self.best))

    def begin(self, view: View, place: int, entries: list[Entry], rows: Mask) -> None:
        """Estimate some rows from a pair of entries on, as long as wider steps do not lose sight of the function."""
        pairs: list[Estimate] = []
        places: list[Any] = []
        at, going = np.full(rows.shape, place), rows
        for _ in range(SMALL_SAMPLE):
            if not going.any():
                break
            if pairs:
                entries, going = self._differences.run(at, 2, view, going)
            estimate = extrapolate(entries, view)[-1]
            going = going & ~_out_of_sight(estimate, pairs)
            self._add(estimate, rows=going)
            pairs.append(estimate.where(going))
            places.append(at)
            going = going & self._left
            move = np.where(going, _balancing_moves(estimate), 0)
            going = going & (abs(move) > 1)
            at = at + np.where(going, move, 0)
        going = rows & self._left
        if not going.any():
            return
        start = np.array(places)[_most_credible(pairs)[1], np.arange(len(rows))]
        for length in range(3, MAX_ATTEMPTS + 1):
            entries, going = self._differences.run(start, length, view, going)
            widest, *longer = extrapolate(entries, view)
            going = going & ~_out_of_sight(widest, pairs)
            if not going.any():
                return
            self._add(widest, *longer, rows=going)
            pairs.append(widest.where(going))
            going = going & self._left


def _out_of_sight(wider: Estimate, pairs: Iterable[Estimate]) -> Mask:
    """Whether truncation, once seen, has not grown with the step: then the step is beyond the function's scale."""
    lost = np.zeros(wider.value.shape, bool)
    for made in pairs:
        seen = (made.step < wider.step) & (made.truncation > made.rounding)
        lost |= seen & (wider.truncation < made.truncation)
    return lost


def _most_credible(made: list[Estimate]) -> tuple[Estimate, Rows]:
    """Return the least bound among estimates that agree with all finer ones: too wide a step can look converged.

    With it, which of them it is for each row.
    """
    if len(made) == 1:
        return made[0], np.zeros(made[0].value.shape, np.intp)
    parts = np.array(made)
    order = np.argsort(parts[:, 3], axis=0, kind="stable")
    value, bound = np.take_along_axis(np.stack([parts[:, 0], parts[:, 1] + parts[:, 2]]), order[None], axis=1)
    kept, ranked = np.zeros(value.shape, bool), np.full(value.shape, np.inf)
    for k, (here, off) in enumerate(zip(value, bound, strict=True)):
        # What is not known contradicts nothing.
        agrees = (abs(here - value[:k]) <= off + bound[:k]) | ~kept[:k] | np.isinf(bound[:k])
        kept[k] = agrees.all(axis=0)
        ranked[k] = np.where(kept[k], off, np.inf)
    chosen = np.take_along_axis(order, np.nan_to_num(ranked, nan=np.inf).argmin(axis=0)[None], axis=0)[0]
    return Estimate(*parts[chosen, :, np.arange(len(chosen))].T), chosen


def _balancing_moves(estimate: Estimate) -> NDArray[np.intp]:
    """Return how many doublings away truncation, which goes with h^2, and rounding, with 1/h, would balance."""
    truncation, rounding = estimate.truncation, estimate.rounding
    doublings = np.rint((np.log2(rounding) - 1 - np.log2(truncation)) / 3)  # their ratio overflows
    doublings = np.clip(doublings, -2 * MAX_DOUBLINGS, MAX_DOUBLINGS)
    doublings = np.where((rounding == 0.0) | np.isinf(truncation), -MAX_DOUBLINGS, doublings)
    unknown = ~np.isfinite(rounding) | np.isnan(truncation) | ((rounding == 0.0) & (truncation == 0.0))
    return np.where(unknown, 0, doublings).astype(np.intp)


def extrapolate(entries: list[Entry], view: View, contraction: float = CONTRACTION) -> list[Estimate]:
    """Return what the last of some differences adds to the others, each at twice the step of the one before.

    Richardson's extrapolation cancels one power of the step a stage: with two central differences the value is
    ``(4 D_h - D_2h) / 3``, off by less than its finer parent, which is off by a third of what they differ by. Values of
    later stages are taken to be off by no more than the worse of their parents. Source: Ridders, Accurate computation
    of F'(x) and F'(x)F''(x), Advances in Engineering Software 4 (1982).

    Args:
        entries: finest first.
        view: how they were made.
        contraction: how strongly truncation counts that is a large part of the slopes.

    Returns:
        Estimates from the last two differences, the last three, and so on to all.

    """
    column = entries
    made = []
    factor, trust = 1.0, view.trust
    for coarsest, finest in pairwise(reversed(entries)):
        factor *= view.base
        estimate = _estimate(column[-2], column[-1], factor, trust, contraction)
        if contraction > 0.0:
            lost = _out_of_range(finest, coarsest)
            estimate = estimate._replace(truncation=np.where(lost, np.inf, estimate.truncation))
        made.append(estimate)
        column = [_combined(fine, coarse, factor) for fine, coarse in pairwise(column)]
        trust = factor * view.base
    return made


def _out_of_range(fine: Entry, coarse: Entry) -> Mask:
    """Whether two differences have so little in common that they say nothing of what finer ones would be."""
    apart = abs(fine.value - coarse.value)
    # The slopes of a step that has been passed halve as the step doubles, whatever its steepness was.
    most = np.maximum(np.maximum(fine.slope, coarse.slope), fine.rounding + coarse.rounding)
    return np.asarray(apart > QUARTER * most)


def _estimate(fine: Entry, coarse: Entry, factor: float, trust: float, contraction: float) -> Estimate:
    new = _combined(fine, coarse, factor)
    # A kink's curvature is halved as the step doubles: this reaches both one-sided derivatives, which the mean hides.
    bent = 2.0 * fine.step * abs(fine.curvature - coarse.curvature)
    truncation = trust * abs(new.value - fine.value) + bent
    grown = truncation * (1.0 + (contraction * truncation / new.slope) ** 2)
    made = Estimate(new.value, np.where(truncation > 0.0, grown, truncation), new.rounding, new.step)
    beyond = ~np.isfinite(new.value)  # the largest number
    return made.where(~beyond)._replace(step=new.step) if beyond.any() else made


def _combined(fine: Entry, coarse: Entry, factor: float) -> Entry:
    return Entry(
        (factor * fine.value - coarse.value) / (factor - 1.0),
        (factor * fine.curvature - coarse.curvature) / (factor - 1.0),
        (factor * fine.rounding + coarse.rounding) / (factor - 1.0),
        np.maximum(fine.slope, coarse.slope),
        fine.step,
    )
