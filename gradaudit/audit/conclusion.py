"""How a case ended: its results, with what its findings and its spec's expectations make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gradaudit.checks.gradient.cut import is_of_checks, left_undecided
from gradaudit.checks.gradient.fold import blank_result
from gradaudit.results import Draw, Finding, Result, Trace, Verdict, worst
from gradaudit.spec.case import Case, Expectation
from gradaudit.targets.calls import Limit
from gradaudit.targets.op import shortened


@dataclass(frozen=True)
class Audit:
    """The results of a case, one for each differentiable input, and the forwards that other checks took.

    ``trace`` is what it executed, where that was noted; ``shapes`` are those of the inputs, where the op could be
    called. ``unconcluded`` are, of a part of a case, the findings about the whole of it; its results are concluded with
    those of the other parts.
    """

    results: tuple[Result, ...]
    check_evaluations: int = 0
    trace: Trace = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    unconcluded: tuple[Finding, ...] = ()


def passes(outcome: object) -> bool:
    """Whether a case passes: it may be accused only in a process that has seen no other op."""
    return isinstance(outcome, Audit) and all(result.verdict is Verdict.PASS for result in outcome.results)


LOSS = "loss"
"""What the result of a model is about that is none of a parameter: where these are not known, and of its training."""


def failed_audit(case: Case, message: str, findings: tuple[Finding, ...] = ()) -> Audit:
    """Return the audit of a case that could not be carried out."""
    names = case.audited or (LOSS,)
    results = [replace(blank_result(case, name, message), findings=findings) for name in names]
    return conclusion(case, results, ())


def conclusion(case: Case, results: list[Result], findings: tuple[Finding, ...]) -> Audit:
    """Return the audit of a case or of a part of it, with its findings about the whole."""
    if case.part is not None:
        return Audit(tuple(results), unconcluded=findings)
    return Audit(concluded(case, results, findings))


def joined(case: Case, parts: Sequence[Audit]) -> Audit:
    """Return the audit of a case from those of its parts; its calls are those of all of them."""
    results = [result for part in parts for result in part.results]
    forwards = sum(part.results[0].forwards for part in parts)
    backwards = sum(part.results[0].backwards for part in parts)
    results = [replace(result, forwards=forwards, backwards=backwards) for result in results]
    files = {file for part in parts for file in part.trace}
    return Audit(
        concluded(case, results, tuple(finding for part in parts for finding in part.unconcluded)),
        sum(part.check_evaluations for part in parts),
        {file: frozenset().union(*(part.trace.get(file, ()) for part in parts)) for file in files},
        {name: shape for part in parts for name, shape in part.shapes.items()},
    )


def with_draw(others: Audit | None, seed: int, audit: Audit) -> Audit:
    """Return the audit of a case with several seeds, from those with some of them and that with one more.

    The result of a gradient is that of the first seed that ended worst. Calls and seconds are those of all.

    Args:
        others: the audit with the other seeds; None for none.
        seed: the one more.
        audit: the audit with it.

    """
    own = {made.input: replace(made, draws=(_draw_of(seed, made),)) for made in audit.results}
    if others is None:
        return replace(audit, results=tuple(own.values()))
    known = {made.input: made for made in others.results}
    forwards, backwards = (
        getattr(audit.results[0], kind) + getattr(others.results[0], kind) for kind in ("forwards", "backwards")
    )
    results = [_worse(known.get(name), own.get(name)) for name in {**known, **own}]
    files = {*audit.trace, *others.trace}
    return Audit(
        tuple(
            replace(result, forwards=forwards, backwards=backwards)
            for result in sorted(results, key=lambda result: result.draws[0].seed)
        ),
        others.check_evaluations + audit.check_evaluations,
        {file: audit.trace.get(file, frozenset()) | others.trace.get(file, frozenset()) for file in files},
        {**audit.shapes, **others.shapes},
    )


def _draw_of(seed: int, result: Result) -> Draw:
    codes = tuple(finding.code for finding in result.findings)
    return Draw(seed, result.verdict, result.expected, result.wrong, codes)


def _worse(one: Result | None, other: Result | None) -> Result:
    """Return the worse of the results of a gradient with different seeds; one that there is where there are not two."""
    if one is None or other is None:
        found = one or other
        assert found is not None
        return found
    draws = tuple(sorted((*one.draws, *other.draws), key=lambda draw: draw.seed))
    shown = min((one, other), key=lambda result: (result.expected, -result.verdict.severity, result.seed))
    return replace(
        shown, draws=draws, evaluations=one.evaluations + other.evaluations, seconds=one.seconds + other.seconds
    )


def undecided_audit(case: Case, limit: Limit) -> Audit:
    """Return the audit of a case that reached a limit before anything was known of its gradients."""
    names = case.audited or (LOSS,)
    return conclusion(case, [left_undecided(blank_result(case, name), limit) for name in names], ())


def concluded(case: Case, results: list[Result], findings: tuple[Finding, ...]) -> tuple[Result, ...]:
    """Attach the case's findings, let those that fail a case fail it, and compare the end with what was expected."""
    for finding in {(finding.code, finding.message): finding for finding in findings}.values():
        about = finding.evidence.get("array")
        place = next((k for k, result in enumerate(results) if result.input == about), 0)
        results[place] = _with_finding(results[place], finding)
    if any(finding.code == "stochastic-forward" and finding.evidence.get("drawn_anew") for finding in findings):
        results = [_without_differences(result) for result in results]
    results = [_failed_by_findings(_doubted(_without_superseded(result))) for result in results]
    unmet = _unmet_expectation(case.expect, results)
    return tuple(_compared(_shortened(result), case.expect, unmet) for result in results)


MOST_TOLD = 10_000
"""Characters of a message that are kept: with what any format escapes, less than 64 KiB in every file."""


def _shortened(result: Result) -> Result:
    """Return a result whose texts have an end, whatever the op put into them."""
    if max(map(len, (result.message, *(made.message for made in result.findings)))) <= MOST_TOLD:
        return result
    findings = tuple(replace(made, message=shortened(made.message, MOST_TOLD)) for made in result.findings)
    return replace(result, message=shortened(result.message, MOST_TOLD), findings=findings)


SUPERSEDED = {
    "broadcast-not-reduced": {"shape-mismatch"},
    "stochastic-forward": {
        "forward-dtype",
        "out-of-domain",
        "kink",
        "discontinuity",
        "noise-dominated",
        "precision-loss",
    },
    "stochastic-backward": {"precision-loss"},
    "unwritten-memory": {"wrong-subset", "forward-dtype", "noise-dominated", "precision-loss"},
    "accumulated": {"precision-loss"},
    "degenerate-upstream": {"noise-dominated"},
    "tolerance-too-tight": {"precision-loss"},
}
"""Findings that explain others, which would lead astray beside them."""


def _with_finding(result: Result, finding: Finding) -> Result:
    return replace(result, findings=(*result.findings, finding))


def _without_superseded(result: Result) -> Result:
    """Return a result without the findings that others of it explain; a message of theirs is that of the other then."""
    for finding in result.findings:
        old = [known for known in result.findings if known.code in SUPERSEDED.get(finding.code, ())]
        message = finding.message if any(result.message == known.message for known in old) else result.message
        result = replace(result, message=message, findings=tuple(f for f in result.findings if f not in old))
    return result


def _without_differences(result: Result) -> Result:
    """Return a result of differences between random numbers as what it is: undecided, with no index to show."""
    if result.verdict not in (Verdict.FAIL, Verdict.INCONCLUSIVE):
        return result
    message = "forward draws new random numbers at each call: there is no numerical gradient to compare with"
    return replace(result, verdict=Verdict.INCONCLUSIVE, wrong=0, mismatches=(), message=message)


def _doubted(result: Result) -> Result:
    """Return a pass that means nothing as what it is, undecided, and say why."""
    doubts = [finding for finding in result.findings if finding.code == "degenerate-upstream"]
    unmade = [finding for finding in result.findings if is_of_checks(finding)]
    doubts += unmade if result.verdict is Verdict.PASS else []
    if not doubts or result.verdict not in (Verdict.PASS, Verdict.INCONCLUSIVE):
        return result
    return replace(result, verdict=Verdict.INCONCLUSIVE, message=doubts[0].message)


def _failed_by_findings(result: Result) -> Result:
    """Return a result that a finding fails; indices that are only undecided are not the reason, and not listed."""
    failing = [finding for finding in result.findings if finding.fails]
    if not failing or result.verdict.severity >= Verdict.FAIL.severity:
        return result
    return replace(result, verdict=Verdict.FAIL, message=failing[0].message, mismatches=())


def _unmet_expectation(expect: Expectation, results: list[Result]) -> str:
    """Return in words what a case as a whole was expected to show and did not."""
    seen = {finding.code for result in results for finding in result.findings}
    if missing := [code for code in expect.findings if code not in seen]:
        return f"the spec expects the finding {', '.join(missing)}, but the audit did not make it"
    if missing := [name for name in expect.inputs if name not in {result.input for result in results}]:
        return f"the spec has an expectation for the gradient of {', '.join(missing)}, but there is none"
    verdict = worst([result.verdict for result in results])
    if expect.verdict == "fail" and not expect.inputs and verdict is not Verdict.FAIL:
        return f"the spec expects this case to fail, but it ended with {verdict}"
    return ""


def _compared(result: Result, expect: Expectation, unmet: str) -> Result:
    by_input = expect.inputs.get(result.input, "pass") if expect.inputs else None
    if by_input == "fail" and result.verdict is not Verdict.FAIL and not unmet:
        unmet = f"the spec expects this gradient to fail, but it ended with {result.verdict}"
    if unmet:
        said = f"{result.message}; {unmet}" if result.message else unmet
        return replace(result, expected=False, message=said)
    expected = (by_input or expect.verdict) == "fail" or result.verdict is Verdict.PASS
    return result if result.expected is expected else replace(result, expected=expected)
