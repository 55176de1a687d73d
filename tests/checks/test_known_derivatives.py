"""The gradient check against functions whose derivatives are known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from pairs import array, audit, codes, only

from gradaudit.results import Mismatch, Result, Verdict
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES, is_complex

Function = Callable[[Any], Any]

SMOOTH: dict[str, tuple[Function, Function]] = {
    "sin": (np.sin, np.cos),
    "exp": (np.exp, np.exp),
    "tanh": (np.tanh, lambda x: 1.0 - np.tanh(x) ** 2),
    "cube": (lambda x: x**3, lambda x: 3.0 * x**2),
    "reciprocal": (lambda x: 1.0 / (x + 3.0), lambda x: -1.0 / (x + 3.0) ** 2),
    "linear": (lambda x: 2.0 * x - 1.0, lambda x: 2.0 * np.ones_like(x)),
}
"""Functions with their derivatives; analytic in a neighbourhood of the inputs that are drawn."""

DTYPES = ("float64", "float32", "float16", "bfloat16", "complex128", "complex64")


@dataclass(frozen=True)
class Problem:
    """``y = f(A x)`` over all elements of x, or ``f(x)`` elementwise, at a point that the audit draws."""

    function: str
    shape: tuple[int, ...]
    dtype: str
    layout: str
    seed: int
    mixed: bool

    @property
    def matrix(self) -> Any:
        size = math.prod(self.shape)
        if not self.mixed:
            return np.eye(size)
        return np.random.default_rng(self.seed).standard_normal((size + 1, size)) / math.sqrt(max(size, 1))

    def forward(self, x: Any) -> Any:
        """Compute in double precision and round once, so that every dtype is as good as it can be."""
        f, _ = SMOOTH[self.function]
        return f(self.matrix @ wide(x).reshape(-1)).astype(x.dtype)

    def gradient(self, upstream: Any, x: Any) -> Any:
        """Return the true gradient in double precision: ``A^T (u conj(f'(A x)))``."""
        _, slope = SMOOTH[self.function]
        return (self.matrix.T @ (wide(upstream) * np.conj(slope(self.matrix @ wide(x).reshape(-1))))).reshape(x.shape)

    def backward(self, upstream: Any, x: Any) -> Any:
        return self.gradient(upstream, x).astype(x.dtype)

    def audited(self, backward: Function) -> Result:
        x = array("x", self.shape, dtype=self.dtype, layout=self.layout)
        return only(audit(self.forward, backward, x, dtype=self.dtype, seed=self.seed, method="exhaustive"))


def wide(values: Any) -> Any:
    return values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)


@st.composite
def problems(draw: st.DrawFn, min_size: int = 0) -> Problem:
    shapes = array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=4) | st.sampled_from([(0,), (2, 0)])
    return Problem(
        function=draw(st.sampled_from(sorted(SMOOTH))),
        shape=draw(shapes.filter(lambda shape: min_size <= math.prod(shape) <= 24)),
        dtype=draw(st.sampled_from(DTYPES)),
        layout=draw(st.sampled_from(["contiguous", "transposed", "strided"])),
        seed=draw(st.integers(0, 10_000)),
        mixed=draw(st.booleans()),
    )


@settings(deadline=None, max_examples=60, derandomize=True)
@given(problems())
def test_a_right_gradient_passes(problem: Problem) -> None:
    sizes = []

    def backward(upstream: Any, x: Any) -> Any:
        sizes.extend(np.abs(problem.gradient(upstream, x)).flat)
        return problem.backward(upstream, x)

    result = problem.audited(backward)
    # A gradient that drowns in the absolute tolerance has nothing to pass with.
    assume(not sizes or np.linalg.norm(sizes) / math.sqrt(len(sizes)) > 50 * DEFAULT_TOLERANCES[problem.dtype].atol)
    assert (result.verdict, result.message) == (Verdict.PASS, "")
    assert result.expected
    assert result.mismatches == ()
    assert result.findings == ()
    assert (result.checked, result.size, result.wrong) == (math.prod(problem.shape),) * 2 + (0,)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(problems(min_size=1), st.data())
def test_planted_faults_are_found_where_they_are_and_nowhere_else(problem: Problem, data: st.DataObject) -> None:
    places = sorted(data.draw(st.sets(st.sampled_from(list(np.ndindex(problem.shape))), min_size=1)))
    sizes = [data.draw(st.floats(8.0, 1e4)) * data.draw(st.sampled_from([-1.0, 1.0])) for _ in places]
    tolerance = DEFAULT_TOLERANCES[problem.dtype]
    truths: list[Any] = []
    claims: list[Any] = []  # backward may be asked again in double precision

    def faulty(upstream: Any, x: Any) -> Any:
        truth = problem.gradient(upstream, x)
        wrong = truth.copy()
        for place, size in zip(places, sizes, strict=True):
            wrong[place] += size * (tolerance.atol + tolerance.rtol * abs(truth[place]))
        truths.append(truth)
        claims.append(wrong.astype(x.dtype))
        return claims[-1]

    result = problem.audited(faulty)
    assert result.verdict is Verdict.FAIL
    assert not result.expected
    assert sorted(found.index for found in result.mismatches) == places
    assert result.wrong == len(places)
    for found in result.mismatches:
        assert_row_is_true(found, [claim[found.index].item() for claim in claims], truths[0][found.index].item())
        assert tolerance.rtol * abs(found.numerical) <= found.tolerance < found.difference
    excess = [found.difference / found.tolerance for found in result.mismatches]
    assert excess == sorted(excess, reverse=True)


def assert_row_is_true(found: Mismatch, claims: list[complex], truth: complex) -> None:
    assert found.analytical in claims
    assert abs(found.numerical - truth) <= found.error_bound + 1e-14 * abs(truth)
    assert found.difference == pytest.approx(abs(found.analytical - found.numerical))
    assert found.error_bound < found.difference


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gradient_that_is_wrong_everywhere_is_wrong_everywhere(dtype: str) -> None:
    problem = Problem("exp", (3, 4), dtype, "contiguous", 0, mixed=False)
    result = problem.audited(lambda upstream, x: -problem.backward(upstream, x))
    assert (result.verdict, result.wrong, len(result.mismatches)) == (Verdict.FAIL, 12, 12)


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if is_complex(dtype)])
def test_a_fault_in_the_imaginary_part_alone_is_found(dtype: str) -> None:
    problem = Problem("sin", (5,), dtype, "contiguous", 0, mixed=False)

    def faulty(upstream: Any, x: Any) -> Any:
        gradient = problem.backward(upstream, x)
        gradient[3] += 0.01j
        return gradient

    result = problem.audited(faulty)
    assert result.verdict is Verdict.FAIL
    assert [found.index for found in result.mismatches] == [(3,)]


def test_each_input_has_a_result_of_its_own() -> None:
    audited = audit(
        lambda x, y, z: np.sin(x) * y + z.sum(),
        lambda u, x, y, z: (u * np.cos(x) * y, 1.01 * u * np.sin(x), np.full(z.shape, u.sum())),
        *(array("x", (3, 2)), array("y", (3, 2)), array("z", ())),
    )
    assert [(result.input, str(result.verdict)) for result in audited.results] == [
        ("x", "pass"),
        ("y", "fail"),
        ("z", "pass"),
    ]
    assert audited.results[1].wrong == 6


def test_an_input_in_use_twice_collects_both_shares() -> None:
    result = only(audit(lambda x: x @ x, lambda u, x: 2.0 * u * x, array("x", (5,))))
    assert result.verdict is Verdict.PASS
    forgotten = only(audit(lambda x: x @ x, lambda u, x: u * x, array("x", (5,))))
    assert (forgotten.verdict, forgotten.wrong) == (Verdict.FAIL, 5)


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided"])
def test_layouts_reach_forward_as_the_spec_asks_in_both_precisions(layout: str) -> None:
    strides = set()

    def forward(x: Any) -> Any:
        strides.add((x.strides[0] // x.itemsize, x.strides[1] // x.itemsize))
        return np.sin(x)

    x = array("x", (3, 4), dtype="float32", layout=layout)
    assert only(audit(forward, lambda u, x: u * np.cos(x), x, dtype="float32")).verdict is Verdict.PASS
    assert strides == {{"contiguous": (4, 1), "transposed": (1, 3), "strided": (8, 2)}[layout]}


class TestShapesAtTheEdge:
    def test_a_right_scalar_passes_at_its_one_index(self) -> None:
        result = only(audit(np.sin, lambda u, x: u * np.cos(x), array("x", ())))
        assert (result.verdict, result.size, result.checked) == (Verdict.PASS, 1, 1)

    def test_a_wrong_scalar_is_wrong_at_the_empty_index(self) -> None:
        result = only(audit(np.sin, lambda u, x: u * np.sin(x), array("x", ())))
        assert result.verdict is Verdict.FAIL
        assert [found.index for found in result.mismatches] == [()]

    @pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
    def test_an_empty_input_has_nothing_to_be_wrong_about(self, shape: tuple[int, ...]) -> None:
        result = only(audit(np.sin, lambda u, x: u * np.cos(x), array("x", shape)))
        assert (result.verdict, result.size, result.wrong) == (Verdict.PASS, 0, 0)

    def test_an_empty_input_still_needs_a_gradient_of_its_shape(self) -> None:
        audited = audit(np.sin, lambda u, x: np.zeros((1, 0)), array("x", (0,)))
        assert only(audited).verdict is Verdict.ERROR
        assert "shape-mismatch" in codes(audited)

    def test_an_empty_input_beside_another_does_not_hide_it(self) -> None:
        audited = audit(
            lambda x, y: np.concatenate([np.sin(x), y]),
            lambda u, x, y: (1.01 * u[:3] * np.cos(x), u[3:]),
            *(array("x", (3,)), array("y", (0,))),
        )
        assert [result.verdict for result in audited.results] == [Verdict.FAIL, Verdict.PASS]


class TestOutputs:
    @staticmethod
    def forward(x: Any) -> Any:
        return np.sin(x), x**2

    def test_all_floating_outputs_count(self) -> None:
        right = audit(self.forward, lambda u, x: u[0] * np.cos(x) + u[1] * 2.0 * x)
        assert only(right).verdict is Verdict.PASS
        one_forgotten = audit(self.forward, lambda u, x: u[0] * np.cos(x))
        assert only(one_forgotten).verdict is Verdict.FAIL

    @pytest.mark.parametrize(
        ("counted", "backward"),
        [
            ((0,), lambda u, x: u * np.cos(x)),
            ((1,), lambda u, x: u * 2.0 * x),
            ((1, 0), lambda u, x: u[0] * 2.0 * x + u[1] * np.cos(x)),
        ],
        ids=["first", "second", "both the other way round"],
    )
    def test_only_those_that_the_spec_counts_do(self, counted: tuple[int, ...], backward: Function) -> None:
        assert only(audit(self.forward, backward, counted=counted)).verdict is Verdict.PASS
        wrong = audit(self.forward, lambda u, x: 1.01 * backward(u, x), counted=counted)
        assert only(wrong).wrong == 12

    def test_integers_masks_and_nothing_do_not_count(self) -> None:
        audited = audit(lambda x: (np.sin(x), x > 0.0, x.argmax(axis=0), None), lambda u, x: u * np.cos(x))
        assert only(audited).verdict is Verdict.PASS

    def test_outputs_may_differ_in_shape_and_dtype(self) -> None:
        def forward(x: Any) -> Any:
            return x.sum(), np.exp(1j * x), np.stack([x, x])

        def backward(upstream: Any, x: Any) -> Any:
            total, turned, stacked = upstream
            return total + (np.conj(1j * np.exp(1j * x)) * turned).real + stacked.sum(axis=0)

        assert only(audit(forward, backward)).verdict is Verdict.PASS

    @pytest.mark.parametrize("counted", [(1,), (5,)], ids=["integers", "one that is not there"])
    def test_counting_on_an_output_without_derivatives_is_an_error(self, counted: tuple[int, ...]) -> None:
        audited = audit(lambda x: (np.sin(x), x.argmax(axis=0)), lambda u, x: u * np.cos(x), counted=counted)
        assert only(audited).verdict is Verdict.ERROR
        assert f"output {counted[0]}" in only(audited).message


class TestInputsWithoutGradient:
    def test_only_differentiable_inputs_are_audited(self) -> None:
        audited = audit(
            lambda x, scale, rows: (np.sin(x) * scale)[rows],
            lambda u, x, scale, rows: np.bincount(rows, u, minlength=len(x)) * scale * np.cos(x),
            array("x", (5,)),
            array("scale", (), 0.5, 1.5, differentiable=False),
            array("rows", (8,), 0, 4, dtype="int64", differentiable=False, distribution="integers"),
        )
        assert only(audited).input == "x"
        assert only(audited).verdict is Verdict.PASS

    def test_they_are_drawn_and_never_perturbed(self) -> None:
        seen = set()

        def forward(x: Any, scale: Any) -> Any:
            seen.add(scale.tobytes())
            return x * scale

        scale = array("scale", (3,), differentiable=False)
        assert only(audit(forward, lambda u, x, scale: u * scale, array("x", (3,)), scale)).verdict is Verdict.PASS
        assert len(seen) == 2  # at the audited point, and at the one that tells whether backward looks at it
