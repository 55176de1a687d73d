"""What a page consists of, whatever it is written in."""

from __future__ import annotations

from dataclasses import dataclass

from gradaudit.explain.curve import StepCurve
from gradaudit.explain.explanation import Study, Training
from gradaudit.explain.path_curve import PathCurve
from gradaudit.results import Result


@dataclass(frozen=True)
class Heading:
    """A title of the page, level 1, or of a part of it, level 2."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Prose:
    """A paragraph, or several with empty lines between; may be wrapped anywhere."""

    text: str


@dataclass(frozen=True)
class Entries:
    """Short labels, each with a text of its own."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """A table; cells may hold several lines. ``right`` are the columns of numbers: on the right, never wrapped."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Drawing:
    """Lines that only mean something as they stand; ``of`` is what a page with pictures draws as one."""

    lines: tuple[str, ...]
    of: StepCurve | PathCurve | Study | Result | Training | None = None


@dataclass(frozen=True)
class Code:
    """Lines to be copied; in a terminal they begin at its edge."""

    text: str
    language: str


@dataclass(frozen=True)
class Markdown:
    """A text that is Markdown already."""

    text: str


Block = Heading | Prose | Entries | Table | Drawing | Code | Markdown
