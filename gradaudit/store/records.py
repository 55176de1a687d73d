"""What is kept of a run, as frozen data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gradaudit.results import FunctionDepth, MutantCounts, Result


@dataclass(frozen=True)
class Circumstances:
    """What a run was made with.

    Attributes:
        versions: of Python, gradaudit and the libraries that computed, by name.
        commit: the git commit of the project, empty where there is none.
        dirty: whether tracked files differed from that commit.
        narrowed: whether the run left out cases of the project's specs by choice.
        planned: of a run that is a shard of another, the ids of all that one's cases.

    """

    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str = ""
    dirty: bool = False
    narrowed: bool = False
    planned: tuple[str, ...] = ()


@dataclass(frozen=True)
class Provenance:
    """What a case's results are about, as hashes: the implementation's source, the spec of the case; and its seed.

    An empty hash means that there was nothing to read.
    """

    source: str = ""
    spec: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Run:
    """A run that was recorded; ``finished`` is None where it was killed, ``results`` counts what it kept."""

    id: int
    started: datetime
    finished: datetime | None
    interrupted: bool
    circumstances: Circumstances
    results: int

    @property
    def complete(self) -> bool:
        """Whether the run audited everything there was."""
        return self.finished is not None and not self.interrupted and not self.circumstances.narrowed


@dataclass(frozen=True)
class Record:
    """A result as it was recorded; ``result`` has no mismatches, and findings have no evidence."""

    run: int
    recorded: datetime
    provenance: Provenance
    result: Result


@dataclass(frozen=True)
class DepthRecord:
    """How deep the cases of an op went into it; ``state`` is a hash of what that is about: its sources and cases."""

    op: str
    state: str
    functions: tuple[FunctionDepth, ...]


@dataclass(frozen=True)
class MutationRecord:
    """How the mutants of an op fared; ``state`` is a hash of what that is about: its sources and cases."""

    op: str
    state: str
    counts: MutantCounts


@dataclass(frozen=True)
class Recorded:
    """What the store holds for the coverage of a project: the newest of everything, oldest first."""

    results: Sequence[Record] = ()
    depths: Sequence[DepthRecord] = ()
    mutations: Sequence[MutationRecord] = ()


Subject = tuple[str, str, str, str]
"""What a result is about, and is followed by from run to run: op, case, dtype, input."""


def subject_of(result: Result) -> Subject:
    """Return what a result is about."""
    return result.op, result.case, result.dtype, result.input


def now() -> datetime:
    """Return the time, to the millisecond, as it is kept."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
