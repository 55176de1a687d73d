"""What mutants say of a spec, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass

from gradaudit.mutation.mutants import Mutant
from gradaudit.mutation.trial import Fate, Trial
from gradaudit.results import MutantCounts


@dataclass(frozen=True)
class OpMutation:
    """The mutants of an op, each with how it fared.

    Attributes:
        op, module: its name and the group it is reported under.
        tried: the mutants.
        unexpected: ids of the cases that do not end as their spec expects for the op as it is.

    """

    op: str
    module: str
    tried: tuple[tuple[Mutant, Trial], ...]
    unexpected: tuple[str, ...] = ()

    @property
    def counts(self) -> MutantCounts:
        """How many had which fate."""
        fates = [trial.fate for _, trial in self.tried]
        return MutantCounts(*(fates.count(fate) for fate in (Fate.KILLED, Fate.SURVIVED, Fate.EQUIVALENT)))

    @property
    def survivors(self) -> tuple[tuple[Mutant, Trial], ...]:
        """Those that no case noticed, though their gradients differ."""
        return tuple((mutant, trial) for mutant, trial in self.tried if trial.fate is Fate.SURVIVED)


@dataclass(frozen=True)
class Mutation:
    """The mutants of all ops.

    Attributes:
        ops: every op whose mutants were all tried.
        skipped: ops that cannot be mutated, and why.
        interrupted: whether ops were left out because of Ctrl-C.
        failing: ops that are wrong as they are, so that no fault in them could be told, and how they fail.

    """

    ops: tuple[OpMutation, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    interrupted: bool = False
    failing: tuple[tuple[str, str], ...] = ()

    @property
    def total(self) -> MutantCounts:
        """The counts of all ops."""
        return sum((op.counts for op in self.ops), MutantCounts())

    @property
    def sound(self) -> bool:
        """Whether every op by itself ends as its spec expects."""
        return not self.failing and not any(op.unexpected for op in self.ops)

    def is_under(self, bar: float) -> bool:
        """Whether the score is below a bar, in percent; where no mutant could be noticed any bar is missed."""
        return self.total.percent < bar or (bar > 0 and not self.total.telling)
