"""Every shipped spec notices faults planted in its op's backward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from dropped_terms import has_terms, mutants
from shipped import CASES_BY_OP, Spoilt, audit_changed

from gradaudit.checks.subject import examine
from gradaudit.results import Verdict
from gradaudit.spec.case import Case
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES
from gradaudit.targets import open_op
from gradaudit.targets.importing import import_function
from gradaudit.targets.op import OpError
from gradaudit.targets.python import PythonOp

OPS_AND_INPUTS = [
    (op, name)
    for op, cases in CASES_BY_OP.items()
    for name in dict.fromkeys(made.name for case in cases for made in case.inputs if made.differentiable)
]


def sign(gradient: Any) -> Any:
    return -gradient


def factor(gradient: Any) -> Any:
    return (gradient * 1.01).astype(gradient.dtype)


def zeroed(gradient: Any) -> Any:
    return np.zeros_like(gradient)


def largest(gradient: Any) -> tuple[int, ...]:
    return tuple(int(k) for k in np.unravel_index(np.abs(gradient).argmax(), gradient.shape))


def one_index(gradient: Any) -> Any:
    spoilt = gradient.copy()
    spoilt[largest(gradient)] *= 1.01
    return spoilt


@pytest.mark.parametrize("fault", [sign, factor, zeroed, one_index], ids=lambda fault: fault.__name__)
@pytest.mark.parametrize(("op", "name"), OPS_AND_INPUTS)
def test_a_fault_in_one_gradient_fails_there_and_nowhere_else(op: str, name: str, fault: Callable[[Any], Any]) -> None:
    for case in CASES_BY_OP[op]:
        if name not in {made.name for made in case.inputs}:
            continue
        verdicts = {}
        for result in audit_changed(case, lambda opened: Spoilt(opened, name, fault)).results:
            verdicts[result.input] = result.verdict
            if result.input == name and result.verdict is Verdict.FAIL:
                failed = result
        if verdicts[name] is Verdict.FAIL:
            break
    else:
        pytest.fail("no case of the spec notices")
    assert not failed.expected
    assert failed.wrong >= 1
    assert {verdict for other, verdict in verdicts.items() if other != name} <= {Verdict.PASS}
    if fault is one_index:
        gradient = examine(case, open_op(case)).gradients[name]
        assert [found.index for found in failed.mismatches] == [largest(gradient)]


@pytest.mark.parametrize(
    "op",
    [
        op
        for op, (case, *_) in CASES_BY_OP.items()
        if has_terms(import_function(case.target.backward.call, case.target.folder))
    ],
)
def test_every_dropped_term_fails(op: str) -> None:
    cases = CASES_BY_OP[op]
    right = {case.id: gradients_of(case) for case in cases}
    unnoticed, noticed = [], []
    for mutant in mutants(open_op(cases[0]).backward_function):  # type: ignore[attr-defined]
        without = lambda opened: replace(opened, backward_function=mutant.backward)  # noqa: E731, B023
        differing = [case for case in cases if differ(case, right[case.id], gradients_of(case, without))]
        if any(fails(case, without) for case in differing):
            noticed.append(mutant.change)
        elif differing:
            unnoticed.append(mutant.change)
    assert unnoticed == []
    assert noticed


def gradients_of(case: Case, change: Callable[[PythonOp], PythonOp] = lambda opened: opened) -> dict[str, Any] | None:
    """Return backward's answer at the drawn inputs, None where it gives none."""
    with np.errstate(all="ignore"):
        try:
            return dict(examine(case, change(open_op(case))).gradients)  # type: ignore[arg-type]
        except OpError:
            return None


def differ(case: Case, right: dict[str, Any] | None, other: dict[str, Any] | None) -> bool:
    """Whether two answers differ by more than rounding: a term may serve accuracy, or vanish at these inputs.

    Half the tolerance is what rounding may come to.
    """
    if right is None or other is None:
        return True
    allowed = case.tolerance or DEFAULT_TOLERANCES[case.dtype]
    for name, gradient in right.items():
        if other[name].shape != gradient.shape or other[name].dtype != gradient.dtype:
            return True
        ours, theirs = gradient.astype(np.float64), other[name].astype(np.float64)
        if not np.allclose(theirs, ours, rtol=allowed.rtol / 2, atol=allowed.atol / 2):
            return True
    return False


def fails(case: Case, change: Callable[[PythonOp], PythonOp]) -> bool:
    """Whether the audit notices; an index that a dropped term put out of bounds is noticed as an error."""
    return any(result.verdict in (Verdict.FAIL, Verdict.ERROR) for result in audit_changed(case, change).results)
