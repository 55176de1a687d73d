"""A learning case from beginning to end: its gradients are audited as they are at first, then the model is trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gradaudit.audit.conclusion import LOSS, Audit, concluded
from gradaudit.checks.gradient.cut import left_undecided
from gradaudit.checks.gradient.fold import blank_result
from gradaudit.models.audit import audit_flow
from gradaudit.models.learning.course import Course
from gradaudit.models.learning.judge import judge
from gradaudit.models.learning.lesson import lesson_of
from gradaudit.models.learning.optimise import opened_optimiser
from gradaudit.models.learning.train import Lesson, train
from gradaudit.models.op import ModelOp
from gradaudit.models.words import in_words
from gradaudit.results import Finding, Result, Verdict
from gradaudit.spec.case import Case
from gradaudit.spec.model_targets import LearningTarget
from gradaudit.targets.calls import Calls, LimitReachedError
from gradaudit.targets.generators import seeded
from gradaudit.targets.op import OpError

MAX_CULPRITS = 4
"""Wrong gradients that a disappointing training is told to be due to, one by one."""


def audit_learning(case: Case, op: ModelOp) -> Audit:
    """Audit every gradient of a model on a batch, train it, and return a result for the loss and each parameter."""
    lesson = lesson_of(case, _target(case))
    gradients = audit_flow(case, op)
    if not op.trained:  # which is said; there is nothing to train
        return gradients
    results = [replace(made, input=f"model.{LOSS}") if made.input == LOSS else made for made in gradients.results]
    try:
        op.calls.limit_number(None, 0)  # the spec says how long training is
        course = _trained(case, lesson, op.calls)
    except LimitReachedError as reached:
        trained, findings = left_undecided(blank_result(case, LOSS), reached.limit, "training was"), []
    except OpError as error:
        trained, findings = blank_result(case, LOSS, str(error)), [error.finding] if error.finding else []
    else:
        findings = _news(judge(course, _target(case).expected), results)
        trained = _trained_result(case, course)
        results = [_with_norms(result, course) for result in results]
    findings = _blamed(findings, results)
    return Audit(concluded(case, [trained, *results], tuple(findings)), gradients.check_evaluations)


def _target(case: Case) -> LearningTarget:
    assert isinstance(case.target, LearningTarget)
    return case.target


def _trained(case: Case, lesson: Lesson, calls: Calls) -> Course:
    target = _target(case)
    with seeded(case.seed), in_words("training"):
        step = opened_optimiser(target.optimiser, lesson.tape, lesson.tape.parameters(lesson.model), target.folder)
        return train(lesson, step, epochs=target.epochs, batch_size=target.batch_size, seed=case.seed, calls=calls)


def _trained_result(case: Case, course: Course) -> Result:
    made = blank_result(case, LOSS)
    return replace(
        made, verdict=Verdict.PASS, evaluations=course.forwards, seconds=course.seconds, training=course.measured
    )


def _with_norms(result: Result, course: Course) -> Result:
    name = result.input if result.input in course.parameters else result.input.removeprefix("model.")
    passed = course.parameters.get(name)
    return replace(result, gradient_norms=passed.norms) if passed else result


def _news(findings: Iterable[Finding], results: Sequence[Result]) -> list[Finding]:
    """Return the findings without those that a wrong gradient says already: that there is none."""
    wrong = {result.input for result in results if result.verdict is Verdict.FAIL}
    return [one for one in findings if one.code != "missing-gradient" or one.evidence["array"] not in wrong]


BLAMED = frozenset({"not-learning", "diverged"})
"""What wrong gradients may be the cause of."""


def _blamed(findings: Sequence[Finding], results: Sequence[Result]) -> list[Finding]:
    """Return the findings, the first of a disappointing training with what was found wrong before it, if anything."""
    wrong = sorted((one for one in results if one.verdict is Verdict.FAIL), key=lambda one: not one.findings)
    first = next((finding for finding in findings if finding.code in BLAMED), None)
    if first is None or not wrong:
        return list(findings)
    named = [f"{result.input} ({_cause(result)})" for result in wrong[:MAX_CULPRITS]]
    more = f" and {len(wrong) - MAX_CULPRITS} more" if len(wrong) > MAX_CULPRITS else ""
    message = f"{first.message}; wrong before any training: {', '.join(named)}{more}"
    told = replace(first, message=message, evidence={**first.evidence, "wrong": [one.input for one in wrong]})
    return [told if finding is first else finding for finding in findings]


def _cause(result: Result) -> str:
    codes = [finding.code for finding in sorted(result.findings, key=lambda finding: not finding.fails)]
    return codes[0] if codes else f"{result.wrong} of {result.size} indices seen"
