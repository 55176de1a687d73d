"""The formats that a run is written in: those of this package, and those that other packages add."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gradaudit.engine.events import Handler
from gradaudit.extensions import REPORTS, ExtensionError, extensions
from gradaudit.report.badge import BadgeReport
from gradaudit.report.files import AtomicFile
from gradaudit.report.json import JsonReport
from gradaudit.report.junit import JunitReport
from gradaudit.report.sarif import SarifReport
from gradaudit.spec.case import Case


@dataclass(frozen=True)
class ReportFormat:
    """A format of reports.

    Attributes:
        title: what a report is called in messages, such as ``JUnit XML``.
        open: from the name of a file and the run's cases to what hears the events of the run and writes the report;
            raises ``UnwritableError`` where the file cannot be written.

    """

    title: str
    open: Callable[[str, Sequence[Case]], Handler]


def of_results(title: str, report: Callable[[AtomicFile], Handler]) -> ReportFormat:
    """Return the format of reports that are one text about all results."""
    return ReportFormat(title, lambda path, cases: report(AtomicFile(path)))


def _page(path: str, cases: Sequence[Case]) -> Handler:
    from gradaudit.report.page.run_page import PageReport  # which needs an extra

    return PageReport(path, cases)


FORMATS: Mapping[str, ReportFormat] = {
    "json": of_results("JSON", JsonReport),
    "junit": of_results("JUnit XML", JunitReport),
    "sarif": of_results("SARIF", SarifReport),
    "badge": ReportFormat("a badge", lambda path, cases: BadgeReport(path)),
    "html": ReportFormat("a page", _page),
}
"""Those of this package, by name."""


def report_format(name: str, allow: Sequence[str] | None = None) -> ReportFormat:
    """Return a format by its name.

    Args:
        name: one of ``FORMATS``, or of what other packages add.
        allow: the only modules that those may be imported from; None for any.

    Raises:
        ExtensionError: where there is none of this name, or several, or it cannot be imported.

    """
    added = extensions(REPORTS)
    found = [one for one in added if one.name == name]
    if len(found) + (name in FORMATS) > 1:
        packages = ", ".join((*(["gradaudit"] if name in FORMATS else []), *(one.package for one in found)))
        raise ExtensionError(f"several packages add the report format '{name}': {packages}")
    if name in FORMATS:
        return FORMATS[name]
    if not found:
        known = ", ".join([*FORMATS, *(one.name for one in added)])
        raise ExtensionError(f"there is no report format '{name}'; expected one of {known}")
    if found[0] not in extensions(REPORTS, allow):
        raise ExtensionError(f"the {found[0]} is not allowed: its module is {found[0].module}")
    return found[0].load(ReportFormat)
