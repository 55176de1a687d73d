"""A model from beginning to end: whether gradients flow to all that they should reach, and whether they are right."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.audit.conclusion import Audit, concluded, failed_audit, undecided_audit
from gradaudit.audit.likely_causes import unexplained, with_likely_causes
from gradaudit.checks.broadcast import broadcast_not_reduced
from gradaudit.checks.determinism import stochastic_forward
from gradaudit.checks.gradient import check_gradient
from gradaudit.checks.gradient.cut import left_undecided, unmade
from gradaudit.checks.gradient.fold import blank_result
from gradaudit.checks.probe import Probe
from gradaudit.checks.subject import Subject
from gradaudit.models.checks.accumulation import accumulation
from gradaudit.models.checks.attachment import detached_output, said_of, wrong_backward
from gradaudit.models.checks.magnitude import magnitudes
from gradaudit.models.checks.overwriting import overwriting_steps
from gradaudit.models.checks.reach import unreached_parameter, unregistered_parameters, withheld_gradient
from gradaudit.models.checks.stopped import hold_stopped, stopped_parameters
from gradaudit.models.checks.unused import unused_parameters
from gradaudit.models.checks.zero import by_right, negligible, zero_gradients
from gradaudit.models.culprit import Culprits
from gradaudit.models.narrowed import narrowed
from gradaudit.models.op import ModelOp
from gradaudit.models.root import missed, root_test
from gradaudit.models.subject import FlowSubject, examine_flow
from gradaudit.models.words import tape_in_words
from gradaudit.numerics.magnitude import rms
from gradaudit.numerics.margins import MAX_TABLE
from gradaudit.results import LIMIT_REACHED, Finding, Result, Verdict
from gradaudit.spec.case import Case
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES
from gradaudit.targets.calls import DEFAULT_BUDGET, LimitReachedError, budget_of
from gradaudit.targets.counted import counting
from gradaudit.targets.op import OpError
from gradaudit.targets.parameters import completed

Array = NDArray[Any]


SEARCHING = 480
"""Calls that looking for the wrong indices of a parameter takes at most, where nobody asks for a budget: a search that
finds a few takes half of them. What is seen to be wrong by then is wrong, wherever it is."""

MOST_SEARCHED = 6
"""Parameters for which they are given; more wrong ones share them."""

ROOT_TESTS = 600
"""Calls that all takes at most that comes before: gradients along directions, and what contradicts them halved."""

EXPLAINING = 240
"""The same for saying what makes gradients wrong: where they are lost, and by which steps."""

MEANINGLESS = frozenset({"degenerate-upstream", "tolerance-too-loose"})
"""Findings that say nothing of a model: its upstream is 1, and one tolerance serves parameters of all magnitudes."""


VANISHED = 0.01
"""Share of the largest gradient in a model below which one has all but vanished: its indices are not searched, which
takes thousands of runs where all of them together are decided by none."""


def audit_flow(case: Case, op: ModelOp) -> Audit:
    """Audit a model: one result for each parameter and differentiable input, and for each that is not registered.

    Raises:
        OpError: where its tape cannot be read, so that its parameters are not known.

    """
    with tape_in_words():
        case = completed(case, op)
    try:
        with tape_in_words():
            return _audited(case, op)
    except LimitReachedError as reached:
        return undecided_audit(case, reached.limit)
    except OpError as error:
        return failed_audit(case, str(error), (error.finding,) if error.finding else ())


def _audited(case: Case, op: ModelOp) -> Audit:
    started = time.perf_counter()
    subject = examine_flow(case, op)
    _limit(subject, ROOT_TESTS)
    hold_stopped(subject)
    results = {name: _blank(case, name) for name in subject.names}
    noticed = list(wrong_backward(subject, getattr(case.target, "backward", "")))
    numbers: list[Finding] = []
    if detached := list(detached_output(subject)):
        noticed += detached
        results = {name: _lost(result, said_of(subject, name)) for name, result in results.items()}
        stages = {"causes": lambda made: _with_steps_behind(subject, made, [*made])}
    else:
        added = _added(subject)
        lost = _lost_ones(subject)
        results |= {name: _lost(results[name], finding.message, finding) for name, finding in lost.items()}
        excused = {**unused_parameters(subject, [*lost]), **stopped_parameters(subject, [*lost])}
        results |= {name: _excused(case, name, *why) for name, why in excused.items()}
        left = [name for name in subject.names if name not in lost]
        audited, numbers = _audited_numbers(subject, left)
        results |= audited
        unexcused = [name for name in lost if name not in excused]
        stages = {
            "causes": lambda made: _with_steps_behind(subject, made, unexcused),
            "dtypes": lambda made: {name: narrowed(subject, result) for name, result in made.items()},
            "flow": lambda made: _with_flow(subject, made, left, added),
        }
    results, left_out = _as_far_as_calls_last(results, stages)
    unregistered = [_unregistered(case, *found) for found in unregistered_parameters(subject)]
    ended = _timed([*results.values(), *unregistered], case.dtype, time.perf_counter() - started)
    checking = op.calls.forwards - sum(result.evaluations for result in ended)
    return Audit(concluded(case, ended, (*noticed, *numbers, *left_out)), checking)


def _limit(subject: FlowSubject, calls: int) -> None:
    """Let there be so many more calls where no budget was given and no whole table was asked for; else what was."""
    case = subject.case
    if case.budget is None and budget_of(case) is not None:
        subject.op.calls.limit_further(calls)
    else:
        subject.op.calls.limit_number(budget_of(case), len(subject.names))


def _as_far_as_calls_last(
    results: dict[str, Result], stages: Mapping[str, Callable[[dict[str, Result]], dict[str, Result]]]
) -> tuple[dict[str, Result], list[Finding]]:
    """Add what one stage after the other finds; where calls or time run out, say which are left out."""
    for position, stage in enumerate(stages.values()):
        try:
            results = stage(results)
        except LimitReachedError as reached:
            return results, [unmade(reached.limit, [*stages][position:])]
    return results, []


def _lost_ones(subject: FlowSubject) -> dict[str, Finding]:
    found = {name: unreached_parameter(subject, name) or withheld_gradient(subject, name) for name in subject.names}
    return {name: finding for name, finding in found.items() if finding is not None}


def _blank(case: Case, name: str) -> Result:
    tolerance = case.tolerance or DEFAULT_TOLERANCES[case.dtype]
    return replace(blank_result(case, name), rtol=tolerance.rtol, atol=tolerance.atol)


def _lost(result: Result, message: str, *findings: Finding) -> Result:
    """Return the result of a parameter without a gradient: all of it is wrong."""
    return replace(
        result,
        verdict=Verdict.FAIL,
        checked=result.size,
        wrong=result.size,
        message=message,
        findings=findings,
    )


def _excused(case: Case, name: str, verdict: Verdict, finding: Finding) -> Result:
    """Return the result of a parameter that gets no gradient, where that may be right."""
    blank = _blank(case, name)
    return replace(blank, verdict=verdict, checked=blank.size, message=finding.message, findings=(finding,))


def _unregistered(case: Case, path: str, size: int, finding: Finding) -> Result:
    named = replace(_blank(case, path), size=size)
    return replace(named, verdict=Verdict.FAIL, message=finding.message, findings=(finding,))


def _audited_numbers(subject: FlowSubject, names: Sequence[str]) -> tuple[dict[str, Result], list[Finding]]:
    """Hold gradients against differences of the loss: all at once in a few runs, then those that are in question."""
    zero = negligible(subject, names)
    made, left, contradicted = _by_root_test(subject, names, zero)
    findings: list[Finding] = []
    if left:
        size = sum(_size(subject.case, name) for name in left)
        calls = SEARCHING * min(len(left), MOST_SEARCHED) if size > MAX_TABLE else DEFAULT_BUDGET
        _limit(subject, calls)
        try:
            searched, findings = _searched(subject, left, {name: zero[name] for name in left if name in zero})
        except LimitReachedError as reached:
            searched = {name: left_undecided(_blank(subject.case, name), reached.limit) for name in left}
        made |= _not_located(searched, contradicted)
        _limit(subject, EXPLAINING)
    return _with_culprits(subject, made), findings


def _not_located(results: Mapping[str, Result], contradicted: Mapping[str, Sequence[str]]) -> dict[str, Result]:
    """Return the results of gradients with those failed that directions contradict, and a search tells nothing of."""
    made = dict(results)
    for name, group in contradicted.items():
        others = [results[other].verdict for other in group if other in results]
        left_open = any(finding.code == LIMIT_REACHED for finding in results[name].findings)
        if Verdict.FAIL in others or not (left_open or results[name].verdict is Verdict.PASS):
            continue
        said = "differences of the model contradict it along random directions, by as much at every step"
        if len(group) > 1:
            said = f"differences of the model contradict it or another of the {len(group)} parameters moved with it"
        more = "; not located in the budget" if left_open else "; where it is wrong was not found"
        kept = tuple(finding for finding in results[name].findings if finding.code not in ("vanishing", LIMIT_REACHED))
        made[name] = replace(results[name], verdict=Verdict.FAIL, message=said + more, findings=kept)
    return made


def _by_root_test(
    subject: FlowSubject, names: Sequence[str], zero: Mapping[str, float]
) -> tuple[dict[str, Result], list[str], dict[str, tuple[str, ...]]]:
    """Return the results of those that a root test tells of, the others, and what of these it contradicts.

    That is, by name, all that were moved together when they were contradicted.
    """
    case = subject.case
    if case.step is not None or case.method == "exhaustive":
        return {}, list(names), {}
    found = root_test(subject, names)
    sizes = {name: rms(each) for name, each in subject.gradients.items() if each is not None}
    largest = max(sizes.values(), default=0.0)
    made = {}
    for name, error in {**found.right, **found.unresolved}.items():
        blank = replace(_blank(case, name), method="search", checked=_size(case, name), resolution=error)
        share = sizes[name] / (largest or 1.0)
        if name in zero:
            made[name] = replace(blank, verdict=Verdict.PASS, findings=(by_right(name, zero[name]),))
        elif name in found.right:
            made[name] = replace(blank, verdict=Verdict.PASS, miss_probability=missed(error))
        elif share <= VANISHED:
            message = (
                f"its gradient almost vanishes (rms {sizes[name]:.1e}, {share:.0e} of the largest in the model): "
                f"differences of the loss would show an error above {error:.0%} at an index, and show none"
            )
            made[name] = replace(blank, verdict=Verdict.INCONCLUSIVE, message=message)
    for name in list(made)[:1]:
        made[name] = replace(made[name], evaluations=found.runs)
    contradicted = {name: group for group in found.contradicted for name in group}
    return made, [name for name in names if name not in made], contradicted


def _size(case: Case, name: str) -> int:
    return blank_result(case, name).size


def _searched(
    subject: FlowSubject, names: Sequence[str], zero: Mapping[str, float]
) -> tuple[dict[str, Result], list[Finding]]:
    """Look for wrong indices of gradients, all at once; those that are zero apart from the others."""
    audited = _subject_of(subject, [name for name in names if name not in zero])
    results, point, seen = check_gradient(audited)
    _limit(subject, EXPLAINING)
    results = [_without(result, MEANINGLESS) for result in results]
    probe = Probe(audited, point, results)
    findings = [*point.findings]
    try:
        with suppress(OpError):
            findings += stochastic_forward(probe)
        if not any(finding.fails for finding in findings):
            with suppress(OpError):
                findings += broadcast_not_reduced(probe)
        # What is held constant for stopped gradients is what it was at this point.
        results = with_likely_causes(audited, results, point, seen, findings, here_only=bool(subject.op.held))
        told = _zero_results(subject, probe, zero)
    except LimitReachedError as reached:
        findings.append(unmade(reached.limit, ["stochastic_forward", "broadcast_not_reduced", "causes"]))
        told = {name: left_undecided(_blank(subject.case, name), reached.limit) for name in zero}
    return {result.input: result for result in results} | told, list(unexplained(findings, results))


def _subject_of(subject: FlowSubject, names: Sequence[str]) -> Subject:
    """Return a model as an op that was called once, with the gradients of these names only in question."""
    inputs = tuple(replace(made, differentiable=made.name in names) for made in subject.case.inputs)
    loss = np.array(subject.op.tape.array(subject.base.loss)).reshape(())
    return Subject(
        case=replace(subject.case, inputs=inputs),
        op=counting(subject.op),
        inputs=dict(subject.arrays),
        outputs=(loss,),
        counted=(0,),
        upstream=(np.ones((), loss.dtype),),
        gradients={name: subject.gradients[name] for name in names},
        findings=(),
    )


def _zero_results(subject: FlowSubject, probe: Probe, shares: Mapping[str, float]) -> dict[str, Result]:
    made = {}
    for name, finding in zero_gradients(subject, probe, shares).items():
        blank = _blank(subject.case, name)
        if finding.fails:
            made[name] = _lost(blank, finding.message, finding)
        else:
            passed = replace(blank, verdict=Verdict.PASS, checked=blank.size, method="search")
            made[name] = replace(passed, findings=(finding,))
    return made


def _added(subject: FlowSubject) -> list[tuple[str, Finding]]:
    """Return what is wrong with the gradients of two batches, nothing where a second one cannot be had.

    It comes before all else that runs reverse mode: the gradients of the first batch still lie in the parameters.
    """
    with suppress(OpError):
        return list(accumulation(subject))
    return []


def _with_flow(
    subject: FlowSubject, results: Mapping[str, Result], names: list[str], added: list[tuple[str, Finding]]
) -> dict[str, Result]:
    """Add what is known of gradients beside their numbers: that they add up, and keep their magnitude."""
    codes = {finding.code for result in results.values() for finding in result.findings}
    found = [] if "stochastic-forward" in codes else added
    with suppress(OpError):
        found += overwriting_steps(subject, names)
    found += magnitudes(subject, [name for name in names if results[name].verdict is Verdict.PASS])
    made = dict(results)
    for name, finding in found:
        made[name] = replace(made[name], findings=(*made[name].findings, finding))
    return made


def _with_culprits(subject: FlowSubject, results: dict[str, Result]) -> dict[str, Result]:
    """Add to each wrong gradient where parts of it are lost, and the steps on its way that make it wrong."""
    wrong = [name for name, result in results.items() if result.verdict is Verdict.FAIL]
    along = {name: _shown(np.asarray(subject.gradients[name]), results[name]) for name in wrong}
    culprits = Culprits(subject, wrong, along)
    said = {}
    for name in wrong:
        with suppress(OpError, LimitReachedError):
            said[name] = culprits.of(name)
    return results | {name: _blaming(results[name], words) for name, words in said.items() if words}


def _with_steps_behind(subject: FlowSubject, results: dict[str, Result], lost: Sequence[str]) -> dict[str, Result]:
    """Add to the parameters that no gradient reaches the steps that would spoil it if one did."""
    culprits, made = Culprits(subject, (), {}), dict(results)
    for name in lost:
        with suppress(OpError):
            if said := culprits.of_lost(name):
                made[name] = _saying_too(results[name], said)
    return made


def _saying_too(result: Result, said: Sequence[str]) -> Result:
    """Return a result whose message, and the finding that says the same, say more."""
    message = "; and ".join([result.message, *said])
    told = (replace(each, message=message) if each.message == result.message else each for each in result.findings)
    return replace(result, message=message, findings=tuple(told))


def _shown(gradient: Array, result: Result) -> Array:
    """Return the gradient that differences show, where they were looked at; what is claimed elsewhere."""
    shown = gradient.astype(np.result_type(gradient.dtype, np.float64))
    for row in result.mismatches:
        if np.isfinite(row.numerical):
            shown[row.index] = row.numerical
    return shown


def _blaming(result: Result, said: str) -> Result:
    """Return a result whose message says which step is to blame, beside what no finding says already."""
    told = any(finding.message == result.message for finding in result.findings)
    return replace(result, message=said if told else f"{result.message}; {said}")


def _without(result: Result, codes: Container[str]) -> Result:
    return replace(result, findings=tuple(finding for finding in result.findings if finding.code not in codes))


def _timed(results: list[Result], dtype: str, seconds: float) -> list[Result]:
    """Share what is left of the time that an audit took among its results; name the dtype that it was of."""
    rest = max(seconds - sum(result.seconds for result in results), 0.0) / max(len(results), 1)
    return [replace(result, dtype=dtype, seconds=result.seconds + rest) for result in results]
