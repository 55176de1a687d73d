"""Right gradients in low precision, behind offsets, of staircases, of symmetric inputs; and wrong ones beside them."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from pairs import array, audit, codes, only

import gradaudit
from gradaudit.audit.conclusion import Audit
from gradaudit.results import Verdict, worst

f32 = np.float32


def softmax(x: Any) -> Any:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


class TestOffsets:
    """``(x + t) - t`` has few digits, and computes in float64 all the same."""

    @pytest.mark.parametrize("offset", [1e6, 1.7e9, 2e10])
    @pytest.mark.parametrize("seed", range(3))
    def test_the_right_slope_is_not_accused_and_none_does_not_pass(self, offset: float, seed: int) -> None:
        forward = lambda x: 3 * ((offset + x) - offset)  # noqa: E731
        right = only(audit(forward, lambda u, x: 3 * u, array("x", (5,)), seed=seed))
        none = only(audit(forward, lambda u, x: 0 * u, array("x", (5,)), seed=seed))
        assert right.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)
        assert none.verdict is not Verdict.PASS

    def test_rows_of_a_tiny_weight_are_heard_by_themselves(self) -> None:
        weight = np.where(np.arange(20) % 2, 1.0, 1e-8)[:, None]
        for dtype in ("float32", "float64"):
            x = array("x", (20, 4), dtype=dtype)
            right = lambda u, x: u * weight.astype(x.dtype) * np.cos(x)  # noqa: E731
            sign = np.where(weight < 1, -1, 1).astype(dtype)
            flipped = lambda u, x, sign=sign: u * sign * weight.astype(x.dtype) * np.cos(x)  # noqa: E731
            forward = lambda x: weight.astype(x.dtype) * np.sin(x)  # noqa: E731
            assert only(audit(forward, right, x, dtype=dtype)).verdict is Verdict.PASS
            assert only(audit(forward, flipped, x, dtype=dtype)).verdict is not Verdict.PASS


@pytest.mark.parametrize("exponent", [-300, -40, 0, 40, 300])
@pytest.mark.parametrize("what", ["input", "output", "upstream"])
def test_powers_of_two_change_nothing(what: str, exponent: int) -> None:
    """The law of scale: no verdict, no resolution and no count of forwards has a scale of one built in."""
    x = np.random.default_rng(0).uniform(-1, 1, (6, 7))
    upstream = np.random.default_rng(1).uniform(-1, 1, (6, 7))
    k = 2.0**exponent
    inside, outside = (1 / k if what == "input" else 1.0), (k if what == "output" else 1.0)

    def audited(factor: float, scaled: bool) -> tuple[Any, ...]:
        a, b = (inside, outside) if scaled else (1.0, 1.0)
        op = gradaudit.op(lambda x: b * np.sin(a * x), lambda u, x: factor * u * (a * b) * np.cos(a * x))
        point = x * k if scaled and what == "input" else x
        given = upstream * k if scaled and what == "upstream" else upstream
        (result,) = gradaudit.check(op, {"x": point}, upstream=given).results
        return result.verdict, result.wrong, result.evaluations, float(f"{result.resolution:.3g}")

    for factor in (1.0, 1.01):
        assert audited(factor, scaled=True) == audited(factor, scaled=False)


class TestUpstreams:
    def test_a_gradient_that_is_clipped_fails(self) -> None:
        x = array("x", (30,))
        found = audit(lambda x: x**3, lambda u, x: np.clip(3 * u * x * x, -50, 50), x)
        assert (only(found).verdict, codes(found)) == (Verdict.FAIL, {"upstream-clipped"})

    @pytest.mark.parametrize("shape", [(4, 6), (300, 400)])
    def test_rows_that_are_taken_for_adjacent_are_found_at_any_size(self, shape: tuple[int, int]) -> None:
        def adjacent(u: Any, x: Any) -> Any:
            u = u if u.strides[-1] == u.itemsize else np.ascontiguousarray(u)
            rows = np.lib.stride_tricks.as_strided(u, u.shape, (u.shape[1] * u.itemsize, u.itemsize))
            return rows * np.cos(x)

        found = audit(np.sin, adjacent, array("x", shape))
        assert (only(found).verdict, codes(found)) == (Verdict.FAIL, {"layout-dependent"})


def test_a_product_in_float32_that_is_returned_in_float64_is_decided() -> None:
    """At float32 inputs backward answers in float64: a gradient all the same."""
    narrow = lambda a: a.astype(f32)  # noqa: E731
    wide = lambda a: a.astype(np.float64)  # noqa: E731

    def backward(factor: float) -> Any:
        return lambda u, x, w: (factor * wide(narrow(u) @ narrow(w).T), wide(narrow(x).T @ narrow(u)))

    draw = np.random.default_rng(0)
    inputs = {"x": draw.uniform(-1, 1, (40, 16)), "w": draw.uniform(-1, 1, (16, 40))}
    for factor, wanted in ((1.0, Verdict.PASS), (1.05, Verdict.FAIL)):
        op = gradaudit.op(lambda x, w: wide(narrow(x) @ narrow(w)), backward(factor))
        assert gradaudit.check(op, inputs).results[0].verdict is wanted


def worst_of(audited: Audit) -> Verdict:
    return worst([result.verdict for result in audited.results])


class TestTables:
    """Between two places of a table that is read linearly the slope is the chord's, over many the function's."""

    @pytest.mark.parametrize("seed", [1, 3, 4])
    def test_the_functions_own_slope_is_not_accused_and_twice_it_is(self, seed: int) -> None:
        places = np.linspace(-6, 6, 257)
        forward = lambda x: np.interp(x, places, np.exp(places))  # noqa: E731
        x = array("x", (12,), -5, 5)
        right = audit(forward, lambda u, x: u * np.exp(x), x, seed=seed)
        assert only(right).verdict is Verdict.INCONCLUSIVE
        assert "approximate-forward" in codes(right)
        assert only(audit(forward, lambda u, x: 2 * u * np.exp(x), x, seed=seed)).verdict is Verdict.FAIL


class TestStaircases:
    def test_the_slope_between_two_steps_is_not_accused(self) -> None:
        stairs = lambda x: np.round(x / 1e-3) * 1e-3  # noqa: E731
        result = only(audit(lambda x: x * stairs(x), lambda u, x: u * stairs(x), array("x", (1200,), -3, 3)))
        assert result.verdict is not Verdict.FAIL

    def test_a_straight_through_slope_is_withdrawn_and_twice_it_is_not(self) -> None:
        stairs = lambda x: np.round(x * 40) / 40  # noqa: E731
        straight = audit(stairs, lambda u, x: u.copy(), array("x", (3, 4), 0.5, 1.5))
        assert (only(straight).verdict, "straight-through" in codes(straight)) == (Verdict.INCONCLUSIVE, True)
        assert only(audit(stairs, lambda u, x: 2 * u, array("x", (3, 4), 0.5, 1.5))).verdict is Verdict.FAIL

    @pytest.mark.parametrize("step", [0.1, 0.3, 0.6])
    def test_coarse_stairs_accuse_nobody_and_pass_nobody(self, step: float) -> None:
        """Most of a path lies on flat parts: the step is where forward changes most."""
        stairs = lambda x: np.round(x / step) * step  # noqa: E731
        for seed in range(4):
            x = array("x", (8 if seed % 2 else 37,), -1.5, 1.5)
            assert only(audit(stairs, lambda u, x: u.copy(), x, seed=seed)).verdict is not Verdict.FAIL
            wrong = only(audit(stairs, lambda u, x: 1.3 * u, x, seed=seed)).verdict
            assert wrong is Verdict.FAIL or (step > 0.5 and wrong is Verdict.INCONCLUSIVE)

    @pytest.mark.parametrize("seed", range(3))
    def test_one_element_may_move_many_staircases(self, seed: int) -> None:
        """An activation that is rounded inside of a network, and a step size that is learned."""
        rng = np.random.default_rng(seed)
        first, second = rng.normal(size=(8, 24)), rng.normal(size=(24, 5))

        def network(x: Any) -> Any:
            return (np.round(8 * np.tanh(x @ first)) / 8) @ second

        def its_backward(u: Any, x: Any, factor: float = 1.0) -> Any:
            return factor * ((u @ second.T) * (1 - np.tanh(x @ first) ** 2)) @ first.T

        def quantised(x: Any, step: Any) -> Any:
            return np.round(np.clip(x / step, -32, 31)) * step

        def its_gradients(u: Any, x: Any, step: Any, inside: bool = True) -> Any:
            v = x / step
            linear = (v > -32) & (v < 31) | (not inside)
            return u * linear, np.array((u * (np.round(np.clip(v, -32, 31)) - v * linear)).sum())

        x = array("x", (6, 8))
        assert only(audit(network, its_backward, x, seed=seed)).verdict is Verdict.INCONCLUSIVE
        wrong = audit(network, lambda u, x: its_backward(u, x, 1.5), x, seed=seed)
        assert only(wrong).verdict is Verdict.FAIL

        inputs = array("x", (20, 30), -2, 2), array("step", (), 0.04, 0.06)
        assert worst_of(audit(quantised, its_gradients, *inputs, seed=seed)) is Verdict.INCONCLUSIVE
        unmasked = audit(quantised, lambda *given: its_gradients(*given, inside=False), *inputs, seed=seed)
        assert worst_of(unmasked) is Verdict.FAIL

    @pytest.mark.parametrize(
        ("forward", "surrogate"),
        [
            (np.sign, lambda u, x: u * (np.abs(x) <= 1)),
            (np.sign, lambda u, x: u.copy()),
            (lambda x: (x > 0.5) * 1.0, lambda u, x: u / (1 + np.pi**2 * (x - 0.5) ** 2)),
            (lambda x: np.round(np.clip(x, -1, 1)), lambda u, x: u * (np.abs(x) <= 1)),
        ],
        ids=["sign, clipped", "sign, straight through", "a spike", "three values"],
    )
    def test_one_step_is_evidence_of_no_slope(self, forward: Any, surrogate: Any) -> None:
        for seed in range(3):
            found = audit(forward, surrogate, array("x", (8 if seed % 2 else 37,), -2, 2), seed=seed)
            assert (only(found).verdict, "straight-through" in codes(found)) == (Verdict.INCONCLUSIVE, True)
            turned = audit(forward, lambda u, x: -surrogate(u, x), array("x", (37,), -2, 2), seed=seed)
            assert only(turned).verdict is Verdict.FAIL

    @pytest.mark.parametrize(
        ("forward", "backward"),
        [
            (lambda x: np.maximum(x, 0), lambda u, x: u.copy()),
            (lambda x: x * (np.arange(x.size) % 3 > 0), lambda u, x: u.copy()),
            (lambda x: np.clip(x, -1, 1), lambda u, x: u.copy()),
            (lambda x: np.sign(x) + np.maximum(x, 0), lambda u, x: u.copy()),
        ],
        ids=["relu", "a mask", "clip", "a step and a slope"],
    )
    def test_where_forward_is_flat_and_has_no_steps_alone_a_slope_fails(self, forward: Any, backward: Any) -> None:
        for seed in range(2):
            assert only(audit(forward, backward, array("x", (20,), -2, 2), seed=seed)).verdict is Verdict.FAIL

    def test_zeros_do_not_pass_where_forward_rounds_to_bfloat16(self) -> None:
        import ml_dtypes

        rounding = lambda x: np.tanh(x.astype(ml_dtypes.bfloat16).astype(np.float64))  # noqa: E731
        assert only(audit(rounding, lambda u, x: 0 * u, array("x", (6, 16)))).verdict is not Verdict.PASS
        right = only(audit(rounding, lambda u, x: u * (1 - np.tanh(x) ** 2), array("x", (6, 16))))
        assert right.verdict is not Verdict.FAIL


class TestRoundoff:
    def test_a_bias_whose_terms_cancel_is_right_in_float32(self) -> None:
        upstream = np.random.default_rng(0).standard_normal((5000, 1))
        upstream = (upstream - upstream.mean()).astype(f32)
        op = gradaudit.op(lambda x, b: x + b, lambda u, x, b: (u, u.sum(0)))
        inputs = {"x": np.random.default_rng(1).uniform(-1, 1, (5000, 1)).astype(f32), "b": np.ones(1, f32)}
        assert gradaudit.check(op, inputs, upstream=upstream).verdict is not Verdict.FAIL

    @pytest.mark.parametrize("shape", [(4, 8), (24, 20)])
    def test_a_saturated_softmax_is_not_accused(self, shape: tuple[int, int]) -> None:
        def backward(u: Any, x: Any) -> Any:
            y = softmax(x)
            return y * (u - (u * y).sum(axis=-1, keepdims=True))

        for seed in range(3):
            x = array("x", shape, -40, 40, dtype="float32")
            assert only(audit(softmax, backward, x, dtype="float32", seed=seed)).verdict is not Verdict.FAIL

    def test_an_absurd_claim_excuses_no_other(self) -> None:
        def backward(u: Any, x: Any) -> Any:
            gradient = u * np.cos(x)
            gradient[0, 0], gradient[2, 2] = 1e200, 1.01 * gradient[2, 2]
            return gradient

        result = only(audit(np.sin, backward, array("x", (5, 6))))
        assert {row.index for row in result.mismatches} == {(0, 0), (2, 2)}


def test_a_kernel_that_is_garbage_in_float64_is_audited_in_its_own_dtype() -> None:
    forward = lambda x: x**2 if x.dtype == f32 else np.full_like(x, 7.0)  # noqa: E731
    x = array("x", (40,), dtype="float32")
    right = audit(forward, lambda u, x: (2 * u * x).astype(x.dtype), x, dtype="float32")
    wrong = audit(forward, lambda u, x: (3 * u * x).astype(x.dtype), x, dtype="float32")
    assert (only(right).verdict, "forward-dtype" in codes(right)) == (Verdict.PASS, True)
    assert only(wrong).verdict is Verdict.FAIL


def of_float32_memory(function: Any) -> Any:
    """Return a function that takes the memory of any array for float32, as a kernel does that is handed a pointer."""

    def read(x: Any) -> Any:
        return np.ascontiguousarray(x).view(f32).reshape(-1)[: x.size].reshape(x.shape)

    def called(*given: Any) -> Any:
        answer = function(*map(read, given))
        written = np.zeros(answer.shape, given[-1].dtype)
        written.view(f32).reshape(-1)[: answer.size] = answer.reshape(-1)
        return written

    return called


@pytest.mark.filterwarnings("ignore")  # of overflow in what is read of float64
class TestKernelsOfFloat32Memory:
    """Rows of a softmax, of which nothing but garbage is left in float64: it changes altogether at the least nudge."""

    @staticmethod
    def verdicts(shape: tuple[int, int], seed: int, factor: float) -> set[Verdict]:
        def backward(u: Any, x: Any) -> Any:
            y = softmax(x)
            return f32(factor) * y * (u - (u * y).sum(axis=-1, keepdims=True))

        op = gradaudit.op(of_float32_memory(softmax), of_float32_memory(backward))
        x = np.random.default_rng(seed).uniform(-1, 1, shape).astype(f32)
        return {result.verdict for result in gradaudit.check(op, {"x": x}, seed=seed).results}

    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("shape", [(16, 24), (64, 40)])
    def test_right_ones_pass(self, shape: tuple[int, int], seed: int) -> None:
        assert self.verdicts(shape, seed, 1.0) == {Verdict.PASS}

    @pytest.mark.parametrize("factor", [1.1, -1.0])
    def test_wrong_ones_fail(self, factor: float) -> None:
        assert self.verdicts((64, 40), 0, factor) == {Verdict.FAIL}


def test_a_forward_that_is_ill_conditioned_is_the_same_function_in_float64() -> None:
    """Rounding of its inputs changes it in float32 as it does in float64: no reason to do without that."""
    x = array("x", (40,), 0.5, 1.5, dtype="float32")
    found = audit(
        lambda x: np.sin(x.dtype.type(1e5) * x),
        lambda u, x: x.dtype.type(1e5) * u * np.cos(x.dtype.type(1e5) * x),
        x,
        dtype="float32",
    )
    assert "forward-dtype" not in codes(found)


class TestSymmetricInputs:
    @staticmethod
    def lower(a: Any) -> Any:
        return np.exp(np.tril(a) + np.tril(a, -1).T)

    def test_a_gradient_by_halves_of_one_triangle_passes(self) -> None:
        a = array("a", (4, 4), distribution="spd")
        found = audit(self.lower, lambda u, a: (u + u.T) / 2 * np.exp(a), a)
        assert (only(found).verdict, "symmetric-input" in codes(found)) == (Verdict.PASS, True)
        assert only(audit(self.lower, lambda u, a: 1.01 * u * np.exp(a), a)).verdict is Verdict.FAIL

    def test_one_that_happens_to_be_symmetric_hides_no_transposition(self) -> None:
        weight = np.arange(16.0).reshape(4, 4)
        values = np.eye(4) + 0.5
        a = array("a", (4, 4), values=values)
        assert only(audit(lambda a: a @ weight, lambda u, a: (u @ weight.T).T, a)).verdict is Verdict.FAIL

    @staticmethod
    def projector(u: Any, a: Any) -> Any:
        vectors = np.linalg.eigh(a)[1]
        return (vectors * u) @ vectors.conj().T

    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("distribution", ["spd", "symmetric"])
    def test_eigenvalues_of_hermitian_matrices_pass(self, distribution: str, seed: int) -> None:
        a = array("a", (4, 4), distribution=distribution, dtype="complex128")
        found = only(audit(np.linalg.eigvalsh, self.projector, a, dtype="complex128", seed=seed))
        assert (found.verdict, "symmetric-input" in {each.code for each in found.findings}) == (Verdict.PASS, True)

    @staticmethod
    def hermitian(n: int) -> Any:
        real, imaginary = np.random.default_rng(n).standard_normal((2, n, n))
        return real + real.T + 1j * (imaginary - imaginary.T)

    @pytest.mark.parametrize("n", [3, 5])
    def test_a_hermitian_matrix_is_known_by_the_triangle_that_is_read(self, n: int) -> None:
        op = gradaudit.op(np.linalg.eigvalsh, self.projector)
        assert gradaudit.check(op, {"a": self.hermitian(n)}).verdict is Verdict.PASS

    @pytest.mark.parametrize(("n", "dtype"), [(4, np.float32), (12, np.float64), (24, np.complex128)])
    def test_pairs_of_entries_are_tested_together(self, n: int, dtype: Any) -> None:
        """What one table of single entries would take grows with their number, and so does that of the pairs."""
        a = (self.hermitian(n) if dtype is np.complex128 else self.hermitian(n).real).astype(dtype)
        found = only(gradaudit.check(gradaudit.op(np.linalg.eigvalsh, self.projector), {"a": a}))
        assert (found.verdict, found.forwards < 50) == (Verdict.PASS, True)
        wrong = gradaudit.op(np.linalg.eigvalsh, lambda u, a: (1.01 * self.projector(u, a)).astype(a.dtype))
        assert gradaudit.check(wrong, {"a": a}).verdict is Verdict.FAIL

    @pytest.mark.parametrize(
        "wrong",
        [
            lambda g: g.T,  # as V diag(u) V^T without the conjugate is for these
            lambda g: -g,
            lambda g: 2 * g - np.diag(np.diag(g)),
            lambda g: np.tril(g),
            lambda g: g.real + 0j,
        ],
    )
    def test_a_wrong_gradient_of_a_hermitian_matrix_fails(self, wrong: Any) -> None:
        op = gradaudit.op(np.linalg.eigvalsh, lambda u, a: wrong(self.projector(u, a)))
        assert gradaudit.check(op, {"a": self.hermitian(4)}).verdict is Verdict.FAIL

    def test_what_is_said_of_an_imaginary_diagonal_does_not_matter(self) -> None:
        a = array("a", (4, 4), distribution="spd", dtype="complex128")
        backward = lambda u, a: self.projector(u, a) + 5j * np.diag(u)  # noqa: E731
        assert only(audit(np.linalg.eigvalsh, backward, a, dtype="complex128")).verdict is Verdict.PASS


def test_scores_that_are_rounded_on_the_way_are_no_wrong_gradient() -> None:
    """The logits of a cross entropy are kept in bfloat16, also where float64 is asked: forward is a staircase."""

    def scores(x: Any, w: Any) -> Any:
        return (x @ w.T).astype(ml_dtypes.bfloat16).astype(np.float64)

    def loss(x: Any, w: Any, t: Any) -> Any:
        z = scores(x, w)
        return (np.log(np.exp(z).sum(1)) - z[np.arange(len(t)), t]).mean()

    def backward(u: Any, x: Any, w: Any, t: Any) -> Any:
        p = np.exp(scores(x, w))
        p /= p.sum(1, keepdims=True)
        p[np.arange(len(t)), t] -= 1
        return u * (p @ w) / len(t), u * (p.T @ x) / len(t)

    rng = np.random.default_rng(0)
    x, w, t = rng.normal(size=(32, 24)), 0.3 * rng.normal(size=(60, 24)), rng.integers(0, 60, 32)
    for factor, never in ((1.0, Verdict.FAIL), (1.5, Verdict.PASS)):
        scaled = lambda *given, factor=factor: tuple(factor * each for each in backward(*given))  # noqa: E731
        audited = gradaudit.check(gradaudit.op(loss, scaled, returns=["x", "w"]), {"x": x, "w": w, "t": t})
        assert never not in {result.verdict for result in audited.results}
