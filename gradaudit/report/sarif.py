"""The results as SARIF 2.1.0, for code scanning: what did not end as expected, at the backward or else the spec.

The format is OASIS's: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gradaudit.guides import finding_names, finding_page
from gradaudit.report.failures import UNEXPECTED_PASS, UNEXPLAINED, Failure, cause_of, gathered
from gradaudit.report.github import seen_from_workspace
from gradaudit.report.mismatch import block
from gradaudit.report.results_report import ResultsReport
from gradaudit.results import Result, Verdict

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

MAX_ROWS = 5
"""Rows of a mismatch table in a result's text."""

OTHERS = {
    UNEXPLAINED: ("gradient-mismatch", "the gradient is wrong, and no simple cause was found"),
    str(Verdict.FAIL): ("gradient-mismatch", "the gradient is wrong"),
    str(Verdict.ERROR): ("op-error", "the op raised, crashed, hung, or returned no usable gradient"),
    str(Verdict.INCONCLUSIVE): ("inconclusive", "the gradient could not be decided"),
    UNEXPECTED_PASS: ("expected-failure-gone", "a gradient passes that its spec expects to fail"),
}
"""Rules for causes that are no finding: their id, and what they say."""


class SarifReport(ResultsReport):
    """Writes a result for each gradient that did not end as expected."""

    def text(self, results: Sequence[Result], *, interrupted: bool) -> str:
        """Return the log as JSON."""
        return json.dumps(sarif_document(results, interrupted=interrupted), indent=1) + "\n"


def sarif_document(results: Sequence[Result], *, interrupted: bool = False) -> dict[str, Any]:
    """Return the whole log as plain data: one result for those of an op that differ in case and dtype alone."""
    failures = [failure for _, own in groupby(results, key=lambda result: result.op) for failure in gathered(list(own))]
    rules = list(dict.fromkeys(_rule_id(failure) for failure in failures))
    driver = {"name": "gradaudit", "version": version("gradaudit"), "rules": [_rule(rule) for rule in rules]}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "invocations": [{"executionSuccessful": not interrupted}],
                "results": [_result(failure, rules) for failure in failures],
            }
        ],
    }


def _rule_id(failure: Failure) -> str:
    code = cause_of(failure.first).code
    return OTHERS[code][0] if code in OTHERS else code


def _rule(rule: str) -> dict[str, Any]:
    if rule in finding_names():
        page = finding_page(rule)
        said = page.title.removeprefix(f"{rule}: ")
        guide = {"help": {"text": page.text, "markdown": page.text}}
    else:  # or else a finding that another package adds
        said, guide = dict(OTHERS.values()).get(rule, rule.replace("-", " ")), {}
    return {"id": rule, "shortDescription": {"text": said}, **guide}


def _result(failure: Failure, rules: Sequence[str]) -> dict[str, Any]:
    first, rule = failure.first, _rule_id(failure)
    said = "\n".join(block(first, MAX_ROWS, failure.likewise))
    level = "warning" if first.verdict is Verdict.INCONCLUSIVE else "error"
    return {
        "ruleId": rule,
        "ruleIndex": rules.index(rule),
        "level": level,
        "message": {"text": said},
        "locations": list(_locations(first)),
        "partialFingerprints": {"gradient/v1": f"{first.module}/{first.op}/{first.input}/{rule}"},
        "properties": {"op": first.op, "input": first.input, "verdict": str(first.verdict), "cases": failure.ids},
    }


def _locations(result: Result) -> Iterator[dict[str, Any]]:
    """Yield where a result is about: the line of its backward, or else of its case."""
    file, _, line = result.location.rpartition(":")
    place = (result.source.file, result.source.line) if result.source else (file, int(line or 0))
    if place[0]:
        path = Path(seen_from_workspace(place[0]))
        artifact = (
            {"uri": path.as_uri()} if path.is_absolute() else {"uri": quote(path.as_posix()), "uriBaseId": "%SRCROOT%"}
        )
        yield {"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": max(place[1], 1)}}}
