"""The specs of frameworks that are shipped: right ops, in the first of their dtypes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradaudit.engine.audit import audit_case
from gradaudit.results import Verdict
from gradaudit.spec.load import load_specs
from gradaudit.spec.op_targets import FrameworkTarget
from gradaudit.targets import names_to_import
from gradaudit.targets.frameworks import missing_framework

CASES = load_specs([Path(__file__).parents[2] / "specs" / "frameworks"]).cases
FIRST_DTYPES = {case.op: case.dtype for case in reversed(CASES)}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("op", FIRST_DTYPES)
def test_right_gradients_pass_without_findings_that_fail(op: str) -> None:
    cases = [case for case in CASES if case.op == op and case.dtype == FIRST_DTYPES[op]]
    if framework := missing_framework(cases[0].target):
        pytest.skip(f"{framework} is not installed")
    results = [result for case in cases for result in audit_case(case).results]
    told = [(result.case, result.input, result.message) for result in results if result.verdict is not Verdict.PASS]
    assert told == []
    assert [finding for result in results for finding in result.findings if finding.fails] == []


def test_every_framework_has_specs_and_none_names_a_function_twice() -> None:
    ops = [(case.op, case.target) for case in CASES if isinstance(case.target, FrameworkTarget)]
    assert {target.framework for _, target in ops} == {"torch", "jax", "autograd", "tinygrad"}
    names = {(name, op) for op, target in ops for name in names_to_import(target).values()}
    assert len({name for name, _ in names}) == len(names)
