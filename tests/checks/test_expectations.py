"""What a spec expects of a case, and whether it got it: a known wrong gradient is as expected when it is caught."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pairs import array, audit, case_of

from gradaudit.audit.conclusion import concluded, failed_audit
from gradaudit.engine.audit import audit_case
from gradaudit.results import ADVISORY_CODES, FAILING_CODES, Finding, Result, Verdict
from gradaudit.spec.case import Avoid, Expectation
from gradaudit.spec.op_targets import BackwardCall, PythonTarget

Function = Callable[..., Any]


def right(u: Any, x: Any) -> Any:
    return u * np.cos(x)


def wrong(u: Any, x: Any) -> Any:
    return -u * np.cos(x)


def overwriting_the_upstream(u: Any, x: Any) -> Any:
    u *= np.cos(x)
    return u


def raising(u: Any, x: Any) -> Any:
    raise ValueError("no gradient today")


ENDS = {
    "pass": right,
    "fail": wrong,
    "fail by a finding": overwriting_the_upstream,
    "error": raising,
}


def ended(backward: Function, expect: Expectation, **settings: Any) -> tuple[Verdict, bool, str]:
    (result,) = audit(np.sin, backward, expect=expect, **settings).results
    return result.verdict, result.expected, result.message


@pytest.mark.parametrize(
    ("end", "expect", "met"),
    [
        ("pass", "pass", True),
        ("fail", "pass", False),
        ("fail by a finding", "pass", False),
        ("error", "pass", False),
        ("pass", "fail", False),
        ("fail", "fail", True),
        ("fail by a finding", "fail", True),
        ("error", "fail", False),
    ],
)
def test_a_case_is_as_expected_where_its_verdict_is(end: str, expect: Any, met: bool) -> None:
    verdict, expected, message = ended(ENDS[end], Expectation(expect))
    assert verdict == end.split()[0]
    assert expected is met
    if expect == "fail" and not met:
        assert "expects this case to fail" in message
        assert str(verdict) in message


@pytest.mark.parametrize("expect", ["pass", "fail"])
def test_inconclusive_is_never_as_expected(expect: Any) -> None:
    verdict, expected, _ = ended(right, Expectation(expect), step=1e-15)
    assert (verdict, expected) == (Verdict.INCONCLUSIVE, False)


@pytest.mark.parametrize(
    ("end", "codes", "met"),
    [
        ("fail by a finding", ("input-mutated",), True),
        ("fail by a finding", ("input-mutated", "kink"), False),
        ("fail", ("input-mutated",), False),
    ],
)
def test_every_expected_finding_has_to_be_made(end: str, codes: tuple[str, ...], met: bool) -> None:
    _, expected, message = ended(ENDS[end], Expectation("fail", codes))
    assert expected is met
    if not met:
        assert codes[-1] in message
        assert "did not make it" in message


def test_an_expected_finding_does_not_excuse_the_failure_that_comes_with_it() -> None:
    verdict, expected, _ = ended(overwriting_the_upstream, Expectation("pass", ("input-mutated",)))
    assert (verdict, expected) == (Verdict.FAIL, False)


def test_a_missing_finding_makes_a_pass_unexpected() -> None:
    verdict, expected, message = ended(right, Expectation("pass", ("kink",)))
    assert (verdict, expected) == (Verdict.PASS, False)
    assert "kink" in message


class TestSeveralInputs:
    inputs = (array("x", (3,)), array("y", (3,)))

    @staticmethod
    def half_wrong(u: Any, x: Any, y: Any) -> Any:
        return u * y, -u * x

    def test_one_failing_input_fulfils_the_expectation_of_the_case(self) -> None:
        results = audit(lambda x, y: x * y, self.half_wrong, *self.inputs, expect=Expectation("fail")).results
        assert [(result.verdict, result.expected) for result in results] == [(Verdict.PASS, True), (Verdict.FAIL, True)]

    def test_where_a_pass_is_expected_the_failing_one_is_to_blame(self) -> None:
        results = audit(lambda x, y: x * y, self.half_wrong, *self.inputs).results
        assert [result.expected for result in results] == [True, False]

    def test_an_error_beside_a_failure_is_not_the_failure_that_was_documented(self) -> None:
        backward = lambda u, x, y: (-u * y, None)  # noqa: E731
        results = audit(lambda x, y: x * y, backward, *self.inputs, expect=Expectation("fail")).results
        assert [result.expected for result in results] == [False, False]


class TestByInput:
    inputs = (array("x", (3,)), array("y", (3,)))

    def ends(self, backward: Function, **expected: Any) -> list[tuple[str, bool]]:
        verdict = "fail" if "fail" in expected.values() else "pass"
        results = audit(lambda x, y: x * y, backward, *self.inputs, expect=Expectation(verdict, (), expected)).results
        self.messages = [result.message for result in results]
        return [(str(result.verdict), result.expected) for result in results]

    @staticmethod
    def wrong_in_y(u: Any, x: Any, y: Any) -> Any:
        return u * y, -u * x

    @staticmethod
    def wrong_in_both(u: Any, x: Any, y: Any) -> Any:
        return -u * y, -u * x

    @staticmethod
    def right_in_both(u: Any, x: Any, y: Any) -> Any:
        return u * y, u * x

    def test_a_known_failure_is_caught(self) -> None:
        assert self.ends(self.wrong_in_y, y="fail") == [("pass", True), ("fail", True)]
        assert self.ends(self.wrong_in_both, x="fail", y="fail") == [("fail", True), ("fail", True)]

    def test_a_known_failure_of_one_input_hides_none_of_another(self) -> None:
        assert self.ends(self.wrong_in_both, y="fail") == [("fail", False), ("fail", True)]
        assert self.ends(self.wrong_in_both, x="pass", y="fail") == [("fail", False), ("fail", True)]

    def test_a_known_failure_that_is_gone_is_told_of_where_it_was(self) -> None:
        assert self.ends(self.right_in_both, y="fail") == [("pass", True), ("pass", False)]
        assert "expects this gradient to fail, but it ended with pass" in self.messages[1]
        assert self.ends(self.wrong_in_y, x="fail") == [("pass", False), ("fail", False)]

    def test_an_error_is_no_known_failure(self) -> None:
        assert self.ends(lambda u, x, y: (u * y, None), y="fail") == [("pass", True), ("error", False)]

    def test_an_input_that_there_is_not_disappoints(self) -> None:
        assert self.ends(self.right_in_both, weight="fail") == [("pass", False), ("pass", False)]
        assert "for the gradient of weight, but there is none" in self.messages[0]


class TestFindings:
    case = case_of(np.sin, right)

    def result_with(self, *findings: Finding, verdict: Verdict = Verdict.PASS) -> Any:
        blank = Result("pair", "tests", "default", "float64", "x", verdict)
        return concluded(self.case, [blank], findings)[0]

    @pytest.mark.parametrize("code", sorted(FAILING_CODES))
    def test_one_that_fails_turns_a_pass_into_a_failure(self, code: str) -> None:
        result = self.result_with(Finding(code, "what was seen"))
        assert (result.verdict, result.message, result.expected) == (Verdict.FAIL, "what was seen", False)

    @pytest.mark.parametrize("code", sorted(ADVISORY_CODES - {"degenerate-upstream"}))
    def test_one_that_informs_leaves_the_verdict_alone(self, code: str) -> None:
        result = self.result_with(Finding(code, "what was seen"))
        assert (result.verdict, result.message, result.expected) == (Verdict.PASS, "", True)
        assert [finding.code for finding in result.findings] == [code]

    @pytest.mark.parametrize("verdict", list(Verdict))
    def test_an_upstream_that_hides_everything_leaves_nothing_decided(self, verdict: Verdict) -> None:
        result = self.result_with(Finding("degenerate-upstream", "what was seen"), verdict=verdict)
        assert result.verdict is (Verdict.INCONCLUSIVE if verdict is Verdict.PASS else verdict)
        undecided = result.verdict is Verdict.INCONCLUSIVE
        assert (result.message, result.expected) == ("what was seen" if undecided else "", False)

    @pytest.mark.parametrize("verdict", [Verdict.INCONCLUSIVE, Verdict.FAIL, Verdict.ERROR])
    def test_none_makes_a_verdict_milder(self, verdict: Verdict) -> None:
        result = self.result_with(Finding("input-mutated", "what was seen"), verdict=verdict)
        assert result.verdict is (Verdict.ERROR if verdict is Verdict.ERROR else Verdict.FAIL)

    def test_the_same_one_is_told_once(self) -> None:
        twice = [Finding("kink", "here", {"index": [k]}) for k in range(2)]
        assert len(self.result_with(*twice).findings) == 1
        assert len(self.result_with(*twice, Finding("kink", "there")).findings) == 2


class TestCasesThatCannotBeOpened:
    @staticmethod
    def audited(**target: Any) -> Any:
        named = {"forward": "math:sqrt", "backward": BackwardCall("math:sqrt", ("upstream",), ("x",))} | target
        where = PythonTarget(**named, differentiable_outputs=None, folder=Path.cwd())
        return audit_case(replace(case_of(np.sin, right, array("x", (3,)), array("y", ())), target=where))

    def test_a_function_that_is_not_there_is_an_error_for_every_input(self) -> None:
        results = self.audited(forward="math:sqroot").results
        assert [(result.input, result.verdict, result.expected) for result in results] == [
            ("x", Verdict.ERROR, False),
            ("y", Verdict.ERROR, False),
        ]
        assert {result.message for result in results} == {"module 'math' has no 'sqroot'; did you mean 'sqrt'?"}

    def test_inputs_that_cannot_be_drawn_are_an_error(self) -> None:
        almost_nothing_left = Avoid((0.0,), 0.9999999)
        x = array("x", (3,), -1.0, 1.0, distribution="normal", avoid=almost_nothing_left)
        (result,) = audit(np.sin, right, x).results
        assert (result.verdict, result.expected) == (Verdict.ERROR, False)
        assert "avoid" in result.message

    def test_a_case_lost_with_its_process_has_a_result_for_every_input(self) -> None:
        case = case_of(np.sin, right, array("x", (3,)), array("y", ()), expect=Expectation("fail"))
        results = failed_audit(case, "crashed its process with SIGSEGV").results
        assert [(result.input, result.size, result.verdict) for result in results] == [
            ("x", 3, Verdict.ERROR),
            ("y", 1, Verdict.ERROR),
        ]
        assert all("SIGSEGV" in result.message and not result.expected for result in results)


def test_texts_of_an_op_have_an_end() -> None:
    case = case_of(np.sin, right, array("x", (3,)))
    (result,) = failed_audit(case, "x" * 10**6, (Finding("nonfinite", "y" * 10**6),)).results
    assert re.fullmatch(r"x{5000} \(990,000 characters\) x{5000}", result.message)
    assert re.fullmatch(r"y{5000} \(990,000 characters\) y{5000}", result.findings[0].message)
    assert concluded(case, [result], ()) == (result,)
