"""The files that a run writes besides what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradaudit.engine.events import Handler


def written(json: str | None, junit: str | None) -> list[Handler]:
    """Return what writes the files that were asked for; one that is not written by the end stays what it was."""
    from gradaudit.report.files import AtomicFile, UnwritableError, are_one
    from gradaudit.report.json import JsonReport
    from gradaudit.report.junit import JunitReport

    if json and junit and are_one(json, junit):
        raise UnwritableError(f"cannot write both JSON and JUnit XML to {json}")
    return [report(AtomicFile(path)) for path, report in ((json, JsonReport), (junit, JunitReport)) if path]
