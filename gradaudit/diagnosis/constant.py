"""One constant factor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gradaudit.diagnosis.cause import Cause, Elsewhere, NothingToldError, known
from gradaudit.diagnosis.constants import Constant, in_words, known_constants, names_of
from gradaudit.diagnosis.evidence import Array, Claim, Evidence, Mask
from gradaudit.diagnosis.fit import Fit, fit_coefficient
from gradaudit.diagnosis.score import EXPLAINS, explained, extent
from gradaudit.results import Finding

WELL_KNOWN = 0.02
"""Relative uncertainty up to which a number can be given a name: beyond, too many names fit."""


@dataclass(frozen=True)
class Factor(Cause):
    """A number that the whole gradient has to be multiplied with.

    Attributes:
        value: the number.
        uncertainty: what it may be off by.
        names: what it is, as far as is known by now.
        where: at which indices.
        sized: whether another shape has been asked.
        varies: whether it is another number there, which no name says.

    """

    value: complex = 1.0
    uncertainty: float = 0.0
    names: tuple[Constant, ...] = ()
    where: str = ""
    sized: bool = False
    varies: bool = False

    def held(self, there: Elsewhere) -> Cause | None:
        """Return the cause with the names that give the number there as well."""
        if self.explained < 1.0:
            return super().held(there)
        mask = known(there.claim.claimed)
        number, off = there.slope(mask).factor(there.claim.claimed)
        names = tuple(made for made in self.names if abs(made.at(there.claim) - number) <= off)
        sized = self.sized or not there.same_shape
        if names:
            return replace(self, names=names, sized=sized).said()
        if abs(self.value - number) <= off + self.uncertainty:
            return replace(self, names=(), sized=sized).said()
        if there.same_shape or not _is_one_number(there, mask):
            return None
        return replace(self, names=(), sized=sized, varies=True).said()

    def said(self) -> Factor:
        """Return the cause with a finding that says what is known by now."""
        value = in_digits(self.value)
        message = f"numerical = {value} x analytical {self.where}"
        names = in_words(self.names, once=self.sized)
        message += f"; {value} is {names}" if names else ""
        message += "; the factor changes with the sizes" if self.varies else ""
        numbers = {
            "explained": self.explained,
            "factor": self.value,
            "uncertainty": self.uncertainty,
            "names": list(dict.fromkeys(made.name for made in self.names)),
        }
        return replace(self, finding=replace(self.finding, message=message, evidence=numbers))


def _is_one_number(there: Elsewhere, mask: Mask) -> bool:
    """Whether two parts of a gradient have to be multiplied with the same number."""
    chosen = np.flatnonzero(mask & (there.claim.claimed != 0))
    if len(chosen) < 2:
        raise NothingToldError
    parts = [np.isin(np.arange(len(mask)), chosen[start::2]) for start in (0, 1)]
    (one, off), (other, either) = (there.slope(part).factor(there.claim.claimed) for part in parts)
    return abs(one - other) <= off + either


def constant_factor(evidence: Evidence) -> Iterator[Factor]:
    """Numerical = c x analytical, with the constants that c is."""
    fit = fit_coefficient(evidence.claimed, evidence.numerical, evidence.slack)
    if fit is None or abs(fit.value) <= fit.uncertainty:
        return  # the true gradient is zero: no factor leads there
    constants = known_constants(evidence)
    names = names_of(fit.value, fit.uncertainty, constants) if fit.uncertainty <= WELL_KNOWN * abs(fit.value) else []
    share = _named_share(evidence, names, constants) or explained(
        evidence, fit.value * evidence.claimed, by_construction=fit.mask(len(evidence.numerical))
    )
    if share >= EXPLAINS:
        yield _factor(evidence, fit, names, share)


def _factor(evidence: Evidence, fit: Fit, names: list[Constant], share: float) -> Factor:
    value = names[0].value if names else fit.value

    def rule(claim: Claim) -> Array:
        return np.asarray(value * claim.claimed)

    finding = Finding("constant-factor", "", {"explained": share})
    where = extent(evidence, share)
    return Factor(finding, rule, value, 0.0 if names else fit.uncertainty, tuple(names), where).said()


def _named_share(evidence: Evidence, names: list[Constant], constants: list[Constant]) -> float:
    """Return what the first name explains; nothing was fitted then, but chosen among many."""
    if not names:
        return 0.0
    rank = min(made.rank for made in names)
    alternatives = 2 * len({made.value for made in constants if made.rank <= rank})  # each with either sign
    return explained(evidence, names[0].value * evidence.claimed, alternatives=alternatives)


def in_digits(value: complex) -> str:
    """Write a factor with four significant digits."""
    return f"{value:.4g}" if isinstance(value, complex) else f"{value:#.4g}"
