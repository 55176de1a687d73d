"""The pyramid of a project's specs: how many there are at each level, how they ended, and which models have which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gradaudit.spec.level import ABOVE_UNIT, Level


@dataclass(frozen=True)
class CaseCounts:
    """How cases ended when they were last audited: as their spec says, otherwise, or not audited yet."""

    expected: int = 0
    unexpected: int = 0
    unaudited: int = 0

    @property
    def total(self) -> int:
        """How many there are."""
        return self.expected + self.unexpected + self.unaudited

    def __add__(self, other: CaseCounts) -> CaseCounts:
        return CaseCounts(
            self.expected + other.expected, self.unexpected + other.unexpected, self.unaudited + other.unaudited
        )


@dataclass(frozen=True)
class LevelRow:
    """A level of the pyramid: how many specs and cases it has."""

    level: Level
    specs: int
    cases: CaseCounts


@dataclass(frozen=True)
class ModelRow:
    """A model, and the specs that audit it at each level above the unit; an empty tuple where none does."""

    model: str
    specs: Mapping[Level, tuple[str, ...]]

    @property
    def lacks(self) -> tuple[Level, ...]:
        """The levels that it has no spec of."""
        return tuple(level for level in ABOVE_UNIT if not self.specs[level])


def level_rows(specs: Sequence[tuple[Level, CaseCounts]]) -> tuple[LevelRow, ...]:
    """Return the pyramid, its top first, from the level and the cases of each spec; empty where all are units."""
    if all(level is Level.UNIT for level, _ in specs):
        return ()
    return tuple(_level_row(level, [counts for own, counts in specs if own is level]) for level in reversed(Level))


def _level_row(level: Level, counts: Sequence[CaseCounts]) -> LevelRow:
    return LevelRow(level, len(counts), sum(counts, CaseCounts()))


def model_rows(specs: Iterable[tuple[str, Level, str]]) -> tuple[ModelRow, ...]:
    """Return each model with its specs, by its name, from the model, the level and the name of each spec."""
    found: dict[str, dict[Level, list[str]]] = {}
    for model, level, op in specs:
        if model:
            found.setdefault(model, {own: [] for own in ABOVE_UNIT})[level].append(op)
    return tuple(
        ModelRow(model, {level: tuple(ops) for level, ops in own.items()}) for model, own in sorted(found.items())
    )
