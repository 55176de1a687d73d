"""One constant factor."""

from __future__ import annotations

from gradaudit.diagnosis.constants import Constant, known_constants, names_of
from gradaudit.diagnosis.evidence import Evidence
from gradaudit.diagnosis.fit import Fit, fit_coefficient
from gradaudit.diagnosis.score import EXPLAINS, explained, extent
from gradaudit.results import Finding

WELL_KNOWN = 0.02
"""Relative uncertainty up to which a number can be given a name: beyond, too many names fit."""


def constant_factor(evidence: Evidence) -> Finding | None:
    """Numerical = c x analytical, with the constants that c is."""
    fit = fit_coefficient(evidence.claimed, evidence.numerical, evidence.slack)
    if fit is None or abs(fit.value) <= fit.uncertainty:
        return None  # the true gradient is zero: no factor leads there
    constants = known_constants(evidence)
    names = names_of(fit.value, fit.uncertainty, constants) if fit.uncertainty <= WELL_KNOWN * abs(fit.value) else []
    share = _named_share(evidence, names, constants) or explained(
        evidence, fit.value * evidence.claimed, by_construction=fit.mask(len(evidence.numerical))
    )
    if share < EXPLAINS:
        return None
    return Finding("constant-factor", _message(evidence, fit, names, share), _numbers(fit, names, share))


def _named_share(evidence: Evidence, names: list[Constant], constants: list[Constant]) -> float:
    """Return what the first name explains; nothing was fitted then, but chosen among many."""
    if not names:
        return 0.0
    rank = min(made.rank for made in names)
    alternatives = 2 * sum(made.rank <= rank for made in constants)  # each with either sign
    return explained(evidence, names[0].value * evidence.claimed, alternatives=alternatives)


def _message(evidence: Evidence, fit: Fit, names: list[Constant], share: float) -> str:
    value = in_digits(names[0].value if names else fit.value)
    said = f"numerical = {value} x analytical {extent(evidence, share)}"
    telling = [str(made) for made in names if any(letter.isalpha() for letter in made.name)]
    return said + (f"; {value} is {' or '.join(telling)}" if telling else "")


def _numbers(fit: Fit, names: list[Constant], share: float) -> dict[str, object]:
    value = names[0].value if names else fit.value
    return {
        "explained": share,
        "factor": value,
        "uncertainty": fit.uncertainty,
        "names": [made.name for made in names],
    }


def in_digits(value: complex) -> str:
    """Write a factor with four significant digits."""
    return f"{value:.4g}" if isinstance(value, complex) else f"{value:#.4g}"
