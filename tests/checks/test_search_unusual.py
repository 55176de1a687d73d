"""Searches of inputs and forwards that are not as one would wish: an honest verdict, and never a pass by accident."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pairs import array, audit, codes, only

from gradaudit.audit.conclusion import Audit
from gradaudit.numerics.arrays import LARGE
from gradaudit.results import Verdict

Function = Callable[..., Any]

SIZE = 2_000


def slope_of_sine(u: Any, x: Any) -> Any:
    return u * np.cos(x)


def with_one_wrong(backward: Function, place: int = 777) -> Function:
    def wrong(*arguments: Any) -> Any:
        gradient = backward(*arguments)
        gradient.reshape(-1)[place] *= 1.01
        return gradient

    return wrong


def searched(forward: Function, backward: Function, lo: float = -1.5, hi: float = 1.5, **more: Any) -> Audit:
    return audit(forward, backward, array("x", (SIZE,), lo, hi, **more), method="search")


class TestLayouts:
    @pytest.mark.parametrize("dtype", ["float64", "float32", "complex128"])
    @pytest.mark.parametrize("layout", ["strided", "transposed"])
    def test_a_right_gradient_passes_and_a_wrong_index_is_found(self, layout: str, dtype: str) -> None:
        def backward(u: Any, x: Any) -> Any:
            return (u * np.conj(np.cos(x))).astype(x.dtype)

        def wrong(u: Any, x: Any) -> Any:
            gradient = backward(u, x).copy()
            gradient[3, 17] *= 1.01
            return gradient

        x = array("x", (50, 40), layout=layout, dtype=dtype)
        right = only(audit(np.sin, backward, x, dtype=dtype))
        assert (right.verdict, right.method, right.checked) == (Verdict.PASS, "search", 2_000)
        found = only(audit(np.sin, wrong, x, dtype=dtype))
        assert (found.verdict, found.wrong) == (Verdict.FAIL, 1)
        assert [mismatch.index for mismatch in found.mismatches] == [(3, 17)]

    @pytest.mark.parametrize("layout", ["contiguous", "strided", "transposed"])
    def test_forward_sees_the_layout_at_every_evaluation(self, layout: str) -> None:
        seen = set()

        def forward(x: Any) -> Any:
            seen.add(x.strides)
            return np.sin(x)

        audit(forward, with_one_wrong(slope_of_sine), array("x", (50, 40), layout=layout))
        assert len(seen) == 1

    def test_inputs_are_left_bit_identical(self) -> None:
        kept: list[tuple[Any, bytes]] = []

        def forward(x: Any) -> Any:
            if not kept:
                kept.append((x, x.tobytes()))
            return np.sin(x)

        searched(forward, with_one_wrong(slope_of_sine))
        ((x, before),) = kept
        assert x.tobytes() == before


COMPLEX_FAULTS: dict[str, Function] = {
    "real part": lambda g, at: np.where(at, g + 0.01, g),
    "imaginary part": lambda g, at: np.where(at, g + 0.01j, g),
    "both parts": lambda g, at: np.where(at, 1.01 * g, g),
    "a turn": lambda g, at: np.where(at, 1j * g, g),
    "a conjugate": lambda g, at: np.where(at, np.conj(g), g),
}


class TestComplexInputs:
    @pytest.mark.parametrize("dtype", ["complex128", "complex64"])
    def test_a_right_gradient_passes_cheaply(self, dtype: str) -> None:
        def backward(u: Any, x: Any) -> Any:
            return u * np.conj(np.cos(x))

        result = only(audit(np.sin, backward, array("x", (10**5,), dtype=dtype), dtype=dtype))
        assert (result.verdict, result.method, result.checked) == (Verdict.PASS, "search", 10**5)
        assert result.evaluations <= 12

    @pytest.mark.parametrize("name", COMPLEX_FAULTS)
    def test_an_index_with_a_wrong_part_is_wrong_once(self, name: str) -> None:
        def backward(u: Any, x: Any) -> Any:
            return COMPLEX_FAULTS[name](u * np.conj(np.cos(x)), np.arange(x.size) == 123)

        result = only(audit(np.sin, backward, array("x", (SIZE,), dtype="complex128"), dtype="complex128"))
        assert (result.verdict, result.wrong) == (Verdict.FAIL, 1)
        assert [found.index for found in result.mismatches] == [(123,)]

    def test_the_slope_without_its_conjugate_fails_with_a_row_for_each_index(self) -> None:
        x = array("x", (SIZE,), dtype="complex128")
        result = only(audit(np.sin, lambda u, x: u * np.cos(x), x, dtype="complex128"))
        assert result.verdict is Verdict.FAIL
        assert result.wrong == len({found.index for found in result.mismatches}) >= 20


CONSTANT: dict[str, Function] = {
    "zero": np.zeros_like,
    "one": np.ones_like,
    "a number for all": lambda x: np.float64(2.5),
    "rounded": np.round,
}


class TestGradientsOfZero:
    @pytest.mark.parametrize("name", CONSTANT)
    def test_a_claim_of_zero_is_not_accused(self, name: str) -> None:
        result = only(searched(CONSTANT[name], lambda u, x: np.zeros_like(x), 0.6, 1.4))
        assert result.wrong == 0
        assert result.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)

    @pytest.mark.parametrize("name", CONSTANT)
    @pytest.mark.parametrize("claim", [1.0, 1e-3, 1e-6])
    def test_any_other_claim_fails(self, name: str, claim: float) -> None:
        everywhere = only(searched(CONSTANT[name], lambda u, x: np.full_like(x, claim), 0.6, 1.4))
        assert everywhere.verdict is Verdict.FAIL
        once = only(searched(CONSTANT[name], lambda u, x: claim * (np.arange(x.size) == 5), 0.6, 1.4))
        assert (once.verdict, [found.index for found in once.mismatches]) == (Verdict.FAIL, [(5,)])

    def test_zero_for_every_input_does_not_hide_a_slope(self) -> None:
        result = only(searched(np.sin, lambda u, x: np.zeros_like(x), 0.0, 0.0))
        assert result.verdict is Verdict.FAIL

    @pytest.mark.parametrize(
        ("forward", "slope"),
        [(np.sin, 1.0), (np.tanh, 1.0), (lambda x: x * x, 0.0), (np.exp, 1.0)],
        ids=["sine", "tanh", "square", "exp"],
    )
    def test_inputs_that_are_all_zero(self, forward: Function, slope: float) -> None:
        right = only(searched(forward, lambda u, x: slope * u, 0.0, 0.0))
        assert right.wrong == 0
        assert right.verdict in ((Verdict.PASS,) if slope else (Verdict.PASS, Verdict.INCONCLUSIVE))
        assert only(searched(forward, lambda u, x: (slope + 0.01) * u, 0.0, 0.0)).verdict is Verdict.FAIL

    def test_an_upstream_of_zeros_says_nothing(self) -> None:
        x = array("x", (SIZE,))
        result = only(audit(np.sin, slope_of_sine, x, upstream=[0.0] * SIZE))
        assert result.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)

    def test_an_input_that_forward_does_not_use_passes_beside_one_that_it_does(self) -> None:
        x, y = array("x", (SIZE,)), array("y", (SIZE,))
        audited = audit(lambda x, y: np.sin(x), lambda u, x, y: (u * np.cos(x), np.zeros_like(y)), x, y)
        assert [result.verdict for result in audited.results] == [Verdict.PASS, Verdict.PASS]
        wrong = audit(lambda x, y: np.sin(x), lambda u, x, y: (u * np.cos(x), 0.01 * (np.arange(y.size) == 4)), x, y)
        assert [result.verdict for result in wrong.results] == [Verdict.PASS, Verdict.FAIL]


class TestMagnitudes:
    """Inputs whose natural step is far from that of a number near 1."""

    @pytest.mark.parametrize("scale", [1e-8, 1e-4, 1e4, 1e8, 1e12])
    def test_a_function_on_another_scale_is_not_accused(self, scale: float) -> None:
        def backward(u: Any, x: Any) -> Any:
            return u * np.cos(x / scale)

        result = only(searched(lambda x: scale * np.sin(x / scale), backward, -scale, scale))
        assert (result.verdict, result.wrong) == (Verdict.PASS, 0)

    @pytest.mark.parametrize("scale", [1e-8, 1e-4, 1e4, 1e8, 1e12])
    def test_a_wrong_index_on_another_scale_is_found(self, scale: float) -> None:
        def backward(u: Any, x: Any) -> Any:
            return u * np.cos(x / scale)

        result = only(searched(lambda x: scale * np.sin(x / scale), with_one_wrong(backward), -scale, scale))
        assert (result.verdict, [found.index for found in result.mismatches]) == (Verdict.FAIL, [(777,)])

    @pytest.mark.parametrize("scale", [1e-8, 1e-4, 1e4, 1e8])
    def test_two_inputs_on_different_scales_are_not_accused(self, scale: float) -> None:
        def forward(x: Any, y: Any) -> Any:
            return np.sin(x) + np.cos(y / scale)

        def backward(u: Any, x: Any, y: Any) -> Any:
            return u * np.cos(x), -u * np.sin(y / scale) / scale

        audited = audit(forward, backward, array("x", (SIZE,)), array("y", (SIZE,), -scale, scale))
        assert [result.wrong for result in audited.results] == [0, 0]

    def test_elements_of_many_magnitudes_are_not_accused(self) -> None:
        values = [10.0 ** (k % 13 - 6) for k in range(SIZE)]
        x = array("x", (SIZE,), values=values)
        result = only(audit(lambda x: 1 / x, lambda u, x: -u / x**2, x))
        assert result.wrong == 0

    @pytest.mark.parametrize("huge", [1e13, 1e17, 1e30])
    def test_one_huge_element_does_not_spoil_the_others(self, huge: float) -> None:
        """The sine of a huge number is noise to any step, but that of the others is not."""
        values = [huge, *np.linspace(-1.0, 1.0, SIZE - 1).tolist()]
        result = only(audit(np.sin, slope_of_sine, array("x", (SIZE,), values=values)))
        assert {found.index for found in result.mismatches} <= {(0,)}
        wrong = only(audit(np.sin, with_one_wrong(slope_of_sine), array("x", (SIZE,), values=values)))
        assert wrong.verdict is not Verdict.PASS

    @pytest.mark.parametrize("huge", [1e17, 1e30, 1e100])
    def test_an_element_that_no_step_moves_is_not_counted_as_checked(self, huge: float) -> None:
        """A displacement that rounds to zero sees nothing: not the error that is planted at the very element."""
        values = [huge, *np.linspace(-1.0, 1.0, SIZE - 1).tolist()]

        def backward(u: Any, x: Any) -> Any:
            return 3.0 * u * np.where(np.arange(x.size) == 0, 2.0, 1.0)

        x = array("x", (SIZE,), values=values)
        result = only(audit(lambda x: 3.0 * np.where(np.arange(x.size) == 0, np.minimum(x, huge), x), backward, x))
        assert result.verdict is not Verdict.PASS

    def test_an_element_that_few_steps_move_is_judged_by_how_far_it_moved(self) -> None:
        values = [1e15, *np.linspace(-1.0, 1.0, SIZE - 1).tolist()]
        x = array("x", (SIZE,), values=values)
        assert only(audit(lambda x: 3.0 * x, lambda u, x: 3.0 * u, x)).wrong == 0
        backward = with_one_wrong(lambda u, x: 3.0 * u, 0)
        results = [only(audit(lambda x: 3.0 * x, backward, x, seed=seed)) for seed in range(5)]
        assert Verdict.PASS not in {result.verdict for result in results}
        accused = [result.mismatches for result in results if result.verdict is Verdict.FAIL]
        assert {found.index for mismatches in accused for found in mismatches} == {(0,)}


class Changing:
    """A forward that is the sine at its first calls and something else later."""

    def __init__(self, later: Function, calls: int = 1) -> None:
        self.later = later
        self.calls = calls

    def __call__(self, x: Any) -> Any:
        self.calls -= 1
        return np.sin(x) if self.calls >= 0 else self.later(x)


def refusing(x: Any) -> Any:
    raise ValueError("outside the domain")


LATER: dict[str, Function] = {
    "NaN everywhere": lambda x: np.full_like(x, np.nan),
    "NaN at one place": lambda x: np.where(np.arange(x.size) == 5, np.nan, np.sin(x)),
    "infinity at one place": lambda x: np.where(np.arange(x.size) == 5, np.inf, np.sin(x)),
    "an exception": refusing,
    "another shape": lambda x: np.sin(x)[:-1],
    "another number of axes": lambda x: np.sin(x)[None],
    "another dtype": lambda x: np.sin(x).astype(np.float32),
    "no array": lambda x: None,
    "noise": lambda x: np.random.default_rng().standard_normal(x.shape),
    "zeros": np.zeros_like,
}


@pytest.mark.parametrize("calls", [1, 6])
@pytest.mark.parametrize("name", LATER)
def test_a_forward_that_becomes_another_never_passes(name: str, calls: int) -> None:
    result = only(searched(Changing(LATER[name], calls), slope_of_sine))
    assert result.verdict is not Verdict.PASS
    assert result.message or result.wrong


DOMAINS: dict[str, tuple[Function, Function, float, float]] = {
    "square root": (np.sqrt, lambda u, x: u / 2 / np.sqrt(x), 0.001, 1.0),
    "logarithm": (np.log, lambda u, x: u / x, 1e-3, 1.0),
    "arc sine": (np.arcsin, lambda u, x: u / np.sqrt(1 - x * x), -0.999, 0.999),
    "reciprocal": (lambda x: np.where(x > 0, 1 / x, np.nan), lambda u, x: -u / x**2, 1e-2, 1.0),
}


@pytest.mark.parametrize("name", DOMAINS)
def test_near_the_edge_of_a_domain_right_and_wrong_are_told_apart(name: str) -> None:
    forward, backward, lo, hi = DOMAINS[name]
    right = only(searched(forward, backward, lo, hi))
    assert (right.verdict, right.wrong) == (Verdict.PASS, 0)
    wrong = only(searched(forward, with_one_wrong(backward), lo, hi))
    assert (wrong.verdict, [found.index for found in wrong.mismatches]) == (Verdict.FAIL, [(777,)])


STEPPED: dict[str, tuple[Function, Function]] = {
    "floor": (np.floor, np.zeros_like),
    "floor and a slope": (lambda x: np.floor(x) + x, np.ones_like),
    "sign and a slope": (lambda x: np.sign(x) + x, np.ones_like),
}


class TestRoughForwards:
    @pytest.mark.parametrize("name", STEPPED)
    def test_away_from_the_jumps_the_slope_is_right(self, name: str) -> None:
        forward, slope = STEPPED[name]
        assert only(searched(forward, lambda u, x: u * slope(x), 1.1, 1.9)).verdict is Verdict.PASS
        assert only(searched(forward, lambda u, x: u * slope(x) + 0.01, 1.1, 1.9)).verdict is Verdict.FAIL

    @pytest.mark.parametrize("name", ["floor", "floor and a slope"])
    @pytest.mark.parametrize("factor", [1.0, 1.5])
    def test_at_the_jumps_there_is_nothing_to_decide(self, name: str, factor: float) -> None:
        forward, slope = STEPPED[name]
        audited = searched(forward, lambda u, x: factor * u * slope(x), -2, 2, distribution="integers")
        assert (only(audited).verdict, only(audited).wrong) == (Verdict.INCONCLUSIVE, 0)
        assert "discontinuity" in codes(audited)

    @pytest.mark.parametrize("name", STEPPED)
    def test_one_jump_among_many_values_hides_no_other(self, name: str) -> None:
        forward, slope = STEPPED[name]
        values = np.linspace(1.1, 1.9, SIZE)
        values[5] = 0.0
        x = array("x", (SIZE,), values=values.tolist())
        audited = audit(forward, lambda u, x: u * slope(x), x)
        assert (only(audited).verdict, codes(audited)) == (Verdict.INCONCLUSIVE, {"discontinuity"})
        wrong = only(audit(forward, with_one_wrong(lambda u, x: u * (slope(x) + 0.01)), x))
        # Of a function that has steps and no slope, a slope may be the gradient that a surrogate has.
        assert wrong.verdict is (Verdict.INCONCLUSIVE if name == "floor" else Verdict.FAIL)
        downwards = only(audit(forward, lambda u, x: u * (slope(x) - 0.01), x))
        assert downwards.verdict is Verdict.FAIL

    @pytest.mark.parametrize("largest", [1.5, 100.0])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_rounding_to_integers_is_not_taken_for_the_rounding_of_a_slope(self, dtype: str, largest: float) -> None:
        for forward in (np.floor, lambda x: np.floor(x.astype(np.float32))):
            for seed in range(3):
                x = array("x", (SIZE,), -largest, largest, dtype=dtype)
                assert only(audit(forward, lambda u, x: 0 * u, x, dtype=dtype, seed=seed)).wrong == 0

    @pytest.mark.parametrize("frequency", [1e7, 1e17])
    @pytest.mark.parametrize("share", [1.0, 1e-3])
    def test_oscillations_faster_than_any_step_never_pass_a_wrong_claim(self, frequency: float, share: float) -> None:
        def forward(x: Any) -> Any:
            return (1 - share) * x + share * np.sin(frequency * x)

        for claim in (lambda u, x: 0 * u, lambda u, x: u * (1 - share) * 1.01, lambda u, x: 2 * u):
            result = only(audit(forward, claim, array("x", (50,)), method="search"))
            assert result.verdict is not Verdict.PASS

    @pytest.mark.parametrize("frequency", [1e2, 1e5])
    def test_oscillations_that_a_step_can_follow_are_followed(self, frequency: float) -> None:
        def backward(u: Any, x: Any) -> Any:
            return u * np.cos(frequency * x)

        result = only(searched(lambda x: np.sin(frequency * x) / frequency, backward))
        assert (result.verdict, result.wrong) == (Verdict.PASS, 0)
        wrong = only(searched(lambda x: np.sin(frequency * x) / frequency, with_one_wrong(backward)))
        assert wrong.verdict is Verdict.FAIL


class TestExtremeOutputs:
    @pytest.mark.parametrize("scale", [1e150, 1e300])
    def test_large_outputs_are_audited_as_others_are(self, scale: float) -> None:
        def backward(u: Any, x: Any) -> Any:
            return u * (scale * np.cos(x))

        assert only(searched(lambda x: scale * np.sin(x), backward)).verdict is Verdict.PASS
        wrong = only(searched(lambda x: scale * np.sin(x), with_one_wrong(backward)))
        assert (wrong.verdict, [found.index for found in wrong.mismatches]) == (Verdict.FAIL, [(777,)])

    @pytest.mark.parametrize("scale", [1e307, 1e308, 1.7e308])
    def test_outputs_at_the_end_of_the_range_end_in_a_verdict(self, scale: float) -> None:
        def forward(x: Any) -> Any:
            return scale * np.sin(x)

        assert only(searched(forward, lambda u, x: u * (scale * np.cos(x)))).verdict is not None
        assert only(searched(forward, lambda u, x: np.zeros_like(x))).verdict is not Verdict.PASS
        assert only(searched(forward, lambda u, x: -u * (scale * np.cos(x)))).verdict is not Verdict.PASS

    @pytest.mark.parametrize("scale", [1e-200, 1e-300, 1e-310])
    def test_tiny_outputs_do_not_pass_by_lying_below_the_tolerance(self, scale: float) -> None:
        for slope in (-1.0, 0.0, 1e3):
            result = only(searched(lambda x: scale * np.sin(x), lambda u, x, s=slope: s * scale * np.cos(x)))
            assert result.verdict is not Verdict.PASS

    def test_many_outputs_for_each_input(self) -> None:
        def forward(x: Any) -> Any:
            return np.outer(np.sin(x), np.arange(1.0, 21.0))

        def backward(u: Any, x: Any) -> Any:
            return (u @ np.arange(1.0, 21.0)) * np.cos(x)

        assert only(searched(forward, backward)).verdict is Verdict.PASS
        assert only(searched(forward, with_one_wrong(backward))).wrong == 1

    def test_one_output_for_all_inputs(self) -> None:
        result = only(searched(lambda x: (x * x).sum(), with_one_wrong(lambda u, x: 2 * u * x), 0.5, 1.5))
        assert (result.verdict, result.wrong) == (Verdict.FAIL, 1)


@pytest.mark.parametrize("claim", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("places", [5, slice(None)], ids=["one", "all"])
def test_claims_that_are_no_numbers_are_wrong_where_forward_has_a_slope(claim: float, dtype: str, places: Any) -> None:
    def backward(u: Any, x: Any) -> Any:
        gradient = slope_of_sine(u, x)
        gradient[places] = claim
        return gradient

    audited = audit(np.sin, backward, array("x", (SIZE,), dtype=dtype), dtype=dtype, method="search")
    result = only(audited)
    assert (result.verdict, result.checked, codes(audited)) == (Verdict.FAIL, SIZE, {"nonfinite"})
    assert (result.wrong == 1) if places == 5 else (1 < result.wrong <= SIZE)
    assert all(not math.isfinite(found.analytical) for found in result.mismatches)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_claim_that_is_no_number_hides_no_other_wrong_one(dtype: str) -> None:
    def backward(u: Any, x: Any) -> Any:
        gradient = with_one_wrong(slope_of_sine)(u, x)
        gradient[5] = math.nan
        return gradient

    result = only(audit(np.sin, backward, array("x", (SIZE,), dtype=dtype), dtype=dtype, method="search"))
    assert (result.verdict, result.wrong) == (Verdict.FAIL, 2)
    assert {found.index for found in result.mismatches} == {(5,), (777,)}


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7])
def test_small_inputs_can_be_searched_too(size: int) -> None:
    x = array("x", (size,), 0.5, 1.0)
    right = only(audit(np.sin, slope_of_sine, x, method="search"))
    assert (right.verdict, right.wrong, right.checked) == (Verdict.PASS, 0, size)
    if size:
        wrong = only(audit(np.sin, lambda u, x: 1.01 * slope_of_sine(u, x), x, method="search"))
        assert (wrong.verdict, wrong.wrong) == (Verdict.FAIL, size)


def test_a_scalar_can_be_searched_too() -> None:
    assert only(audit(np.sin, slope_of_sine, array("x", ()), method="search")).verdict is Verdict.PASS
    wrong = only(audit(np.sin, lambda u, x: 1.01 * slope_of_sine(u, x), array("x", ()), method="search"))
    assert [found.index for found in wrong.mismatches] == [()]


def test_a_forward_that_changes_its_input_is_reported() -> None:
    def forward(x: Any) -> Any:
        x *= 1.0001
        return np.sin(x)

    audited = searched(forward, slope_of_sine)
    assert only(audited).verdict is not Verdict.PASS
    assert "input-mutated" in codes(audited)


class TestOutputsThatDoNotLast:
    """Whether forward is watched at every call, as for small inputs, or trusted."""

    @pytest.mark.parametrize("size", [SIZE, LARGE // 8])
    def test_a_forward_that_returns_its_input_itself(self, size: int) -> None:
        def right(u: Any, x: Any) -> Any:
            return u.copy()

        x = array("x", (size,))
        assert only(audit(lambda x: x, right, x, method="search")).verdict is Verdict.PASS
        assert only(audit(lambda x: x, with_one_wrong(right), x, method="search")).wrong == 1

    @pytest.mark.parametrize("size", [SIZE, LARGE // 8])
    def test_a_forward_that_fills_the_same_buffer_at_every_call(self, size: int) -> None:
        buffer = np.empty(size)

        def forward(x: Any) -> Any:
            return np.sin(x, out=buffer)

        x = array("x", (size,))
        assert only(audit(forward, slope_of_sine, x, method="search")).verdict is Verdict.PASS
        assert only(audit(forward, with_one_wrong(slope_of_sine), x, method="search")).wrong == 1


@pytest.mark.parametrize("method", ["auto", "search"])
def test_an_empty_input_beside_one_that_is_searched_has_nothing_to_be_wrong_about(method: str) -> None:
    def backward(u: Any, x: Any, y: Any) -> Any:
        return u * np.cos(x), np.zeros_like(y)

    inputs = array("x", (SIZE,)), array("y", (0, 3))
    full, empty = audit(lambda x, y: np.sin(x) + y.sum(), backward, *inputs, method=method).results
    assert (full.verdict, full.method, full.checked) == (Verdict.PASS, "search", SIZE)
    assert (empty.verdict, empty.size, empty.wrong) == (Verdict.PASS, 0, 0)


def test_an_output_without_elements_leaves_nothing_to_be_wrong_about() -> None:
    result = only(searched(lambda x: x[:0].copy(), lambda u, x: np.zeros_like(x)))
    assert (result.verdict, result.resolution) == (Verdict.PASS, 0.0)


@pytest.mark.parametrize("rest", [[0.0, -2.8, -0.6, 7.8], [-7.3, -3.5]])
def test_elements_next_to_nothing_end_no_audit(rest: list[float]) -> None:
    """An element's scale may be 10^-308 of its neighbour's."""
    tiny = float(np.finfo("float64").smallest_normal)
    x = array("x", (2 + len(rest),), values=[tiny, tiny, *rest], range=None)

    def backward(u: Any, x: Any) -> Any:
        gradient = np.zeros_like(x)
        gradient[:-1] += u
        gradient[1:] += 2 * u
        return gradient

    assert only(audit(lambda x: x[:-1] + 2 * x[1:], backward, x)).verdict is Verdict.PASS
