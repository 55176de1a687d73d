"""Tolerances that pass errors easily seen, or ask for what cannot be had."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pairs import array, audit, codes, only

from gradaudit.audit.conclusion import Audit
from gradaudit.checks.tolerance import rounded_up
from gradaudit.results import Finding, Verdict
from gradaudit.spec.case import Tolerance
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES, spacing

FIT = {"tolerance-too-loose", "tolerance-too-tight"}
each_size = pytest.mark.parametrize("shape", [(3, 4), (20, 26)], ids=["exhaustive", "search"])
each_dtype = pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])


def audited(
    tolerance: Tolerance | None, dtype: str = "float64", shape: Any = (3, 4), factor: float = 1.0, **more: Any
) -> Audit:
    x = array("x", shape, -1.0, 1.0, dtype=dtype)
    backward = lambda u, x: (u * np.cos(x) * x.dtype.type(factor)).astype(x.dtype)  # noqa: E731
    return audit(np.sin, backward, x, dtype=dtype, tolerance=tolerance, **more)


def told(made: Audit) -> Finding:
    (found,) = [finding for finding in only(made).findings if finding.code in FIT]
    assert not found.fails
    return found


@each_dtype
@each_size
def test_a_tolerance_far_above_what_is_needed_is_loose(shape: tuple[int, ...], dtype: str) -> None:
    made = audited(Tolerance(0.2, 1e-3, "it failed otherwise"), dtype, shape)
    found = told(made)
    assert found.code == "tolerance-too-loose"
    assert f"rtol={found.evidence['rtol']:g}, atol={found.evidence['atol']:g}" in found.message
    tight = audited(Tolerance(found.evidence["rtol"], found.evidence["atol"]), dtype, shape)
    assert only(tight).verdict is Verdict.PASS
    if only(made).method == "exhaustive":  # a search sees no more than a tenth of its tolerance
        assert "tolerance-too-loose" not in codes(tight)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("error", "tightest"), [(0.9e-3, 1e-3), (1.5e-3, 2e-3), (4e-3, 5e-3)])
def test_the_tightest_that_passes_follows_from_the_differences(error: float, tightest: float, seed: int) -> None:
    made = audited(Tolerance(0.04, 0.0), factor=1 + error, seed=seed)
    assert told(made).evidence["rtol"] == tightest


@each_dtype
@each_size
def test_the_default_is_not_loose(shape: tuple[int, ...], dtype: str) -> None:
    assert codes(audited(None, dtype, shape)) & FIT == set()
    assert codes(audited(DEFAULT_TOLERANCES[dtype], dtype, shape)) & FIT == set()


def test_one_that_is_needed_is_not_loose() -> None:
    assert codes(audited(Tolerance(0.01, 0.0), factor=1.005)) & FIT == set()
    assert only(audited(Tolerance(0.01, 0.0), factor=1.005)).verdict is Verdict.PASS


@each_size
def test_an_absolute_part_that_dominates_the_gradient_is_loose(shape: tuple[int, ...]) -> None:
    """A mean over many elements: its gradient is below what an absolute part that has a scale allows."""
    x = array("x", shape, dtype="bfloat16")
    slope = 1e-3
    forward, backward = (lambda x: x * x.dtype.type(slope)), (lambda u, x: u * x.dtype.type(slope))
    asked = DEFAULT_TOLERANCES["bfloat16"]
    made = audit(forward, backward, x, dtype="bfloat16", tolerance=asked)
    found = told(made)
    assert (found.code, only(made).verdict) == ("tolerance-too-loose", Verdict.INCONCLUSIVE)
    assert found.evidence["admitted"] > 1.0
    unasked = only(audit(forward, backward, x, dtype="bfloat16"))
    assert (unasked.verdict, unasked.findings) == (Verdict.PASS, ())
    assert (unasked.rtol, unasked.message) == (asked.rtol, "")
    assert unasked.atol == pytest.approx(spacing("bfloat16") / 2 * slope, rel=0.5)


@each_size
def test_a_small_gradient_that_is_wrong_does_not_pass_for_it(shape: tuple[int, ...]) -> None:
    made = audit(lambda x: 1e-12 * x * x, lambda u, x: 1.9e-12 * x * u, array("x", shape))
    assert only(made).verdict is Verdict.FAIL
    assert codes(made) == set()
    right = only(audit(lambda x: 1e-12 * x * x, lambda u, x: 2e-12 * x * u, array("x", shape)))
    assert (right.verdict, right.resolution < 3e-5) == (Verdict.PASS, True)


def cancelling(x):
    """Return its argument, less what a large number costs it in digits."""
    return (x + 3e3) ** 2 - 9e6 - 6e3 * x


def test_a_forward_that_rounds_coarsely_is_decided_as_finely_as_it_can_be() -> None:
    made = only(audit(cancelling, lambda u, x: 2 * x * u))
    assert (made.verdict, made.findings, made.message) == (Verdict.PASS, (), "")
    assert 1e-7 < made.resolution < 1e-3  # what is shown as a tolerance is what was asked for, and less than was heard
    looked = only(audit(cancelling, lambda u, x: 2 * x * u, method="exhaustive"))
    assert (looked.verdict, looked.findings) == (Verdict.PASS, ())
    assert 1e-7 < looked.resolution < 1e-3


def test_what_is_off_by_more_than_that_does_not_pass_for_it() -> None:
    right = only(audit(cancelling, lambda u, x: 2 * x * u))
    wrong = only(audit(cancelling, lambda u, x: (2 + 8 * right.resolution) * x * u))
    assert (wrong.verdict, wrong.wrong) == (Verdict.FAIL, 12)
    asked = only(audit(cancelling, lambda u, x: 2 * x * u, tolerance=DEFAULT_TOLERANCES["float64"]))
    assert asked.verdict is Verdict.INCONCLUSIVE


def test_a_gradient_of_zero_is_not_drowned_by_any_tolerance() -> None:
    assert codes(audit(lambda x: 0 * x, lambda u, x: 0 * u, dtype="float64")) & FIT == set()


def test_a_gradient_that_fails_is_not_told_that_its_tolerance_is_loose() -> None:
    made = audited(Tolerance(0.1, 0.0), factor=1.5)
    assert (only(made).verdict, codes(made) & FIT) == (Verdict.FAIL, set())


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-9), ("float16", 1e-5), ("bfloat16", 1e-4)])
@each_size
def test_one_below_the_roundoff_of_the_dtype_is_tight(shape: tuple[int, ...], dtype: str, rtol: float) -> None:
    found = told(audited(Tolerance(rtol, 0.0), dtype, shape))
    assert found.code == "tolerance-too-tight"
    assert f"{found.evidence['roundoff']:.1e}" in found.message


@pytest.mark.parametrize(("dtype", "atol"), [("float32", 1e-6), ("float16", 2e-3), ("bfloat16", 1e-2)])
def test_an_absolute_part_may_make_up_for_it(dtype: str, atol: float) -> None:
    assert "tolerance-too-tight" not in codes(audited(Tolerance(0.0, atol), dtype))


@each_size
def test_what_it_rounds_off_is_not_called_a_loss_of_precision(shape: tuple[int, ...]) -> None:
    made = audited(Tolerance(1e-9, 0.0), "float32", shape)
    assert (only(made).verdict, codes(made)) == (Verdict.FAIL, {"tolerance-too-tight"})


def test_one_that_differences_cannot_decide_is_tight() -> None:
    made = audited(Tolerance(1e-15, 1e-16))
    assert only(made).verdict is Verdict.INCONCLUSIVE
    assert (told(made).code, told(made).evidence["undecided"]) == ("tolerance-too-tight", 12)


def test_a_gradient_that_nothing_can_decide_is_not_the_tolerance_s_fault() -> None:
    made = audited(Tolerance(1e-8, 1e-10), step=1e-14)
    assert only(made).verdict is Verdict.INCONCLUSIVE
    assert "tolerance-too-tight" not in codes(made)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(0.0, 0.0), (1e-3, 1e-3), (1.01e-3, 2e-3), (2.0, 2.0), (4.2, 5.0), (5.1, 10.0), (9.9e-9, 1e-8)],
)
def test_numbers_are_rounded_up_to_one_two_five(value: float, rounded: float) -> None:
    assert rounded_up(value) == rounded
