"""A vector as a product of known ones: found by its logarithms, so that four factors cost little more than one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradaudit.repair.scope import Atom

Floats = NDArray[np.float64]

CLOSE = 1e-5
"""Difference of logarithms up to which a product is the one that is looked for; it is judged exactly afterwards."""

MOST_SINGLES = 90
"""Vectors of whose products pairs are made, and pairs of pairs."""

LEAST = 3
"""Numbers that a vector needs at least: fewer are met by chance."""

MOST_FOUND = 12
"""Products that are yielded at most."""

Sides = tuple[tuple[int, ...], tuple[int, ...]]
"""Factors above and below the line, by their rows."""


@dataclass(frozen=True)
class Product:
    """Factors above and below the line, and the number that is left."""

    above: tuple[Atom, ...]
    below: tuple[Atom, ...]
    coefficient: float

    @property
    def text(self) -> str:
        """The product as one writes it, without its coefficient."""
        above = " * ".join(_factor(atom.text) for atom in self.above) or "1"
        return above + "".join(f" / {_divisor(atom.text)}" for atom in self.below)

    @property
    def cost(self) -> int:
        """How far-fetched it is."""
        return sum(2 + atom.rank for atom in (*self.above, *self.below)) + len(self.below)


def _factor(text: str) -> str:
    return f"({text})" if (" + " in text and not text.startswith("(")) or text.startswith("-") else text


def _divisor(text: str) -> str:
    return text if text.isidentifier() or (text.startswith("(") and text.endswith(")")) else f"({text})"


def products(target: Floats, atoms: Sequence[Atom], values: Floats) -> Iterator[Product]:
    """Yield the products that a vector is, up to a constant, those of fewest factors first.

    Args:
        target: the vector.
        atoms: what may be a factor.
        values: the vectors that the atoms are, one a row.

    """
    seen = np.abs(target) > 1e-9 * np.abs(target).max(initial=0.0)
    usable = [k for k in range(len(atoms)) if (np.abs(values[k][seen]) > 0).all()]
    if seen.sum() < LEAST or not usable:
        return
    logs = np.log(np.abs(values[usable][:, seen]))
    logs -= logs.mean(axis=1, keepdims=True)
    varied = np.abs(logs).max(axis=1) > 1e-6
    chosen = [k for k, varies in zip(usable, varied, strict=True) if varies][:MOST_SINGLES]
    logs = logs[varied][:MOST_SINGLES]
    goal = np.log(np.abs(target[seen]))
    goal = goal - goal.mean()
    found = 0
    for above, below in _combinations(goal, logs):
        product = np.ones(int(seen.sum()))
        for k in above:
            product = product * values[chosen[k]][seen]
        for k in below:
            product = product / values[chosen[k]][seen]
        ratio = target[seen] / product
        if np.ptp(ratio) <= 1e-4 * abs(ratio[0]) and not _vanishes_elsewhere(target, values, chosen, above, seen):
            yield Product(
                tuple(atoms[chosen[k]] for k in above), tuple(atoms[chosen[k]] for k in below), float(ratio.mean())
            )
            found += 1
            if found == MOST_FOUND:
                return


def _vanishes_elsewhere(
    target: Floats, values: Floats, chosen: list[int], above: tuple[int, ...], seen: NDArray[np.bool_]
) -> bool:
    """Whether a product is there where the target is zero."""
    if seen.all():
        return False
    rest = np.ones(int((~seen).sum()))
    for k in above:
        rest = rest * values[chosen[k]][~seen]
    return bool((np.abs(rest) > 1e-6 * np.abs(target).max()).any())


def _combinations(goal: Floats, logs: Floats) -> Iterator[Sides]:
    """Yield the factors above and below whose logarithms add up to the goal: none, one, two, three, four of them.

    Fewer factors come first, and where two or three suffice no four are looked for.
    """
    count = len(logs)
    if np.abs(goal).max() <= CLOSE:
        yield (), ()
        return
    signed = np.concatenate([logs, -logs])
    alone = [_sides((int(k),), count) for k in np.flatnonzero(np.abs(signed - goal).max(axis=1) <= CLOSE)]
    if alone:
        yield from alone
        return
    given: set[Sides] = set()
    for keys in _met(goal, signed):
        sides = _sides(tuple(sorted(keys)), count)
        if len(keys) == 4 and any(len(above) + len(below) < 4 for above, below in given):
            return
        if sides not in given and np.abs(signed[list(keys)].sum(axis=0) - goal).max() <= CLOSE:
            given.add(sides)
            yield sides


def _met(goal: Floats, signed: Floats) -> Iterator[tuple[int, ...]]:
    """Yield two, three and four rows that may add up to the goal: those whose projections on a line do."""
    weights = np.random.default_rng(0).standard_normal(len(goal))
    lines, aim = signed @ weights, float(goal @ weights)
    room = CLOSE * float(np.abs(weights).sum())
    first, second = np.triu_indices(len(signed))
    keep = np.abs(first - second) != len(signed) // 2  # else a factor and its inverse
    first, second = first[keep], second[keep]
    order = np.argsort(lines[first] + lines[second])
    first, second = first[order], second[order]
    pairs = lines[first] + lines[second]
    for lone in ((), *((k,) for k in range(len(signed)))):
        rest = aim - float(lines[list(lone)].sum())
        for place in range(*np.searchsorted(pairs, [rest - room, rest + room])):
            yield (int(first[place]), int(second[place]), *lone)
    starts, ends = np.searchsorted(pairs, aim - pairs - room), np.searchsorted(pairs, aim - pairs + room)
    for place in np.flatnonzero(ends > starts)[:MOST_MEETINGS]:
        for other in range(max(place, starts[place]), min(ends[place], starts[place] + 20)):
            yield int(first[place]), int(second[place]), int(first[other]), int(second[other])


MOST_MEETINGS = 20_000
"""Pairs that may make four factors with another pair, of those that are tried."""


def _sides(keys: tuple[int, ...], count: int) -> Sides:
    return tuple(k for k in keys if k < count), tuple(k - count for k in keys if k >= count)
