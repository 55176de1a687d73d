"""Annotations for GitHub Actions: what did not end as expected, shown beside the backward, or else the spec.

The format of the lines is that of the workflow commands ``error`` and ``warning``, which GitHub documents at
https://docs.github.com/actions/reference/workflow-commands-for-github-actions.
"""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from gradaudit.engine.events import CaseFinished, Event
from gradaudit.report.console import tamed
from gradaudit.report.mismatch import case_blocks
from gradaudit.report.visible import visible
from gradaudit.results import Verdict, worst
from gradaudit.spec.errors import Problem

MAX_ROWS = 3
"""Rows of a mismatch table in an annotation, which is read in passing."""


class GithubReport:
    """A handler of events that writes an annotation for each gradient that did not end as its spec expects.

    Args:
        console: where to write; GitHub reads both standard output and standard error.
        allow_inconclusive: whether what cannot be decided is a warning only.

    """

    def __init__(self, console: Console, *, allow_inconclusive: bool = False) -> None:
        self._console = console
        self._allow_inconclusive = allow_inconclusive

    def __call__(self, event: Event) -> None:
        """Write what a case calls for."""
        if not isinstance(event, CaseFinished):
            return
        verdict = worst([result.verdict for result in event.results if not result.expected])
        level = "warning" if self._allow_inconclusive and verdict is Verdict.INCONCLUSIVE else "error"
        source = next((result.source for result in event.results if result.source and not result.expected), None)
        file, _, line = event.results[0].location.rpartition(":")
        if source:
            file, line = source.file, str(source.line)
        said = "  Source:" if source else "  Spec:"  # where the annotation stands
        for headline, *details in case_blocks(event.results, MAX_ROWS):
            text = "\n".join(detail.removeprefix("  ") for detail in details if not detail.startswith(said))
            written = annotation(level, text or headline, file=file, line=line, title=headline)
            self._console.out(written, highlight=False)


def annotated_problem(problem: Problem) -> str:
    """Return a mistake in a spec as the terminal shows it, and its annotation on a line of its own."""
    where = problem.location
    places = {"file": str(where.file), "line": str(where.line), "col": str(where.column)}
    return f"{tamed(str(problem))}\n{annotation('error', problem.message, **places, title='gradaudit')}"


def annotation(level: str, message: str, *, file: str, **properties: str) -> str:
    """Return the line that makes an annotation; nothing in its parts can end it or begin another."""
    places = {"file": seen_from_workspace(file), **properties}
    named = ",".join(f"{key}={_escaped(text, ':,')}" for key, text in places.items())
    return f"::{level} {named}::{_escaped(message)}"


def seen_from_workspace(file: str) -> str:
    """Return a path as GitHub knows it: from the folder that the repository was checked out to."""
    workspace = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
    path = Path(file).resolve()
    return str(path.relative_to(workspace)) if path.is_relative_to(workspace) else file


def _escaped(text: str, also: str = "") -> str:
    lines = [tamed(visible(line)) for line in text.splitlines()]
    text = "\n".join(lines).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    for character in also:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
