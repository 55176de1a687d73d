"""From a failed gradient to the findings that name its likely cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.audit.elsewhere import From, Points
from gradaudit.checks.gradient.comparison import Comparison, compared
from gradaudit.checks.gradient.evaluation_point import EvaluationPoint, widened
from gradaudit.checks.gradient.seen import Seen
from gradaudit.checks.subject import Snapshot, Subject
from gradaudit.diagnosis import Evidence, likely_causes
from gradaudit.diagnosis.cause import Cause, SpentError, confirmed
from gradaudit.diagnosis.columns import PLACES, from_columns
from gradaudit.numerics.arrays import cast, dtype_name, namespace, on_host
from gradaudit.results import Finding, Result, Verdict
from gradaudit.spec.draw import laid_out
from gradaudit.spec.dtypes import spacing
from gradaudit.targets.calls import LimitReachedError
from gradaudit.targets.op import OpError, raised

Array = NDArray[Any]
Gradients = Mapping[str, Array | None]

FOR_COLUMNS = 2 * PLACES + 4
"""Forwards that are left for the part of the upstream: two for each place, and four to ask another point.
At most a third of what a gradient has."""

VAGUE = "stochastic-backward"
"""The finding that a cause in ``OF_CALLS`` explains, where nothing is drawn at random."""

OF_CALLS = frozenset({"captured-state", "accumulated"})
"""Causes that make a later call's answer right: what looked like a loss of precision in the first was none."""


def with_likely_causes(
    subject: Subject,
    results: list[Result],
    point: EvaluationPoint,
    seen: Mapping[str, Seen],
    known: Sequence[Finding],
    *,
    here_only: bool = False,
) -> list[Result]:
    """Add to the results of wrong gradients what their mismatches look like.

    Where any is wrong, forward and backward are called once more, and again with twice the upstream; then at other
    points, where what is said has to hold as well. Where calls or time run out, nothing is added; whatever else the
    search comes upon, the verdicts stand.

    Args:
        subject: the op, fed and called once.
        results: what the audit of the gradient found.
        point: where its forward was differenced.
        seen: what was seen of each gradient, by input.
        known: the findings that checks have made.
        here_only: whether forward is the function of backward at this point alone.

    Returns:
        The results.

    Raises:
        LimitReachedError: where calls or time run out.

    """
    wrong = [result.input for result in results if result.verdict is Verdict.FAIL and result.input in seen]
    if not wrong or any(finding.evidence.get("drawn_anew") for finding in known):  # it is another one at every call
        return results
    try:
        found = _causes_by_input(subject, results, wrong, point, seen, known, here_only=here_only)
    except LimitReachedError:
        raise
    except Exception as error:  # an op's process that ends, or a fault of ours
        said = f"its cause is not known: {raised('the search for it', error)}"
        return [replace(made, message=f"{made.message}; {said}") if made.input in wrong else made for made in results]
    return [_with_causes(result, found.get(result.input, [])) for result in results]


def _causes_by_input(
    subject: Subject,
    results: list[Result],
    wrong: Sequence[str],
    point: EvaluationPoint,
    seen: Mapping[str, Seen],
    known: Sequence[Finding],
    *,
    here_only: bool,
) -> dict[str, list[Finding]]:
    """Return the likely causes of each wrong gradient."""
    # Checks tell what is wrong with calls better than numbers can, but for why an answer depends on those before.
    told = any(finding.fails and finding.code != VAGUE for finding in known)
    again, conjugated = _answer(subject, 1), _conjugated(subject)
    doubled = _answer(subject, 2) if subject.case.takes_upstream else {}  # else it is no wonder that nothing changes
    right = {result.input for result in results if result.verdict is Verdict.PASS}
    found: dict[str, list[Finding]] = {}
    points = Points(subject, double=spacing(point.dtype) <= spacing("float64"), here_only=here_only)
    for result in results:
        if result.input in wrong:
            points.kept = points.forwards * (len(wrong) - len(found) - 1) // (len(wrong) - len(found))
            evidence = _evidence(subject, result, compared(seen[result.input]))
            evidence = replace(
                evidence,
                again=_usable(again, evidence),
                doubled=_usable(doubled, evidence),
                conjugated=_usable(conjugated, evidence),
                wrong_inputs=tuple(name for name in wrong if name != result.input),
                right_inputs=tuple(sorted(right)),
            )
            at_fault = told or any(finding.fails for finding in result.findings)
            # Where an approximation is least close, its own error is: no place that backward treats in another way.
            approximate = any(finding.code == "approximate-forward" for finding in result.findings)
            found[result.input] = [
                cause
                for cause in (made.finding for made in causes_of(subject, evidence, points))
                if not (told and cause.fails)
                and not (at_fault and "indices" in cause.evidence)  # a list says no more
                and not (approximate and cause.code == "wrong-subset")
            ]
    return found


def causes_of(subject: Subject, evidence: Evidence, points: Points) -> list[Cause]:
    """Return likely causes, with the part of the upstream that a gradient is made of where none says all."""
    there = From(points, evidence.name)
    reserve = min(FOR_COLUMNS, (points.forwards - points.kept) // 3)
    points.kept += reserve
    causes = likely_causes(evidence, there)
    points.kept -= reserve
    whole = any(cause.explained == 1.0 and cause.finding.code != "wrong-subset" for cause in causes)
    if whole:
        return causes
    with suppress(SpentError):
        for part in from_columns(evidence, _Forward(subject, points)):
            if (held := confirmed(part, there)) is not None:
                others = (cause for cause in causes if cause.finding.code not in ("wrong-subset", "missing-term"))
                return [held, *others]
    return causes


class _Forward:
    """Forward at other inputs, in double precision; it gives nothing where it raises."""

    def __init__(self, subject: Subject, points: Points) -> None:
        self._subject = subject
        self._points = points
        self._layouts = {made.name: made.layout for made in subject.case.inputs}

    def __call__(self, inputs: Mapping[str, Array]) -> Sequence[Array]:
        self._points.spend()
        try:
            outputs = self._subject.op.forward({name: laid_out(x, self._layouts[name]) for name, x in inputs.items()})
        except OpError:
            return ()
        return [widened(on_host(outputs[k])) for k in self._subject.counted]


def _conjugated(subject: Subject) -> Gradients:
    """Return the conjugate of what backward answers for the conjugate of the upstream; nothing where all is real."""
    if not any(np.iscomplexobj(on_host(part)) for part in subject.upstream):
        return {}
    found = _answer(subject, 1, conjugated=True)
    return {name: None if made is None else np.conj(made) for name, made in found.items()}


def unexplained(findings: Sequence[Finding], results: Sequence[Result]) -> tuple[Finding, ...]:
    """Return the findings of checks without those that a likely cause says more precisely."""
    causes = {finding.code for result in results for finding in result.findings}
    return tuple(finding for finding in findings if not (finding.code == VAGUE and OF_CALLS & causes))


def _with_causes(result: Result, causes: list[Finding]) -> Result:
    others = result.findings
    if OF_CALLS & {cause.code for cause in causes}:
        others = tuple(finding for finding in others if finding.code != "precision-loss")
    return replace(result, findings=(*others, *causes))


def _evidence(subject: Subject, result: Result, comparison: Comparison) -> Evidence:
    gradient = subject.gradients[result.input]
    assert gradient is not None
    return Evidence(
        name=result.input,
        analytical=widened(on_host(gradient)),
        places=comparison.places,
        numerical=comparison.numerical,
        bounds=comparison.bounds,
        rtol=result.rtol,
        atol=result.atol,
        inputs={name: widened(on_host(array)) for name, array in subject.inputs.items()},
        upstream=tuple(widened(on_host(array)) for array in subject.upstream),
        outputs=tuple(widened(on_host(subject.outputs[k])) for k in subject.counted),
        params=subject.case.params,
        complete=comparison.complete,
    )


def _answer(subject: Subject, times: int, *, conjugated: bool = False) -> Gradients:
    """Return what backward answers for a multiple of the upstream, forward just called; nothing where it fails."""
    before = Snapshot.of({**subject.inputs, **{str(k): part for k, part in enumerate(subject.upstream)}})
    given = [namespace(part).conj(part) for part in subject.upstream] if conjugated else subject.upstream
    upstream = tuple(cast(times * part, dtype_name(part.dtype)) for part in given)
    try:
        outputs = subject.op.forward(subject.inputs)
        answer = subject.op.backward(upstream, subject.inputs, outputs)
        return {name: None if made is None else np.array(on_host(made)) for name, made in answer.items()}
    except OpError:
        return {}
    finally:
        before.restore(before.changed())


def _usable(answer: Gradients, evidence: Evidence) -> Array | None:
    """Return an answer for the input in double precision, None where it is not of its shape."""
    made = answer.get(evidence.name)
    return None if made is None or made.shape != evidence.analytical.shape else widened(made)
