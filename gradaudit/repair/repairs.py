"""What is told of a search for repairs: frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Applicability(StrEnum):
    """How sure a repair is.

    ``verified``: it holds wherever it was tried, and whatever else is as simple and holds is the same function there.
    ``candidate``: it holds where the spec draws, but not everywhere beyond, or another that is as simple and is not the
    same function holds as well. ``hint``: a formula without a place in the source.
    """

    VERIFIED = "verified"
    CANDIDATE = "candidate"
    HINT = "hint"


@dataclass(frozen=True)
class Confirmed:
    """What a repair holds at: audits of cases, further draws, further shapes, and points beyond what the spec draws."""

    cases: int
    draws: int
    shapes: int
    beyond: int = 0

    def __str__(self) -> str:
        parts = [
            (self.cases, "case"),
            (self.draws, "further draw"),
            (self.shapes, "further shape"),
            (self.beyond, "point beyond the spec"),
        ]
        said = [f"{count} {word if count == 1 else _plural(word)}" for count, word in parts if count]
        return ", ".join(said[:-1]) + (" and " if len(said) > 1 else "") + said[-1] if said else "nothing"


def _plural(word: str) -> str:
    return word.replace("point", "points") if word.startswith("point") else f"{word}s"


@dataclass(frozen=True)
class Repair:
    """An edit that mends gradients.

    Attributes:
        diff: as ``patch -p0`` takes it; the formula where it is a hint.
        applicability: how sure it is.
        file: what is edited, as seen from the current folder; empty for a hint.
        line: the first line that changes.
        inputs: the inputs whose gradients become right.
        confirmed: what it was held against.
        path: the file.
        before, after: its text.
        also: other edits that come to the same, as simple or nearly so.
        missed: points beyond what the spec draws where it is wrong, in words.

    """

    diff: str
    applicability: Applicability
    file: str
    line: int
    inputs: tuple[str, ...]
    confirmed: Confirmed
    path: Path = Path()
    before: str = ""
    after: str = ""
    also: int = 0
    missed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Repairs:
    """What a search found.

    Attributes:
        op: the op.
        repairs: the repairs, the simplest first, at most three.
        message: why there is none, or what is left to mend; empty where nothing is to be said.
        tried: edits that were tried.
        seconds: how long it took.

    """

    op: str
    repairs: tuple[Repair, ...]
    message: str = ""
    tried: int = 0
    seconds: float = 0.0
