"""What a rule finds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Violation:
    """A place where a rule is broken.

    Attributes:
        file: the file, as seen from the current folder.
        line: the line, from 1.
        column: the column, from 1.
        rule: the rule's name.
        why: what is lost here.
        fix: what to write instead.
        last_line: the last line of the expression, on which an ignore counts as well.

    """

    file: Path
    line: int
    column: int
    rule: str
    why: str
    fix: str
    last_line: int
