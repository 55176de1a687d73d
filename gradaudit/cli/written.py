"""The files that a run writes besides what it shows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, product
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradaudit.engine.events import Handler
    from gradaudit.report.step_summary import StepSummary
    from gradaudit.spec.case import Case


def written(
    asked: Mapping[str, str | None],
    cases: Sequence[Case] = (),
    taken: Mapping[str, Iterable[Path | None]] = MappingProxyType({}),
    allow: Sequence[str] | None = None,
) -> list[Handler]:
    """Return what writes the files that were asked for; one that is not written by the end stays what it was.

    Args:
        asked: the file for each format, by its name; None for no such report.
        cases: those of the run: the page says how they are audited again.
        taken: files that the run reads or records in, by what they are: no report may be one of them.
        allow: the only modules that a format of another package may be imported from; None for any.

    Raises:
        UnwritableError: where a file cannot be written, or is another one of these.
        ExtensionError: where there is no format of a name, or it cannot be imported.

    """
    if not any(path is not None for path in asked.values()):
        return []
    from gradaudit.report.files import UnwritableError, are_one
    from gradaudit.report.formats import report_format

    named = [(report_format(name, allow), path) for name, path in asked.items() if path is not None]
    for (one, path), (other, same) in combinations(named, 2):
        if are_one(path, same):
            raise UnwritableError(f"cannot write both {one.title} and {other.title} to {path}")
    others = [(kind, file) for kind, files in taken.items() for file in files if file is not None]
    for (one, path), (other_kind, file) in product(named, others):
        if are_one(path, str(file)):
            raise UnwritableError(f"cannot write {one.title} to {path}: it is {other_kind}")
    return [report.open(path, cases) for report, path in named]


def reports_asked(given: Sequence[str], **own: str | None) -> dict[str, str | None]:
    """Return the file for each format, by its name, from ``NAME=FILE`` and the options of this package's formats.

    Raises:
        UnwritableError: where one is something else, or a format is asked for twice.

    """
    from gradaudit.report.files import UnwritableError

    asked = dict(own)
    for text in given:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise UnwritableError(f"--report {text}: expected NAME=FILE, as in junit=report.xml")
        if asked.get(name) is not None:
            raise UnwritableError(f"--report {text}: {name} goes to {asked[name]} already")
        asked[name] = path
    return asked


def summaries() -> list[StepSummary]:
    """Return what adds to the summary of a step of GitHub Actions, where this is one."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return []
    from gradaudit.report.step_summary import StepSummary

    return [StepSummary(Path(path))]
