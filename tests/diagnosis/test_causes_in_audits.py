"""What audits of whole ops say of their mismatches, from the calls to the findings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "checks"))

from pairs import array, audit, only
from planted import causes
from softmax_pair import softmax, softmax_backward

from gradaudit.report.failures import Cause, cause_of
from gradaudit.report.mismatch import case_blocks
from gradaudit.results import Verdict

LARGE = array("x", (200, 300))


def cause(audited: Any) -> Any:
    result = only(audited)
    assert result.verdict is Verdict.FAIL
    (found,) = causes(result)
    return found


def test_a_large_softmax_without_its_projection() -> None:
    found = cause(audit(softmax, lambda u, x: u * softmax(x), LARGE))
    assert (found.code, found.evidence["term"]) == ("missing-term", "output times the sum of analytical over axis 1")


def test_a_large_op_that_is_wrong_at_a_border() -> None:
    def backward(u: Any, x: Any) -> Any:
        gradient = softmax_backward(u, x)
        gradient[:, -1] = 0.0
        return gradient

    found = cause(audit(softmax, backward, LARGE))
    assert found.message == "wrong only at the end of axis 1; in that region the analytical gradient is zero"


def test_a_large_relu_that_forgets_its_mask() -> None:
    found = cause(audit(lambda x: np.maximum(x, 0.0), lambda u, x: 1.0 * u, LARGE))
    assert found.message == "wrong only where x < 0; in that region the numerical gradient is zero"


def test_a_few_indices_of_a_large_op_are_listed() -> None:
    def backward(u: Any, x: Any) -> Any:
        gradient = softmax_backward(u, x)
        gradient[[3, 77], [5, 123]] *= 3.0
        return gradient

    found = cause(audit(softmax, backward, LARGE))
    assert sorted(found.evidence["indices"]) == [[3, 5], [77, 123]]


def test_a_large_op_that_is_wrong_at_random_has_no_simple_cause() -> None:
    factors = np.random.default_rng(0).uniform(0.5, 1.5, LARGE.shape)
    result = only(audit(softmax, lambda u, x: factors * softmax_backward(u, x), LARGE))
    assert (result.verdict, causes(result)) == (Verdict.FAIL, [])


def test_a_gradient_that_is_zero_in_truth_has_no_simple_cause() -> None:
    result = only(audit(lambda x: 0.0 * x, lambda u, x: u * np.cosh(x) ** 3, array("x", (3, 4))))
    assert (result.verdict, causes(result)) == (Verdict.FAIL, [])


def test_indices_are_not_listed_as_the_cause_of_lost_precision() -> None:
    def backward(u: Any, x: Any) -> Any:
        large = x.dtype.type(2**16)
        return u * np.where(x == x.max(), np.cos((x + large) - large), np.cos(x))

    result = only(audit(np.sin, backward, array("x", (3, 4), dtype="float32"), dtype="float32"))
    assert [finding.code for finding in result.findings] == ["precision-loss"]
    in_double = only(audit(np.sin, lambda u, x: np.where(x == x.max(), 2, 1) * u * np.cos(x), array("x", (3, 4))))
    assert [finding.code for finding in in_double.findings] == ["wrong-subset"]


KEPT: dict[str, Any] = {}


def adds_up(u: Any, x: Any) -> Any:
    KEPT["sum"] = KEPT.get("sum", 0.5) + u * np.cos(x)
    return KEPT["sum"]


@pytest.mark.parametrize(
    ("backward", "code"),
    [(adds_up, "accumulated"), (lambda u, x: 2 * np.cos(x), "upstream-ignored")],
)
def test_what_a_check_and_the_diagnosis_both_see_is_told_once(backward: Any, code: str) -> None:
    KEPT.clear()
    result = only(audit(np.sin, backward, array("x", (3, 4))))
    assert result.wrong > 0
    assert [finding.code for finding in result.findings] == [code]


def test_a_small_input_beside_a_large_one_is_looked_at_often_enough() -> None:
    def backward(u: Any, x: Any, gamma: Any) -> Any:
        return -u * gamma, (u * x).sum(axis=0) / len(x)

    audited = audit(lambda x, gamma: x * gamma, backward, LARGE, array("gamma", (300,), 0.5, 1.5))
    x, gamma = (causes(result)[0] for result in audited.results)
    assert x.code == "sign-flipped"
    assert (gamma.code, "N" in gamma.evidence["names"]) == ("constant-factor", True)
    assert x.evidence["wrong_inputs"] == ["gamma"]


def test_complex_gradients() -> None:
    z = array("z", (3, 4), dtype="complex128")
    found = cause(audit(lambda z: z * z, lambda u, z: 2 * z * np.conj(u), z, dtype="complex128"))
    assert found.message == "numerical = conj(analytical) at every index"
    found = cause(audit(lambda z: z * z, lambda u, z: 1j * u * np.conj(z), z, dtype="complex128"))
    assert found.evidence["factor"] == pytest.approx(-2j)


def test_a_right_gradient_has_no_cause() -> None:
    result = only(audit(softmax, softmax_backward, array("x", (3, 4))))
    assert (result.verdict, causes(result)) == (Verdict.PASS, [])


def test_a_stale_first_answer_is_not_taken_for_a_loss_of_precision() -> None:
    asked: list[int] = []

    def backward(u: Any, x: Any) -> Any:
        asked.append(1)
        return u * np.cos(x) if len(asked) > 1 else u * np.cos(x + 1).astype(x.dtype)

    result = only(audit(np.sin, backward, array("x", (3, 4), dtype="float32"), dtype="float32"))
    assert [found.code for found in result.findings] == ["captured-state"]


def test_backward_that_fails_for_another_upstream_is_diagnosed_all_the_same() -> None:
    asked: list[int] = []

    def backward(u: Any, x: Any) -> Any:
        asked.append(1)
        if len(asked) > 1:
            raise RuntimeError("once only")
        return -u * np.cos(x)

    assert cause(audit(np.sin, backward, array("x", (3, 4)))).code == "sign-flipped"


def test_an_array_of_no_axes() -> None:
    assert cause(audit(np.sin, lambda u, x: -u * np.cos(x), array("x", ()))).code == "sign-flipped"


def fixed_point(x: Any, tolerance: float = 1e-6) -> Any:
    y, z = np.full_like(x, np.inf), np.zeros_like(x)
    while np.abs(z - y).max() >= tolerance:
        y, z = z, np.tanh(0.8 * z + x)
    return z


def implicit(u: Any, x: Any) -> Any:
    slope = 1 - fixed_point(x, 1e-15) ** 2
    return u * slope / (1 - 0.8 * slope)


def test_an_approximation_is_told_of_and_no_places_where_it_is_least_close() -> None:
    audited = (only(audit(fixed_point, implicit, array("x", (9,), -1, 1), seed=seed)) for seed in (4, 0, 9, 2))
    result = next(result for result in audited if result.verdict is Verdict.FAIL)  # the approximation says which
    assert [finding.code for finding in result.findings] == ["approximate-forward"]
    assert cause_of(result) == Cause("approximate-forward", result.findings[0].message)
    (lines,) = case_blocks([result], 3)
    assert not any("likely cause" in line or "no simple cause" in line for line in lines)
    assert any(line.startswith("  approximate-forward: ") for line in lines)


def test_a_region_of_an_exact_forward_is_named_as_ever() -> None:
    def backward(u: Any, x: Any) -> Any:
        return implicit(u, x) * np.where(x > 0, 1.0, 1.5)

    found = cause(audit(lambda x: fixed_point(x, 1e-15), backward, array("x", (9,), -1, 1)))
    assert (found.code, found.evidence["region"]) == ("wrong-subset", "where x < 0")
