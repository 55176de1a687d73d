"""Axes permuted or flipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, combinations, permutations

import numpy as np

from gradaudit.diagnosis.cause import Cause
from gradaudit.diagnosis.evidence import Array, Claim, Evidence
from gradaudit.diagnosis.score import EXPLAINS, explained, extent, promising
from gradaudit.results import Finding

MOST_AXES = 4
"""Up to so many axes every permutation is tried with every choice of flips; beyond, one at a time."""


@dataclass(frozen=True)
class Rearrangement:
    """The analytical gradient read in another order, as an array of its own shape."""

    array: Array
    text: str
    permutation: tuple[int, ...]
    flipped: tuple[int, ...]


def transposed(evidence: Evidence) -> Iterator[Cause]:
    """Numerical = analytical with its axes in another order, some of them backwards."""
    probes = tuple(evidence.places[evidence.probes].T)
    for tried, made in enumerate(_rearrangements(evidence.analytical), start=1):
        if not promising(evidence, made.array[probes]):
            continue
        share = explained(evidence, evidence.at_places(made.array), alternatives=tried)
        if share >= EXPLAINS:
            numbers = {"explained": share, "permutation": list(made.permutation), "flipped": list(made.flipped)}
            message = f"numerical = analytical with {made.text}, {extent(evidence, share)}"
            yield Cause(Finding("transposed", message, numbers), partial(_rearranged, made))


def _rearranged(as_in: Rearrangement, claim: Claim) -> Array | None:
    """Return another claim's gradient rearranged in the same way, its axes exchanged or its elements reread."""
    turned, _ = _permuted(claim.analytical, as_in.permutation)
    return None if turned is None else claim.at_places(np.flip(turned, as_in.flipped))


def _rearrangements(array: Array) -> Iterator[Rearrangement]:
    """Yield the array in other orders, the simplest first; where sizes differ, its elements reread in memory order."""
    axes = tuple(range(array.ndim))
    long = [k for k in axes if array.shape[k] > 1]
    everything = chain.from_iterable(combinations(long, count) for count in range(len(long) + 1))
    flips = list(everything) if array.ndim <= MOST_AXES else [(), *((k,) for k in long)]
    for order in _orders(array.ndim):
        turned, text = _permuted(array, order)
        for flipped in flips if turned is not None else ():
            parts = ([text] if text else []) + ([_flip_text(flipped)] if flipped else [])
            if parts and turned is not None:
                yield Rearrangement(np.flip(turned, flipped), " and ".join(parts), order, flipped)


def _orders(count: int) -> list[tuple[int, ...]]:
    """Return the permutations of so many axes, the one that changes nothing first."""
    if count <= MOST_AXES:
        return sorted(permutations(range(count)), key=lambda order: sum(a != b for a, b in enumerate(order)))
    swaps = [tuple({i: j, j: i}.get(k, k) for k in range(count)) for i, j in combinations(range(count), 2)]
    return [tuple(range(count)), *swaps]


def _permuted(array: Array, order: tuple[int, ...]) -> tuple[Array | None, str]:
    if order == tuple(range(array.ndim)):
        return array, ""
    moved = [k for k in range(array.ndim) if order[k] != k]
    if all(array.shape[k] == 1 for k in moved):
        return None, ""
    turned = array.transpose(order)
    axes = ", ".join(map(str, moved))
    if turned.shape == array.shape:
        return turned, f"axes {axes} {'exchanged' if len(moved) == 2 else f'in the order {order}'}"
    # backward transposed and then reshaped to make the shape right: undo both
    reread = array.reshape(turned.shape).transpose(np.argsort(order))
    return reread, f"its elements read as shape {turned.shape} and axes {axes} moved back"


def _flip_text(flipped: tuple[int, ...]) -> str:
    return f"{'axis' if len(flipped) == 1 else 'axes'} {', '.join(map(str, flipped))} reversed"
