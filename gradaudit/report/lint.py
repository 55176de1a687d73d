"""What static rules found: for the terminal, as JSON, and as annotations for GitHub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from gradaudit.lint.run import Report
from gradaudit.lint.violation import Violation
from gradaudit.report import numbers
from gradaudit.report.github import annotation
from gradaudit.report.visible import visible

SCHEMA = 1
"""The version of the JSON document."""


def text_lines(report: Report) -> Iterator[str]:
    """Yield a line for each violation, one for its fix, and a summary."""
    for violation in report.violations:
        place = f"{violation.file.as_posix()}:{violation.line}:{violation.column}"
        yield visible(f"{place}: {violation.rule}: {violation.why}")
        if violation.fix:
            yield visible(f"  fix: {violation.fix}")
    yield summary(report)


def summary(report: Report) -> str:
    """Return how many violations there are of which rules, in how many files."""
    files = numbers.counted(report.files, "file")
    if not report.violations:
        return f"no violations in {files}"
    by_rule = Counter(violation.rule for violation in report.violations)
    parts = ", ".join(f"{count} {rule}" for rule, count in sorted(by_rule.items()))
    return f"{numbers.counted(len(report.violations), 'violation')} in {files}: {parts}"


def document(report: Report) -> dict[str, Any]:
    """Return the JSON document."""
    return {
        "schema": SCHEMA,
        "summary": {"files": report.files, "violations": len(report.violations)},
        "violations": [_entry(violation) for violation in report.violations],
    }


def _entry(violation: Violation) -> dict[str, Any]:
    return {
        "file": violation.file.as_posix(),
        "line": violation.line,
        "column": violation.column,
        "rule": violation.rule,
        "why": violation.why,
        "fix": violation.fix,
    }


def github_lines(report: Report) -> Iterator[str]:
    """Yield an annotation for each violation."""
    for violation in report.violations:
        places = {"line": str(violation.line), "col": str(violation.column), "title": violation.rule}
        message = f"{violation.why}\nfix: {violation.fix}" if violation.fix else violation.why
        yield annotation("error", message, file=str(violation.file), **places)
