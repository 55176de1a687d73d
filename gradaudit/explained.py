"""An audit from Python, explained: the page that ``gradaudit explain`` writes, for a notebook, a terminal or a file."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from gradaudit.explain.explanation import Explanation

MAX_ROWS = 10
"""Rows of a mismatch table."""


@dataclass(frozen=True, repr=False)
class Explained:
    """What was audited, where it is wrong, how sure that is, what to do.

    As text it is the terminal's page; in a notebook it shows itself.
    """

    explanation: Explanation

    def __str__(self) -> str:
        from rich.console import Console

        from gradaudit.report.explanation.glyphs import UNICODE
        from gradaudit.report.explanation.page import page
        from gradaudit.report.explanation.terminal import print_page

        written = io.StringIO()
        print_page(page(self.explanation, UNICODE, MAX_ROWS), Console(file=written, width=80, highlight=False))
        return written.getvalue()

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return self.markdown

    @property
    def markdown(self) -> str:
        """The page as Markdown, for an issue."""
        from gradaudit.report.explanation.glyphs import UNICODE
        from gradaudit.report.explanation.markdown import markdown
        from gradaudit.report.explanation.page import page

        return markdown(page(self.explanation, UNICODE, MAX_ROWS))

    def plot(self, path: str) -> None:
        """Draw curves of the step size, and maps of where indices are wrong.

        Args:
            path: a name in ``.png`` or ``.svg``.

        Raises:
            UnwritableError: where it is neither, cannot be written, or matplotlib is not installed; an ``OSError``.

        """
        from gradaudit.report.explanation.plot import draw, kind_of_plot

        kind = kind_of_plot(path)
        Path(path).write_bytes(draw(self.explanation, kind))
