"""The files that a run writes besides what it shows."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradaudit.engine.events import Handler
    from gradaudit.report.step_summary import StepSummary


def written(json: str | None, junit: str | None, sarif: str | None = None, badge: str | None = None) -> list[Handler]:
    """Return what writes the files that were asked for; one that is not written by the end stays what it was."""
    from gradaudit.report.badge import BadgeReport
    from gradaudit.report.files import AtomicFile, UnwritableError, are_one
    from gradaudit.report.json import JsonReport
    from gradaudit.report.junit import JunitReport
    from gradaudit.report.sarif import SarifReport

    asked = {"JSON": json, "JUnit XML": junit, "SARIF": sarif, "a badge": badge}
    named = [(kind, path) for kind, path in asked.items() if path]
    for (one, path), (other, same) in combinations(named, 2):
        if are_one(path, same):
            raise UnwritableError(f"cannot write both {one} and {other} to {path}")
    reports = ((json, JsonReport), (junit, JunitReport), (sarif, SarifReport))
    return [*(report(AtomicFile(path)) for path, report in reports if path), *([BadgeReport(badge)] if badge else [])]


def summaries() -> list[StepSummary]:
    """Return what adds to the summary of a step of GitHub Actions, where this is one."""
    from gradaudit.report.step_summary import StepSummary

    path = os.environ.get("GITHUB_STEP_SUMMARY")
    return [StepSummary(Path(path))] if path else []
