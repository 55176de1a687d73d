"""All checks beside the gradient's own, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType

from gradaudit.checks.broadcast import broadcast_not_reduced
from gradaudit.checks.captured import captured_state
from gradaudit.checks.determinism import stochastic_backward, stochastic_forward
from gradaudit.checks.gradient.cut import unmade
from gradaudit.checks.gradient.evaluation_point import EvaluationPoint
from gradaudit.checks.in_training import asked_as_in_training
from gradaudit.checks.layout import layout_dependent
from gradaudit.checks.linearity import upstream_dependence
from gradaudit.checks.miscounted import ties_miscounted
from gradaudit.checks.missing import missing_gradient
from gradaudit.checks.probe import Probe
from gradaudit.checks.race import race
from gradaudit.checks.retraced import retraced
from gradaudit.checks.screening import is_clear
from gradaudit.checks.subject import Subject
from gradaudit.checks.symmetry import symmetric_inputs
from gradaudit.extensions import Extension, ExtensionError
from gradaudit.results import Finding, Result, Verdict
from gradaudit.spec.draw import UndrawableError
from gradaudit.targets.calls import LimitReachedError
from gradaudit.targets.op import LostOpError, OpError, raised

Check = Callable[[Probe], Iterator[Finding]]

LOOKS: tuple[Check, ...] = (symmetric_inputs,)
"""Checks that call nothing; they always have their say."""

CHECKS: tuple[Check, ...] = (
    stochastic_forward,
    stochastic_backward,
    race,
    retraced,
    upstream_dependence,
    layout_dependent,
    captured_state,
    broadcast_not_reduced,
    asked_as_in_training,
    missing_gradient,
    ties_miscounted,
)
"""What is told of a fault is told by the first check that sees it: each relies on what those before it have ruled out.

A new check is a file with a function like these, and a line here; those that other packages add follow. Together these
may call forward 18 times, with the one that the case was opened with, which a test holds them to; where there are
kinks, four times more for each value at one.
"""

SCREENED: tuple[Check, ...] = (stochastic_backward, upstream_dependence, layout_dependent, captured_state)
"""Those that are not made where one screening, which takes fewer calls, says that they would find nothing."""


class BrokenCheckError(Exception):
    """A check that another package adds cannot be imported, raises, or makes something else than its finding."""


def run_checks(subject: Subject, point: EvaluationPoint, results: list[Result]) -> list[Finding]:
    """Run every check, until one makes a finding that fails the case: the next would only see the same fault again.

    A check that the op gives no usable answer to says nothing: that it raises at a second point, or refuses another
    upstream, is no fault at the first. Where calls or time run out, a finding says which were not made.

    Raises:
        BrokenCheckError: where a check that another package adds is not what it should be.

    """
    probe = Probe(subject, point, results)
    findings = [*subject.findings, *point.findings, *(finding for look in LOOKS for finding in look(probe))]
    added = subject.case.checks
    checks: list[Check] = [*CHECKS, *(partial(_run_added, each) for each in added)]
    screened: bool | None = None
    for position, check in enumerate(checks):
        if any(finding.fails for finding in findings):
            break
        try:
            if check in SCREENED:
                screened = is_clear(probe) if screened is None else screened
                if screened:
                    continue
            findings += check(probe)
        except (OpError, UndrawableError, MemoryError):
            pass
        except LimitReachedError as reached:
            left = [getattr(each, "__name__", "") for each in CHECKS] + [each.name for each in added]
            open_ones = [result.input for result in results if result.verdict is not Verdict.PASS]
            findings.append(unmade(reached.limit, left[position:], open_ones[0] if open_ones else ""))
            break
    return findings


def _run_added(added: Extension, probe: Probe) -> Iterator[Finding]:
    """Run a check that another package adds; whatever is wrong with it ends the audit of the case as an error."""
    try:
        found = list(added.load(FunctionType)(probe))
    except (OpError, LostOpError, UndrawableError, MemoryError, LimitReachedError):
        raise
    except ExtensionError as error:
        raise BrokenCheckError(str(error)) from None
    except Exception as error:
        raise BrokenCheckError(str(raised(f"the {added}", error))) from None
    for finding in found:
        if not isinstance(finding, Finding) or finding.code != added.name:
            said = f"the finding '{finding.code}'" if isinstance(finding, Finding) else f"{type(finding).__name__}"
            raise BrokenCheckError(f"the {added} made {said}, expected findings '{added.name}'")
    yield from found
