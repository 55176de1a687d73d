"""Backwards and forwards that give nothing to compare end in ``error``, with the finding's code and a clear message.

A gradient that can be compared all the same, in another dtype or not finite here and there, fails by its finding and is
compared.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from pairs import array, audit, codes, only

import gradaudit
from gradaudit.report.mismatch import case_blocks
from gradaudit.results import Verdict

Function = Callable[..., Any]

PACKAGE = str(Path(gradaudit.__file__).parent) + os.sep
"""Where the auditor's own lines are, which tell a user nothing."""


def right(u: Any, x: Any) -> Any:
    return u * np.cos(x)


def spoilt(value: float) -> Function:
    def backward(u: Any, x: Any) -> Any:
        gradient = right(u, x)
        gradient[1, 2] = value
        return gradient

    return backward


def raising(error: BaseException) -> Function:
    def function(*_: Any) -> NoReturn:
        raise error

    return function


def divided(*_: Any) -> float:
    return 1 / 0


BACKWARDS: dict[str, tuple[Function, str | None, list[str]]] = {
    "None": (lambda u, x: None, "missing-gradient", ["x", "None"]),
    "text": (lambda u, x: "gradient", None, ["str 'gradient'", "x", "expected an array"]),
    "an array of objects": (lambda u, x: np.full(x.shape, None), None, ["array of object", "x"]),
    "a function": (lambda u, x: right, None, ["function", "x", "expected an array"]),
    "nothing at all": (lambda u, x: (), None, ["returned 0 gradients", "expected 1 (x)"]),
    "two for one": (lambda u, x: (u, u), None, ["returned 2 gradients", "expected 1 (x)"]),
    "too few axes": (lambda u, x: right(u, x)[0], "shape-mismatch", ["x", "(4,)", "(3, 4)"]),
    "too many axes": (lambda u, x: right(u, x)[None], "shape-mismatch", ["x", "(1, 3, 4)", "(3, 4)"]),
    "axes exchanged": (lambda u, x: right(u, x).T, "shape-mismatch", ["x", "(4, 3)", "(3, 4)"]),
    "a number for an array": (lambda u, x: 1.0, "shape-mismatch", ["x", "()", "(3, 4)"]),
    "an exception": (raising(KeyError("scale")), None, ["backward raised KeyError", "scale"]),
    "a signature that does not fit": (lambda u: u, None, ["backward raised TypeError", "positional argument"]),
    "sys.exit": (lambda u, x: sys.exit(3), None, ["backward called sys.exit(3)"]),
    "no memory": (raising(MemoryError()), None, ["backward ran out of memory"]),
}
FLAWED: dict[str, tuple[Function, str, list[str], int]] = {
    "a narrower dtype": (lambda u, x: right(u, x).astype("f4"), "dtype-mismatch", ["x", "float32", "float64"], 0),
    "integers": (lambda u, x: np.ones(x.shape, int), "dtype-mismatch", ["x", "int64", "float64"], 12),
    "booleans": (lambda u, x: x > 0, "dtype-mismatch", ["x", "bool", "float64"], 12),
    "NaN": (spoilt(np.nan), "nonfinite", ["x", "nan", "(1, 2)", "1 of 12"], 1),
    "infinity": (spoilt(np.inf), "nonfinite", ["x", "inf", "(1, 2)", "1 of 12"], 1),
    "minus infinity": (spoilt(-np.inf), "nonfinite", ["x", "-inf", "(1, 2)", "1 of 12"], 1),
    "all NaN": (lambda u, x: np.full_like(x, np.nan), "nonfinite", ["12 of 12"], 12),
}
"""Gradients with a flaw: the finding, what it says, and how many indices are wrong besides."""

FORWARDS: dict[str, tuple[Function, str | None, list[str]]] = {
    "None": (lambda x: None, None, ["forward returned None", "expected an array"]),
    "text": (lambda x: "output", None, ["str 'output'", "expected an array"]),
    "an array of objects": (lambda x: np.full(x.shape, None), None, ["array of object"]),
    "integers": (lambda x: x.astype(int), None, ["no floating output", "int64"]),
    "no outputs": (lambda x: (), None, ["no floating output", "nothing"]),
    "NaN": (lambda x: np.where(x == x[1, 2], np.nan, x), "nonfinite", ["nan", "(1, 2)", "1 of 12"]),
    "infinity": (lambda x: np.where(x == x[1, 2], np.inf, x), "nonfinite", ["inf", "(1, 2)", "1 of 12"]),
    "NaN in the second output": (lambda x: (x, x * np.nan), "nonfinite", ["output 1", "nan", "12 of 12"]),
    "an exception": (raising(KeyError("scale")), None, ["forward raised KeyError", "scale"]),
    "a signature that does not fit": (lambda: 0.0, None, ["forward raised TypeError", "positional argument"]),
    "sys.exit": (lambda x: sys.exit("done"), None, ["forward called sys.exit('done')"]),
    "no memory": (raising(MemoryError()), None, ["forward ran out of memory"]),
}


def assert_is_error(audited: Any, code: str | None, words: list[str]) -> None:
    result = only(audited)
    assert (result.verdict, result.expected, result.wrong, result.mismatches) == (Verdict.ERROR, False, 0, ())
    assert codes(audited) == ({code} if code else set())
    assert [word for word in words if word not in result.message] == []
    if code:
        assert result.message == result.findings[0].message


@pytest.mark.parametrize("name", BACKWARDS)
def test_a_backward_without_a_usable_gradient_is_an_error(name: str) -> None:
    backward, code, words = BACKWARDS[name]
    assert_is_error(audit(np.sin, backward), code, words)


@pytest.mark.parametrize("name", FLAWED)
def test_a_gradient_with_a_flaw_fails_by_its_finding_and_is_compared_all_the_same(name: str) -> None:
    backward, code, words, wrong = FLAWED[name]
    audited = audit(np.sin, backward)
    result = only(audited)
    assert (result.verdict, result.expected, result.wrong, result.checked) == (Verdict.FAIL, False, wrong, 12)
    (finding,) = (found for found in result.findings if found.code == code)
    assert [word for word in words if word not in finding.message] == []
    assert result.message == (f"{wrong} of 12 indices wrong" if wrong else finding.message)
    assert all(math.isfinite(found.numerical) for found in result.mismatches)


def test_a_wrong_index_is_found_beside_one_that_is_no_number() -> None:
    def backward(u: Any, x: Any) -> Any:
        gradient = spoilt(np.nan)(u, x)
        gradient[2, 0] *= 1.01
        return gradient

    result = only(audit(np.sin, backward))
    assert result.wrong == 2
    assert {found.index for found in result.mismatches} == {(1, 2), (2, 0)}


@pytest.mark.parametrize("size", [12, 2_000])
def test_where_forward_has_no_slope_either_no_index_is_accused(size: int) -> None:
    """The truth at the edge of a domain is infinite: the finding says so of backward, and no index is wrong."""
    values = np.linspace(0.0, 1.0, size)

    def backward(u: Any, x: Any) -> Any:
        return u / (2 * np.sqrt(x))

    audited = audit(np.sqrt, backward, array("x", (size,), values=values))
    assert (only(audited).verdict, only(audited).wrong) == (Verdict.FAIL, 0)
    assert "nonfinite" in codes(audited)


@pytest.mark.parametrize("name", FORWARDS)
def test_a_forward_without_a_usable_output_is_an_error(name: str) -> None:
    forward, code, words = FORWARDS[name]
    assert_is_error(audit(forward, right), code, words)


@pytest.mark.parametrize("factor", [2.0, 2.2], ids=["right", "wrong"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "complex64"])
def test_a_gradient_of_another_dtype_than_its_input_fails_with_the_wrong_indices_it_has(
    dtype: str, factor: float
) -> None:
    wide = "c16" if dtype.startswith("c") else "f8"
    x = array("x", (3,), dtype=dtype)
    audited = audit(lambda x: 2 * x, lambda u, x: factor * u.astype(wide), x, dtype=dtype)
    result = only(audited)
    assert (result.verdict, result.expected, result.wrong) == (Verdict.FAIL, False, 0 if factor == 2.0 else 3)
    assert codes(audited) == {"dtype-mismatch"}
    assert dtype in result.findings[0].message


GRID = np.linspace(-4, 4, 801)


def test_what_fails_by_its_dtype_lists_no_index_that_is_only_undecided() -> None:
    def table(x: Any) -> Any:
        return np.interp(x, GRID, np.sin(GRID))

    x = array("x", (15,), -3.9, 3.9, dtype="float32")
    result = only(audited := audit(table, lambda u, x: u.astype("f8") * np.cos(x), x, dtype="float32"))
    assert codes(audited) == {"dtype-mismatch", "approximate-forward"}
    assert (result.verdict, result.wrong, result.mismatches) == (Verdict.FAIL, 0, ())
    assert result.message == result.findings[0].message
    (lines,) = case_blocks([result], 10)
    assert lines[0] == "pair (float32, case default): fail w.r.t. x"
    assert not any("FAIL" in line or "indices wrong" in line for line in lines)


@pytest.mark.parametrize(
    ("forward", "backward", "what"),
    [(divided, right, "forward"), (np.sin, divided, "backward")],
    ids=["forward", "backward"],
)
def test_the_last_frame_of_an_exception_is_the_op_s_own(forward: Function, backward: Function, what: str) -> None:
    said = only(audit(forward, backward)).message
    first, *frames = said.splitlines()
    assert first == f"{what} raised ZeroDivisionError: division by zero"
    line = divided.__code__.co_firstlineno + 1
    assert frames == [f"  {__file__}:{line}, in divided: return 1 / 0"]


def test_an_exception_inside_a_library_shows_the_op_s_line_and_the_library_s() -> None:
    said = only(audit(lambda x: np.linalg.inv(np.zeros((2, 2))), right)).message
    first, own, library = said.splitlines()
    assert first == "forward raised LinAlgError: Singular matrix"
    assert own.startswith(f"  {__file__}:")
    assert "numpy" in library
    assert PACKAGE not in own + library


class TestSeveralInputs:
    inputs = (array("x", (3,)), array("y", (3,)))

    def audited(self, backward: Function, **more: Any) -> Any:
        return audit(lambda x, y: x * y, backward, *self.inputs, **more)

    def test_a_missing_gradient_does_not_hide_the_other(self) -> None:
        x, y = self.audited(lambda u, x, y: (1.01 * u * y, None)).results
        assert (x.verdict, x.wrong, [found.code for found in x.findings]) == (Verdict.FAIL, 3, ["constant-factor"])
        assert (y.verdict, [found.code for found in y.findings]) == (Verdict.ERROR, ["missing-gradient"])

    @pytest.mark.parametrize(("factor", "verdict"), [(2.0, Verdict.PASS), (2.02, Verdict.FAIL)])
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_none_is_zero_where_forward_does_not_depend_on_the_input(
        self, dtype: str, factor: float, verdict: Verdict
    ) -> None:
        def backward(u: Any, x: Any, y: Any) -> Any:
            return (factor * u * x).astype(u.dtype), None

        inputs = (array("x", (3,), dtype=dtype), array("y", (2, 3), dtype=dtype))
        audited = audit(lambda x, y: x * x, backward, *inputs, dtype=dtype)
        x, y = audited.results
        assert (x.verdict, y.verdict, y.findings) == (verdict, Verdict.PASS, ())
        assert y.message == "its gradient is zero at every index: no output depends on it here"

    @pytest.mark.parametrize("weight", [1e-6, 1e-12])
    def test_none_is_missing_where_forward_depends_a_little(self, weight: float) -> None:
        audited = audit(lambda x, y: x * x + weight * y, lambda u, x, y: (2 * u * x, None), *self.inputs)
        x, y = audited.results
        assert (x.verdict, y.verdict) == (Verdict.PASS, Verdict.ERROR)
        assert [found.code for found in y.findings] == ["missing-gradient"]

    def test_none_is_missing_where_all_is_zero_and_nothing_seems_to_depend_on_it(self) -> None:
        zeros = array("y", (3,), values=np.zeros(3), range=None)
        x, y = audit(lambda x, y: x * x + y, lambda u, x, y: (2 * u * x, None), self.inputs[0], zeros).results
        assert (x.verdict, y.verdict) == (Verdict.PASS, Verdict.FAIL)
        assert "missing-gradient" in [found.code for found in y.findings]

    def test_a_gradient_that_returns_do_not_name_is_missing(self) -> None:
        x, y = self.audited(lambda u, x, y: u * y, returns=("x",)).results
        assert x.verdict is Verdict.PASS
        assert (y.verdict, [found.code for found in y.findings]) == (Verdict.ERROR, ["missing-gradient"])
        assert "returns" in y.message

    @pytest.mark.parametrize("count", [1, 3])
    def test_the_wrong_number_of_gradients_is_an_error_for_all(self, count: int) -> None:
        results = self.audited(lambda u, x, y: (u * y,) * count).results
        assert [result.verdict for result in results] == [Verdict.ERROR] * 2
        assert {result.message for result in results} == {f"backward returned {count} gradients; expected 2 (x, y)"}

    def test_gradients_in_the_wrong_order_are_wrong(self) -> None:
        results = self.audited(lambda u, x, y: (u * x, u * y)).results
        assert [(result.verdict, result.wrong) for result in results] == [(Verdict.FAIL, 3)] * 2
