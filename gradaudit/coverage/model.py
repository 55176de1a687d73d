"""The coverage of a project, as frozen data that reports are written from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from gradaudit.coverage.levels import CaseCounts, LevelRow, ModelRow
from gradaudit.coverage.passes import BackwardPass, Trouble
from gradaudit.results import FunctionDepth, MutantCounts, Verdict
from gradaudit.spec.level import Level
from gradaudit.spec.op_targets import Framework


@dataclass(frozen=True)
class ModuleRow:
    """A row of the table of modules: how many backward passes there are, and how many have a spec.

    ``in_models`` says how many of them a model calls that is audited at a level above the unit.
    """

    module: str
    passes: int
    checked: int
    in_models: Mapping[Level, int] = field(default_factory=dict)

    @property
    def percent(self) -> int:
        """The share that has a spec, rounded down: 100 means all; 0 where there is nothing."""
        return 100 * self.checked // self.passes if self.passes else 0

    def is_under(self, bar: float) -> bool:
        """Whether the share that has a spec is below a bar, in percent; where nothing was found any bar is missed."""
        return 100 * self.checked < bar * self.passes or (bar > 0 and not self.passes)


@dataclass(frozen=True)
class InputRow:
    """What is known of the gradient with respect to one input of an op.

    Attributes:
        input: the input's name.
        verdicts: the gravest of each dtype's cases; None where none was audited.
        cases: how many cases it has, over all dtypes.
        worst_ratio: the largest difference over its tolerance that was seen; NaN where nothing was.
        miss_probability: the largest chance that a wrong index was missed; NaN where nothing was audited.

    """

    input: str
    verdicts: Mapping[str, Verdict | None]
    cases: int
    worst_ratio: float
    miss_probability: float


@dataclass(frozen=True)
class Depth:
    """How deep an op's cases went into its implementation; ``stale`` where either has changed since."""

    functions: tuple[FunctionDepth, ...]
    stale: bool


@dataclass(frozen=True)
class Mutants:
    """How an op's mutants fared; ``stale`` where its implementation or its spec has changed since."""

    counts: MutantCounts
    stale: bool


@dataclass(frozen=True)
class OpCoverage:
    """What is known of an op that has a spec.

    Attributes:
        op, module: its name and the group it is reported under.
        level: at which level its spec audits it.
        model: the ``module:factory`` of the model that it is; empty for one op.
        location: ``file:line`` of its spec.
        passes: the backward passes that it audits; none where the sources have none.
        by_name: whether those were matched by name alone.
        inputs: a row for each differentiable input.
        findings: the codes of what was noticed, each with the number of cases.
        cases: how its cases ended.
        audited: when it was last audited; None for never.
        audit: a short hash of the sources and the spec that the results are about; empty for never.
        stale: why the results are not about what is there now, in words; none where they are.
        needs: the framework that an audit needs and that is not installed here; None where nothing is missing.
        depth: how deep its cases went into its implementation; None where that was not measured.
        mutants: how its mutants fared; None where none were tried.

    """

    op: str
    module: str
    level: Level
    model: str
    location: str
    passes: tuple[BackwardPass, ...]
    by_name: bool
    inputs: tuple[InputRow, ...]
    findings: tuple[tuple[str, int], ...]
    cases: CaseCounts
    audited: datetime | None
    audit: str
    stale: tuple[str, ...]
    needs: Framework | None = None
    depth: Depth | None = None
    mutants: Mutants | None = None

    @property
    def expected(self) -> bool:
        """Whether every case that was audited ended as its spec says."""
        return not self.cases.unexpected

    @property
    def skipped(self) -> bool:
        """Whether nothing is known of what is there now, and cannot be here, for want of a framework."""
        return bool(self.stale) and self.needs is not None


@dataclass(frozen=True)
class Coverage:
    """The coverage of a project.

    Attributes:
        modules: a row for each module with backward passes, by name.
        total: the row of all.
        ops: every op that has a spec, by module and name.
        missing: the backward passes without a spec, each with the module that it would be reported under.
        troubles: files that could not be searched.
        files: how many files were searched.
        levels: the pyramid of specs, its top first; empty where no spec is of a whole model.
        models: the models that specs audit.

    """

    modules: tuple[ModuleRow, ...]
    total: ModuleRow
    ops: tuple[OpCoverage, ...]
    missing: tuple[tuple[str, BackwardPass], ...]
    troubles: tuple[Trouble, ...]
    files: int
    levels: tuple[LevelRow, ...] = ()
    models: tuple[ModelRow, ...] = ()

    @property
    def stale(self) -> tuple[OpCoverage, ...]:
        """The ops whose results are not about what is there now, and could be."""
        return tuple(op for op in self.ops if op.stale and not op.skipped)

    @property
    def skipped(self) -> tuple[OpCoverage, ...]:
        """The ops that could not be audited here, for want of a framework."""
        return tuple(op for op in self.ops if op.skipped)

    @property
    def mutants(self) -> MutantCounts | None:
        """How the mutants of all ops fared that have any; None where none were tried."""
        tried = [op.mutants.counts for op in self.ops if op.mutants]
        return sum(tried, MutantCounts()) if tried else None
