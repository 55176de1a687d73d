"""What an audit concludes: the frozen dataclasses that everything after a check speaks in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

Kind = TypeVar("Kind")


def changed(made: Kind, **fields: Any) -> Kind:
    """Return a frozen dataclass with other fields: ``dataclasses.replace`` sets all of them again, one by one.

    Raises:
        TypeError: where it has no such field.

    """
    new = object.__new__(type(made))
    new.__dict__.update(made.__dict__, **fields)
    if len(new.__dict__) > len(made.__dict__):
        raise TypeError(f"no field of {type(made).__name__}: {', '.join(fields.keys() - made.__dict__.keys())}")
    return new


FAILING_CODES = frozenset(
    {
        "stochastic-forward",
        "stochastic-backward",
        "accumulated",
        "input-mutated",
        "captured-state",
        "upstream-ignored",
        "nonlinear-upstream",
        "layout-dependent",
        "unwritten-memory",
        "upstream-clipped",
        "row-dependent",
        "missing-gradient",
        "shape-mismatch",
        "dtype-mismatch",
        "broadcast-not-reduced",
        "nonfinite",
        "precision-loss",
        "ties-miscounted",
        "detached-output",
        "unreached-parameter",
        "unregistered-parameter",
        "zero-gradient",
        "accumulation",
        "wrong-backward",
        "not-learning",
        "diverged",
        "parameter-stuck",
        "parameter-count",
        "too-slow",
    }
)
"""Finding codes that fail a case by themselves, whatever the numbers say."""

ADVISORY_CODES = frozenset(
    {
        "approximate-forward",
        "constrained-input",
        "forward-dtype",
        "limit-reached",
        "out-of-domain",
        "race",
        "kink",
        "discontinuity",
        "degenerate-upstream",
        "noise-dominated",
        "straight-through",
        "symmetric-input",
        "tolerance-too-loose",
        "tolerance-too-tight",
        "below-noise",
        "uniform-input",
        "zero-input",
        "vanishing",
        "exploding",
        "unused-parameter",
    }
)
"""Finding codes that inform without failing a case."""

DIAGNOSIS_CODES = frozenset(
    {
        "sign-flipped",
        "constant-factor",
        "factor-per-axis",
        "transposed",
        "shifted",
        "missing-term",
        "accumulated",
        "wrong-subset",
        "captured-state",
        "upstream-ignored",
        "upstream-part",
        "diagonal-only",
        "conjugate-missing",
        "constant-along-axis",
    }
)
"""Finding codes that name the likely cause of a mismatch."""

LIMIT_REACHED = "limit-reached"
"""The finding that says that an audit ended before its time: more calls, or more time, may end it otherwise."""

FINDING_CODES = FAILING_CODES | ADVISORY_CODES | DIAGNOSIS_CODES
"""Every code that a spec may expect."""


class Verdict(StrEnum):
    """What is known of a gradient, from best to worst."""

    PASS = "pass"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"
    ERROR = "error"

    @property
    def severity(self) -> int:
        """Rank among the verdicts, 0 for ``pass``."""
        return _SEVERITIES[self]


_SEVERITIES = {verdict: rank for rank, verdict in enumerate(Verdict)}


def worst(verdicts: list[Verdict]) -> Verdict:
    """Return the gravest of the verdicts, ``pass`` for none."""
    return max(verdicts, key=_SEVERITIES.__getitem__, default=Verdict.PASS)


@dataclass(frozen=True)
class Finding:
    """A named observation about a case: what a person would have noticed in the issue log.

    Attributes:
        code: the stable code that tools match on, for example ``input-mutated``.
        message: one sentence for a tired person.
        evidence: the numbers behind it.

    """

    code: str
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fails(self) -> bool:
        """Whether this finding alone fails its case: by its code, or as its evidence says ``fails``."""
        return self.code in FAILING_CODES or self.evidence.get("fails") is True


@dataclass(frozen=True)
class Mismatch:
    """One index at which the analytical gradient is not within tolerance of the numerical one.

    ``difference`` is ``abs(analytical - numerical)`` and ``tolerance`` is ``atol + rtol * abs(numerical)``.
    Values are complex for complex inputs.
    """

    index: tuple[int, ...]
    analytical: float | complex
    numerical: float | complex
    error_bound: float
    difference: float
    tolerance: float


@dataclass(frozen=True)
class SourceLine:
    """A line of source and the function that it is in; the file as seen from the current folder."""

    file: str
    line: int
    function: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" + (f", in {self.function}" if self.function else "")


@dataclass(frozen=True)
class Measured:
    """What a model in training was worth after some epochs, 0 for none: its loss and its accuracy over all data.

    ``accuracy`` is None where nothing measures it.
    """

    epoch: int
    loss: float
    accuracy: float | None = None


@dataclass(frozen=True)
class Draw:
    """How the audit of a gradient ended where its case was drawn with one of several seeds.

    ``wrong`` is the result's number of wrong indices, ``findings`` the codes of its findings.
    """

    seed: int
    verdict: Verdict
    expected: bool
    wrong: int = 0
    findings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """What the audit of one differentiable input of one case found.

    Attributes:
        op: name of the op.
        module: the group that the op is reported under.
        case: name of the case.
        dtype: dtype of the case's floating inputs.
        input: the audited input's name.
        verdict: ``pass``, ``fail``, ``inconclusive`` or ``error``.
        expected: whether the case ended as its spec says.
        size: number of elements of the input.
        shape: the input's; empty as well where it is not known.
        checked: number of indices that were decided one way or the other, or tried.
        wrong: number of wrong indices (exhaustive) or of those found (search).
        evaluations: forwards spent on this input's numerical gradient.
        forwards, backwards: calls that the whole audit of its case took, the same for each of the case's results.
        seconds: wall time spent on this input.
        method: ``exhaustive`` or ``search``.
        miss_probability: bound on the chance that a wrong index was missed.
        resolution: smallest error at an index, relative to the larger of its gradient and the rms gradient, that
            would surely have been reported; ``nan`` where nothing was compared.
        worst_ratio: largest difference over its tolerance among the indices compared one by one; ``nan`` for none.
        rtol, atol: the tolerance in force.
        message: the cause in words where the verdict is not ``pass``, else a note, or empty.
        mismatches: where the verdict is ``fail`` the wrong indices, where it is ``inconclusive`` the undecided ones,
            worst first, at most ``MAX_MISMATCHES`` of them.
        findings: what else was noticed.
        location: ``file:line`` of the case in its spec.
        training: how loss and accuracy went while a model was trained; empty for other audits.
        gradient_norms: of a parameter of a model that was trained, from the first step of training to the last.
        source: where the backward is defined, or else the function whose derivative is a framework's own; None where
            it is not in Python.
        draws: how it ended with each seed, where the case was audited with several; all else is then of the first seed
            that ended worst, but calls and seconds, which are of all.

    """

    op: str
    module: str
    case: str
    dtype: str
    input: str
    verdict: Verdict
    expected: bool = True
    size: int = 0
    checked: int = 0
    wrong: int = 0
    evaluations: int = 0
    forwards: int = 0
    backwards: int = 0
    seconds: float = 0.0
    method: str = "exhaustive"
    miss_probability: float = 0.0
    resolution: float = float("nan")
    worst_ratio: float = float("nan")
    rtol: float = 0.0
    atol: float = 0.0
    message: str = ""
    mismatches: tuple[Mismatch, ...] = ()
    findings: tuple[Finding, ...] = ()
    location: str = ""
    training: tuple[Measured, ...] = ()
    gradient_norms: tuple[float, ...] = ()
    source: SourceLine | None = None
    shape: tuple[int, ...] = ()
    draws: tuple[Draw, ...] = ()

    @property
    def seed(self) -> int | None:
        """The seed, of several, that the result is of; None where there was one."""
        return next((d.seed for d in self.draws if (d.verdict, d.expected) == (self.verdict, self.expected)), None)


MAX_MISMATCHES = 10_000
"""Most mismatches that a result carries: a complete table of a million wrong rows serves nobody."""


@dataclass(frozen=True)
class MutantCounts:
    """How many mutants of a backward were noticed by its spec, were not, and could not be: the same function."""

    killed: int = 0
    survived: int = 0
    equivalent: int = 0

    @property
    def telling(self) -> int:
        """How many could have been noticed: all but the equivalent ones."""
        return self.killed + self.survived

    @property
    def percent(self) -> float:
        """The mutation score: the share of those that was killed; 100 where there was none."""
        return 100.0 * self.killed / self.telling if self.telling else 100.0

    def __add__(self, other: MutantCounts) -> MutantCounts:
        survived, equivalent = self.survived + other.survived, self.equivalent + other.equivalent
        return MutantCounts(self.killed + other.killed, survived, equivalent)


Branch = tuple[int, int]
"""A step from one line to another; a negative line leaves the function."""

Trace = Mapping[str, frozenset[Branch]]
"""The steps from line to line that were taken in each file."""


@dataclass(frozen=True)
class FunctionDepth:
    """Which lines and branches of a function the cases of an op executed.

    Attributes:
        function: its name, dotted below classes.
        file: its file, as seen from the project.
        line: the line of its definition.
        lines: how many lines can be executed.
        missed_lines: those that never were, each with its text.
        branches: how many ways there are to go on where there is more than one.
        missed_branches: those that were never taken.

    """

    function: str
    file: str
    line: int
    lines: int
    missed_lines: tuple[tuple[int, str], ...]
    branches: int
    missed_branches: tuple[Branch, ...]
