"""The results as JUnit XML, for the test views of CI systems."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from gradaudit.report.mismatch import case_blocks
from gradaudit.report.results_report import ResultsReport
from gradaudit.results import Result, Verdict

MAX_ROWS = 20
"""Rows of a mismatch table in a test's text."""

FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold, not even escaped."""


class JunitReport(ResultsReport):
    """Writes one test for each result, in a suite for each module."""

    def text(self, results: Sequence[Result], *, interrupted: bool) -> str:
        """Return the XML; that a run was interrupted cannot be said in it."""
        return junit_xml(results)


def junit_xml(results: Sequence[Result]) -> str:
    """Return the XML text: unexpected errors are errors, whatever else was not expected is a failure."""
    root = ElementTree.Element("testsuites", name="gradaudit")
    modules = dict.fromkeys(result.module for result in results)
    for module in modules:
        within = [result for result in results if result.module == module]
        suite = ElementTree.SubElement(root, "testsuite", name=_held(module))
        for result in within:
            suite.append(_test(result))
        _count(suite, within)
    _count(root, results)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _test(result: Result) -> ElementTree.Element:
    test = ElementTree.Element(
        "testcase",
        classname=_held(f"{result.module}.{result.op}"),
        name=_held(f"{result.case}[{result.dtype}-{result.input}]"),
        time=f"{result.seconds:.6f}",
    )
    if result.source:
        test.set("file", _held(result.source.file))
        test.set("line", str(result.source.line))
    if not result.expected:
        kind = "error" if result.verdict is Verdict.ERROR else "failure"
        message = _held((result.message or str(result.verdict)).splitlines()[0])
        trouble = ElementTree.SubElement(test, kind, type=str(result.verdict), message=message)
        lines = [line for block in case_blocks([result], MAX_ROWS) for line in block]
        trouble.text = _held("\n".join(lines))
    return test


def _held(text: str) -> str:
    """Return the text with a mark in the place of what XML cannot hold."""
    return FORBIDDEN.sub("\ufffd", text)


def _count(element: ElementTree.Element, results: Sequence[Result]) -> None:
    unexpected = [result for result in results if not result.expected]
    errors = sum(result.verdict is Verdict.ERROR for result in unexpected)
    element.set("tests", str(len(results)))
    element.set("failures", str(len(unexpected) - errors))
    element.set("errors", str(errors))
    element.set("time", f"{sum(result.seconds for result in results):.6f}")
