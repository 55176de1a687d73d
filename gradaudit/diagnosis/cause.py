"""A likely cause, and the other points of the same op at which it must hold before it is named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from gradaudit.diagnosis.evidence import Array, Claim, Mask
from gradaudit.results import Finding

Rule = Callable[[Claim], Array | None]
"""From what backward claims to what the gradient truly is at the places of the claim: NaN where that is not said, None
where it cannot be said of such a claim."""


class NothingToldError(Exception):
    """A point says neither that a cause holds nor that it does not."""


class SpentError(Exception):
    """No calls of forward are left to ask with."""


class Slope(Protocol):
    """How the outputs change along a random displacement of some of the places."""

    def near(self, gradient: Array, upstream: tuple[Array, ...] | None = None) -> bool:
        """Return whether a gradient, given at all places, is that of the outputs along the displacement.

        Args:
            gradient: at the places; only those that are displaced matter.
            upstream: other upstream gradients than the claim's.

        Raises:
            NothingToldError: where forward leaves it open.

        """
        ...

    def off(self, gradient: Array, upstream: tuple[Array, ...] | None = None) -> bool:
        """Return whether it surely is not: what is not near is looked at closer.

        Raises:
            NothingToldError: where forward leaves it open.

        """
        ...

    def factor(self, gradient: Array) -> tuple[complex, float]:
        """Return the number that a gradient must be multiplied with, and what it may be off by.

        Raises:
            NothingToldError: where forward leaves it open.

        """
        ...


class Elsewhere(Protocol):
    """Another point of the same op: other inputs and upstream, perhaps of other shapes."""

    @property
    def claim(self) -> Claim:
        """What backward claims there."""
        ...

    @property
    def same_shape(self) -> bool:
        """Whether its arrays have the shapes of those where the mismatch was seen."""
        ...

    def slope(self, mask: Mask) -> Slope:
        """Return how the outputs change along a displacement of the places in a mask.

        Raises:
            NothingToldError: where forward cannot be called there.
            SpentError: where no calls are left.

        """
        ...


@dataclass(frozen=True)
class Cause:
    """What may be the matter.

    Attributes:
        finding: what would be said of it; its evidence holds ``explained``.
        rule: what it says of any claim; None where it speaks of one point alone, as a list of indices does.

    """

    finding: Finding
    rule: Rule | None = None

    @property
    def explained(self) -> float:
        """Share of the wrong indices that it explains."""
        return float(self.finding.evidence["explained"])

    @property
    def seen_once(self) -> Cause:
        """The cause, saying that it was held against no other point."""
        message = f"{self.finding.message}; seen at this point only: no other draw or shape could test it"
        finding = replace(self.finding, message=message, evidence={**self.finding.evidence, "elsewhere": 0})
        return replace(self, finding=finding)

    def held(self, there: Elsewhere) -> Cause | None:
        """Return the cause, or what is left of it, where it holds at another point too; None where it does not.

        Raises:
            NothingToldError: where the point says nothing of it.
            SpentError: where no calls are left.

        """
        predicted = self.rule(there.claim) if self.rule else None
        if predicted is None:
            raise NothingToldError
        if self.explained < 1.0:
            return self if met_at_most(there, predicted) else None
        return None if there.slope(known(predicted)).off(predicted) else self


def known(predicted: Array) -> Mask:
    """Return where a prediction says anything.

    Raises:
        NothingToldError: where it says nothing anywhere.

    """
    mask = np.asarray(np.isfinite(predicted), bool)
    if not mask.any():
        raise NothingToldError
    return mask


SINGLE = 3
"""Places that are looked at one by one where a cause is known not to hold everywhere."""


def met_at_most(there: Elsewhere, predicted: Array) -> bool:
    """Whether a prediction is met at most of a few places, those with the largest gradients."""
    size = np.where(known(predicted), np.abs(predicted), -np.inf)
    chosen = [place for place in np.argsort(-size, kind="stable")[:SINGLE] if np.isfinite(size[place])]
    met = [not there.slope(np.arange(len(size)) == place).off(predicted) for place in chosen]
    return sum(met) > len(met) / 2


def confirmed(cause: Cause, points: Iterable[Elsewhere] | None) -> Cause | None:
    """Return what is left of a cause after other points were asked; None where one of them speaks against it.

    Where none of them tells anything, the cause says so.

    Args:
        cause: what may be the matter.
        points: the points; None where nobody is to be asked.

    Raises:
        SpentError: where no calls are left before any point could be asked.

    """
    if cause.rule is None or points is None:
        return cause
    told = 0
    try:
        for there in points:
            with suppress(NothingToldError):
                held = cause.held(there)
                if held is None:
                    return None
                cause = held
                told += 1
    except SpentError:
        if not told:
            raise
    return cause if told else cause.seen_once


def best_first(causes: Iterator[Cause]) -> Iterator[Cause]:
    """Yield causes that explain all as they come, then the others, those first that explain most."""
    partial = []
    for cause in causes:
        if cause.explained == 1.0:
            yield cause
        else:
            partial.append(cause)
    yield from sorted(partial, key=lambda each: -each.explained)
