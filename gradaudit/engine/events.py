"""What happens during a run, as frozen data: the only thing that reports know of the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gradaudit.results import FunctionDepth, Result, Trace

if TYPE_CHECKING:
    from gradaudit.repair.repairs import Repairs


@dataclass(frozen=True)
class CasesSkipped:
    """Cases that will not be audited, because what their targets need is not installed."""

    cases: int
    needs: str
    install: str


@dataclass(frozen=True)
class CasesRecalled:
    """Cases that were audited before, have not changed since, and are not audited again.

    ``reported`` tells whether their results are told of as if they had been audited now; else they are left out.
    """

    cases: int
    reported: bool


@dataclass(frozen=True)
class RunShared:
    """The run is one of several shares; ``planned`` are the ids of the cases of all, ``cases`` counts its own.

    ``measured`` tells whether the shares are balanced by recorded seconds; else they are by the number of elements.
    """

    number: int
    of: int
    cases: int
    planned: tuple[str, ...]
    measured: bool


@dataclass(frozen=True)
class RunStarted:
    """The specs are loaded and their cases about to be audited."""

    cases: int
    ops: int


@dataclass(frozen=True)
class CaseStarted:
    """A case is being audited from now on; sent once more where it is tried again."""

    id: str


@dataclass(frozen=True)
class CaseDone:
    """A case has been audited; sent as it happens, in no particular order: for progress, and to lose nothing."""

    id: str
    done: int
    total: int
    results: tuple[Result, ...] = ()
    trace: Trace = field(default_factory=dict)
    check_evaluations: int = 0


@dataclass(frozen=True)
class CasesTold:
    """All cases that have been audited so far have been told of: the next one may take long."""


@dataclass(frozen=True)
class CaseFinished:
    """The results of a case, one for each differentiable input; sent in the order of the plan."""

    id: str
    results: tuple[Result, ...]
    check_evaluations: int


@dataclass(frozen=True)
class DepthMeasured:
    """How deep an op's cases went into the functions that implement it; sent at the end, where it was asked for."""

    op: str
    functions: tuple[FunctionDepth, ...]


@dataclass(frozen=True)
class KnownFailuresCompared:
    """What became of the failures that a file names; sent at the end, where there is such a file.

    Attributes:
        path: the file.
        known: how many of them failed in this run, no worse than before.
        mended: those that ended as their spec expects, in words.

    """

    path: str
    known: int
    mended: tuple[str, ...]


@dataclass(frozen=True)
class RepairsFound:
    """What a search for repairs of an op found; sent at the end, where it was asked for."""

    repairs: Repairs


@dataclass(frozen=True)
class RunFinished:
    """Nothing more will come; ``interrupted`` tells whether cases were left out because of Ctrl-C."""

    seconds: float
    interrupted: bool


Event = (
    CasesSkipped
    | CasesRecalled
    | RunShared
    | RunStarted
    | CaseStarted
    | CaseDone
    | CasesTold
    | CaseFinished
    | DepthMeasured
    | KnownFailuresCompared
    | RepairsFound
    | RunFinished
)
Handler = Callable[[Event], None]
