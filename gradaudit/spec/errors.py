"""What is wrong with a spec, said where it stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from gradaudit.spec.case import Location


@dataclass(frozen=True)
class Problem:
    """One mistake in a spec: where it stands, what was found and what was expected."""

    location: Location
    message: str

    def __str__(self) -> str:
        return f"{self.location}: {self.message}"


class SpecError(Exception):
    """Specs cannot be audited as they are; carries every problem of every file, in the files' order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems), key=lambda problem: (problem.location, problem.message)))
        super().__init__("\n".join(map(str, self.problems)))


SYNONYMS = {
    **dict.fromkeys(("fp16", "f16", "half"), "float16"),
    **dict.fromkeys(("fp32", "f32", "single", "float"), "float32"),
    **dict.fromkeys(("fp64", "f64", "double"), "float64"),
    **dict.fromkeys(("bf16", "brain"), "bfloat16"),
    **dict.fromkeys(("gaussian", "gauss", "randn"), "normal"),
    **dict.fromkeys(("rand", "random"), "uniform"),
    **dict.fromkeys(("randint", "int", "ints"), "integers"),
    **dict.fromkeys(("binary", "mask"), "bernoulli"),
    **dict.fromkeys(("fortran", "f"), "transposed"),
    "psd": "spd",
    "xfail": "fail",
}
"""Words of other libraries, by which spelling alone does not lead to ours."""


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word closest to this one, None where none is close."""
    known = list(known)
    if (synonym := SYNONYMS.get(word.lower())) in known:
        return synonym
    return next(iter(get_close_matches(word, known, n=1, cutoff=0.6)), None)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known word closest to this one, or an empty string."""
    match = closest(word, known)
    return f"; did you mean '{match}'?" if match else ""
