"""Code as people write it, and which rules it breaks."""

from __future__ import annotations

import textwrap
from pathlib import Path

from gradaudit.lint.rules import RULES
from gradaudit.lint.run import Report, lint
from gradaudit.lint.vocabulary import Vocabulary


def linted(folder: Path, code: str, *, name: str = "layers.py", vocabulary: Vocabulary | None = None) -> Report:
    """Return what is found in this code, the only file of a folder."""
    file = folder / name
    file.write_text(textwrap.dedent(code))
    return lint([file], tuple(RULES.values()), vocabulary)


def broken(folder: Path, code: str, **settings: object) -> list[tuple[str, int]]:
    """Return the rules that this code breaks, with their lines from its first line on."""
    report = linted(folder, code, **settings)  # type: ignore[arg-type]
    before = len(code) - len(code.lstrip("\n"))
    return [(violation.rule, violation.line - before) for violation in report.violations]


def method(body: str, *, arguments: str = "x, y") -> str:
    """Return a layer with a method of this body."""
    inner = textwrap.indent(textwrap.dedent(body).strip(), " " * 8)
    return f"import numpy as np\n\n\nclass Layer:\n    def forward(self, {arguments}):\n{inner}\n"
