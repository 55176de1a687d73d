"""A term that is not there, or is there and should not be."""

from __future__ import annotations

import numpy as np

from gradaudit.diagnosis.constant import in_digits
from gradaudit.diagnosis.constants import known_constants, names_of
from gradaudit.diagnosis.evidence import Array, Evidence
from gradaudit.diagnosis.fit import Fit, fit_coefficient
from gradaudit.diagnosis.score import EXPLAINS, explained, extent, promising
from gradaudit.diagnosis.terms import Term, terms
from gradaudit.results import Finding


def missing_term(evidence: Evidence) -> Finding | None:
    """Numerical = analytical plus a term that one recognises."""
    missing = evidence.numerical - evidence.claimed
    best: Finding | None = None
    with np.errstate(all="ignore"):
        for tried, term in enumerate(terms(evidence), start=1):
            found = _with_coefficient(evidence, term, missing, tried)
            if found and (best is None or found.evidence["explained"] > best.evidence["explained"]):
                best = found
                if best.evidence["explained"] == 1.0:
                    break
    return best


def _with_coefficient(evidence: Evidence, term: Term, missing: Array, tried: int) -> Finding | None:
    fit = fit_coefficient(term.values, missing, evidence.slack)
    if fit is None or abs(fit.value) <= fit.uncertainty:
        return None
    near = [known for known in term.coefficients if abs(known - fit.value) <= fit.uncertainty]
    if term.coefficients and not near:
        return None
    coefficient = min(near, key=lambda known: abs(known - fit.value)) if near else fit.value
    predicted = evidence.claimed + coefficient * term.values
    if (np.abs(predicted) <= evidence.slack).all():
        return None  # the true gradient is zero: to take away all that is there explains nothing
    if not promising(evidence, predicted[evidence.probes]):
        return None
    fitted = evidence.repeated if near else evidence.repeated | fit.mask(len(missing))
    share = explained(
        evidence, predicted, alternatives=float(tried * max(1, len(term.coefficients))), by_construction=fitted
    )
    if share < EXPLAINS:
        return None
    message = f"numerical = analytical {_added(evidence, term, coefficient, fit)}, {extent(evidence, share)}"
    return Finding("missing-term", message, {"explained": share, "term": term.name, "coefficient": coefficient})


def _added(evidence: Evidence, term: Term, coefficient: complex, fit: Fit) -> str:
    """Write the term as it is added: "- the mean of ...", "+ 0.01000 times w (0.01000 is decay)"."""
    sign, size = ("-", -coefficient) if not isinstance(coefficient, complex) and coefficient < 0 else ("+", coefficient)
    if size == 1.0:
        return f"{sign} {term.name}"
    said = f"{sign} {in_digits(size)} times {term.name}" if term.name != "1" else f"{sign} {in_digits(size)}"
    names = [] if term.coefficients else names_of(size, fit.uncertainty, known_constants(evidence))
    return said + (f" ({in_digits(size)} is {' or '.join(map(str, names))})" if names else "")
