"""From a failed gradient to the findings that name its likely cause."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.gradient.comparison import Comparison
from gradaudit.checks.gradient.ground import widened
from gradaudit.checks.subject import Snapshot, Subject
from gradaudit.diagnosis import Evidence, diagnose
from gradaudit.results import FAILING_CODES, Finding, Result, Verdict
from gradaudit.targets.op import OpError

Array = NDArray[Any]
Gradients = Mapping[str, Array | None]

OF_CALLS = frozenset({"captured-state", "accumulated"})
"""Causes that make a later call's answer right: what looked like a loss of precision in the first was none."""

RANDOM = frozenset({"stochastic-forward", "stochastic-backward"})
"""Findings beside which a mismatch has no cause to look for: it is another one at every call."""


def with_likely_causes(
    subject: Subject, results: list[Result], comparisons: Mapping[str, Comparison], known: Collection[str]
) -> tuple[list[Result], int]:
    """Add to the results of wrong gradients what their mismatches look like.

    Where any is wrong, forward and backward are called once more, and again with twice the upstream.

    Args:
        subject: the op, fed and called once.
        results: what the audit of the gradient found.
        comparisons: what each gradient was compared with, by input.
        known: codes of the findings that checks have made already; they are not made again.

    Returns:
        The results, and the forwards that it took.

    """
    wrong = [result.input for result in results if result.verdict is Verdict.FAIL and result.input in comparisons]
    if not wrong or RANDOM & set(known):
        return results, 0
    again, doubled = _answer(subject, 1), _answer(subject, 2)
    right = {result.input for result in results if result.verdict is Verdict.PASS}
    found = {}
    for result in results:
        if result.input in wrong:
            evidence = _evidence(subject, result, comparisons[result.input])
            evidence = replace(
                evidence,
                again=_usable(again, evidence),
                doubled=_usable(doubled, evidence),
                wrong_inputs=tuple(name for name in wrong if name != result.input),
                right_inputs=tuple(sorted(right)),
            )
            faults = FAILING_CODES & {*known, *(finding.code for finding in result.findings)}
            found[result.input] = [cause for cause in diagnose(evidence) if _adds_to(cause, known, faults)]
    return [_with_causes(result, found.get(result.input, [])) for result in results], 2


def _adds_to(cause: Finding, known: Collection[str], faults: Collection[str]) -> bool:
    """Whether a cause says more than is known: a list of indices does not where a fault has been found already."""
    return cause.code not in known and not (faults and "indices" in cause.evidence)


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
        analytical=widened(gradient),
        places=comparison.places,
        numerical=comparison.numerical,
        bounds=comparison.bounds,
        rtol=result.rtol,
        atol=result.atol,
        inputs={name: widened(array) for name, array in subject.inputs.items()},
        upstream=tuple(widened(array) for array in subject.upstream),
        outputs=tuple(widened(subject.outputs[k]) for k in subject.counted),
        params=subject.case.params,
        complete=comparison.complete,
    )


def _answer(subject: Subject, times: int) -> Gradients:
    """Return what backward answers for a multiple of the upstream, forward just called; nothing where it fails."""
    before = Snapshot.of({**subject.inputs, **{str(k): part for k, part in enumerate(subject.upstream)}})
    upstream = tuple((times * part).astype(part.dtype) for part in subject.upstream)
    try:
        outputs = subject.op.forward(subject.inputs)
        answer = subject.op.backward(upstream, subject.inputs, outputs)
        return {name: None if made is None else np.array(made) for name, made in answer.items()}
    except OpError:
        return {}
    finally:
        before.restore()


def _usable(answer: Gradients, evidence: Evidence) -> Array | None:
    """Return an answer for the input in double precision, None where it is not of its shape."""
    made = answer.get(evidence.name)
    return None if made is None or made.shape != evidence.analytical.shape else widened(made)
