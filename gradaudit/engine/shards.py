"""Shares of a run, for as many machines: each audits its own, and none has to ask another."""

from __future__ import annotations

import heapq
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from gradaudit.spec.case import Case


class NoShardError(ValueError):
    """A text names no shard."""


@dataclass(frozen=True)
class Shard:
    """One of so many shares, counted from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def parse_shard(text: str) -> Shard:
    """Return the shard that a text such as ``3/16`` names.

    Raises:
        NoShardError: where it names none.

    """
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip(), re.ASCII)
    if found is None:
        raise NoShardError(f"--shard: found '{text}', expected a number and how many there are, as in 3/16")
    number, of = int(found[1]), int(found[2])
    if not 1 <= number <= of:
        raise NoShardError(f"--shard: found '{text}', expected a number from 1 to {of}")
    return Shard(number, of)


def shares(costs: Sequence[float], of: int) -> list[int]:
    """Return which of so many shares each of several costs falls to, so that their sums are near each other.

    The largest first, each to the share that has least: the largest sum is at most 4/3 of the least that is possible
    (R. L. Graham, Bounds on multiprocessing timing anomalies, 1969). Equal costs are told apart by their position, so
    the answer depends on nothing else.
    """
    loads = [(0.0, share) for share in range(of)]
    chosen = [0] * len(costs)
    for position in sorted(range(len(costs)), key=lambda k: (-costs[k], k)):
        load, chosen[position] = heapq.heappop(loads)
        heapq.heappush(loads, (load + costs[position], chosen[position]))
    return chosen


def costs_of(cases: Sequence[Case], seconds: Mapping[tuple[str, str, str], float]) -> list[float]:
    """Return what each case costs: the seconds that it took when it was last audited, else by its elements.

    Args:
        cases: the cases.
        seconds: what they took, by op, case and dtype.

    """
    recorded = [seconds.get((case.op, case.name, case.dtype)) for case in cases]
    elements = [sum(prod(made.shape) for made in case.inputs) + ELEMENTS_OF_A_CASE for case in cases]
    known = [(took, size) for took, size in zip(recorded, elements, strict=True) if took is not None]
    rate = sum(took for took, _ in known) / sum(size for _, size in known) if known else 1.0
    return [rate * size if took is None else took for took, size in zip(recorded, elements, strict=True)]


ELEMENTS_OF_A_CASE = 100
"""Elements whose audit takes as long as everything that is done once for a case."""
