"""A term that is not there, or is there and should not be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gradaudit.diagnosis.cause import Cause, Elsewhere
from gradaudit.diagnosis.constant import in_digits
from gradaudit.diagnosis.constants import Constant, in_words, known_constants, names_of
from gradaudit.diagnosis.evidence import Array, Claim, Evidence
from gradaudit.diagnosis.fit import Fit, fit_coefficient
from gradaudit.diagnosis.score import EXPLAINS, explained, extent, promising
from gradaudit.diagnosis.terms import Term, terms
from gradaudit.results import Finding


@dataclass(frozen=True)
class MissingTerm(Cause):
    """A term that has to be added.

    Attributes:
        size: the magnitude of its coefficient.
        before, after: the message before and after the names of that number.
        names: what the number is, as far as is known by now.
        sized: whether another shape has been asked.

    """

    size: complex = 1.0
    before: str = ""
    after: str = ""
    names: tuple[Constant, ...] = ()
    sized: bool = False

    def held(self, there: Elsewhere) -> Cause | None:
        """Return the cause with the names of its coefficient that give the number there as well."""
        if super().held(there) is None:
            return None
        names = tuple(made for made in self.names if np.isclose(made.at(there.claim), self.size, rtol=1e-3, atol=0.0))
        return replace(self, names=names, sized=self.sized or not there.same_shape).said()

    def said(self) -> MissingTerm:
        """Return the cause with a finding that says what is known by now."""
        names = in_words(self.names, once=self.sized)
        named = f" ({in_digits(self.size)} is {names})" if names else ""
        return replace(self, finding=replace(self.finding, message=self.before + named + self.after))


def missing_term(evidence: Evidence) -> Iterator[MissingTerm]:
    """Numerical = analytical plus a term that one recognises."""
    missing = evidence.numerical - evidence.claimed
    with np.errstate(all="ignore"):
        for tried, (turn, term) in enumerate(_numbered(evidence), start=1):
            yield from _with_coefficient(evidence, term, turn, missing, tried)


def _numbered(claim: Claim) -> Iterator[tuple[int, Term]]:
    """Yield terms, each with how many of the same name came before."""
    turns: Counter[str] = Counter()
    for term in terms(claim):
        yield turns[term.name], term
        turns[term.name] += 1


def _with_coefficient(evidence: Evidence, term: Term, turn: int, missing: Array, tried: int) -> Iterator[MissingTerm]:
    fit = fit_coefficient(term.values, missing, evidence.slack)
    if fit is None or abs(fit.value) <= fit.uncertainty:
        return
    if not term.coefficients:
        yield from _with_number(evidence, term, turn, fit, tried)
    for k, each in enumerate(term.coefficients):
        if abs(each.value - fit.value) <= fit.uncertainty:
            alternatives = float(tried * len(term.coefficients))
            share = _share(evidence, term, each.value, alternatives)
            if share:
                yield _found(evidence, term, each.value, share, Added(term.name, turn, k), each.name)


def _with_number(evidence: Evidence, term: Term, turn: int, fit: Fit, tried: int) -> Iterator[MissingTerm]:
    if share := _share(evidence, term, fit.value, float(tried), fit):
        size = abs(fit.value) if not isinstance(fit.value, complex) else fit.value
        names = tuple(names_of(size, fit.uncertainty, known_constants(evidence)))
        made = _found(evidence, term, fit.value, share, Added(term.name, turn, value=fit.value))
        yield replace(made, names=names).said()


def _share(evidence: Evidence, term: Term, coefficient: complex, alternatives: float, fit: Fit | None = None) -> float:
    """Return what share a term explains; 0 where that is too little to be named."""
    predicted = evidence.claimed + coefficient * term.values
    if (np.abs(predicted) <= evidence.slack).all():
        return 0.0  # the true gradient is zero: to take away all that is there explains nothing
    if not promising(evidence, predicted[evidence.probes]):
        return 0.0
    fitted = evidence.repeated | fit.mask(len(predicted)) if fit else evidence.repeated
    share = explained(evidence, predicted, alternatives=alternatives, by_construction=fitted)
    return share if share >= EXPLAINS else 0.0


@dataclass(frozen=True)
class Added:
    """The rule that adds a term to another claim: by its name, and one of its coefficients, or a number."""

    name: str
    turn: int
    coefficient: int = -1
    value: complex = 0.0

    def __call__(self, claim: Claim) -> Array | None:
        """Return the claim with the term as it is there."""
        with np.errstate(all="ignore"):
            for turn, term in _numbered(claim):
                if (term.name, turn) == (self.name, self.turn):
                    times = self.value if self.coefficient < 0 else term.coefficients[self.coefficient].value
                    return np.asarray(claim.claimed + times * term.values)
        return None


def _found(
    evidence: Evidence, term: Term, coefficient: complex, share: float, rule: Added, named: str = ""
) -> MissingTerm:
    """Write the term as it is added: "- the mean of ...", "+ 0.01000 times w (0.01000 is decay)"."""
    sign, size = ("-", -coefficient) if not isinstance(coefficient, complex) and coefficient < 0 else ("+", coefficient)
    number = named or in_digits(size)
    added = number if term.name == "1" else term.name if size == 1.0 and not named else f"{number} times {term.name}"
    numbers = {"explained": share, "term": term.name, "coefficient": coefficient}
    before, after = f"numerical = analytical {sign} {added}", f", {extent(evidence, share)}"
    return MissingTerm(Finding("missing-term", before + after, numbers), rule, size, before, after)
