"""One case from beginning to end: open the op, call it, run every check, and say how it ended."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gradaudit.checks.gradient import blank_result, check_gradient
from gradaudit.checks.subject import examine
from gradaudit.results import Finding, Result, Verdict, worst
from gradaudit.spec.case import Case
from gradaudit.spec.draw import UndrawableError
from gradaudit.targets import open_op
from gradaudit.targets.op import OpError


@dataclass(frozen=True)
class Audit:
    """The results of a case, one for each differentiable input, and the forwards that other checks took."""

    results: tuple[Result, ...]
    check_evaluations: int = 0


def audit_case(case: Case) -> Audit:
    """Audit one case in this process; whatever its op does short of killing the process becomes a verdict."""
    with np.errstate(all="ignore"):  # values outside the domain are looked for, not warned about
        try:
            subject = examine(case, open_op(case))
            results, findings = check_gradient(subject)
        except (OpError, UndrawableError, MemoryError) as error:
            finding = error.finding if isinstance(error, OpError) else None
            said = str(error) or "the audit ran out of memory"
            return failed_audit(case, said, (finding,) if finding else ())
    return Audit(concluded(case, results, (*subject.findings, *findings)), subject.evaluations)


def failed_audit(case: Case, message: str, findings: tuple[Finding, ...] = ()) -> Audit:
    """Return the audit of a case that could not be carried out."""
    names = [made.name for made in case.inputs if made.differentiable]
    results = [replace(blank_result(case, name, message), findings=findings) for name in names]
    return Audit(concluded(case, results, ()))


def concluded(case: Case, results: list[Result], findings: tuple[Finding, ...]) -> tuple[Result, ...]:
    """Attach the case's findings, let those that fail a case fail it, and compare the end with what was expected."""
    for finding in findings:
        about = finding.evidence.get("array")
        place = next((k for k, result in enumerate(results) if result.input == about), 0)
        results[place] = replace(results[place], findings=(*results[place].findings, finding))
    results = [_failed_by_findings(result) for result in results]
    seen = {finding.code for result in results for finding in result.findings}
    verdict = worst([result.verdict for result in results])
    expected = verdict == case.expect.verdict and seen.issuperset(case.expect.findings)
    return tuple(replace(result, expected=expected) for result in results)


def _failed_by_findings(result: Result) -> Result:
    failing = [finding for finding in result.findings if finding.fails]
    if not failing or result.verdict.severity >= Verdict.FAIL.severity:
        return result
    return replace(result, verdict=Verdict.FAIL, message=failing[0].message)
