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
    json: str | None,
    junit: str | None,
    sarif: str | None = None,
    badge: str | None = None,
    html: str | None = None,
    cases: Sequence[Case] = (),
    taken: Mapping[str, Iterable[Path | None]] = MappingProxyType({}),
) -> list[Handler]:
    """Return what writes the files that were asked for; one that is not written by the end stays what it was.

    The page says how ``cases``, those of the run, are audited again. None of the files may be one of those that are
    ``taken``, as the run reads them or records in them; they go by what they are.

    Raises:
        UnwritableError: where a file cannot be written, or is another one of these.

    """
    from gradaudit.report.badge import BadgeReport
    from gradaudit.report.files import AtomicFile, UnwritableError, are_one
    from gradaudit.report.json import JsonReport
    from gradaudit.report.junit import JunitReport
    from gradaudit.report.sarif import SarifReport

    asked = {"JSON": json, "JUnit XML": junit, "SARIF": sarif, "a badge": badge, "a page": html}
    named = [(kind, path) for kind, path in asked.items() if path is not None]
    for (one, path), (other, same) in combinations(named, 2):
        if are_one(path, same):
            raise UnwritableError(f"cannot write both {one} and {other} to {path}")
    others = [(kind, file) for kind, files in taken.items() for file in files if file is not None]
    for (one, path), (other, file) in product(named, others):
        if are_one(path, str(file)):
            raise UnwritableError(f"cannot write {one} to {path}: it is {other}")
    reports = ((json, JsonReport), (junit, JunitReport), (sarif, SarifReport))
    made: list[Handler] = [report(AtomicFile(path)) for path, report in reports if path is not None]
    if badge is not None:
        made.append(BadgeReport(badge))
    if html is not None:
        from gradaudit.report.page.run_page import PageReport

        made.append(PageReport(html, cases))
    return made


def summaries() -> list[StepSummary]:
    """Return what adds to the summary of a step of GitHub Actions, where this is one."""
    from gradaudit.report.step_summary import StepSummary

    path = os.environ.get("GITHUB_STEP_SUMMARY")
    return [StepSummary(Path(path))] if path else []
