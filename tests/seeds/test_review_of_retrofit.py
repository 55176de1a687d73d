"""The review of a retrofit: captured outputs, tolerances that do not fit, kinks, edges, inputs that hide bugs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from replays import array, audit, in_peace, told, verdicts

from gradaudit.coverage.survey import survey
from gradaudit.guides import guide
from gradaudit.ops.activation import (
    elu,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    softmax,
    softmax_backward,
    tanh,
    tanh_backward,
)
from gradaudit.ops.conv import conv2d, conv2d_backward
from gradaudit.ops.dropout import dropout, dropout_backward
from gradaudit.ops.loss import cross_entropy, cross_entropy_backward
from gradaudit.ops.matrix import linear, linear_backward
from gradaudit.results import Verdict
from gradaudit.spec.case import Input, Tolerance
from gradaudit.spec.project import Project

Function = Callable[..., Any]
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def elu_backward_by_output(u: Any, y: Any) -> Any:
    return u * np.where(y > 0, y.dtype.type(1), y + 1)


BY_OUTPUT: dict[str, tuple[Function, Function]] = {
    "sigmoid": (sigmoid, sigmoid_backward),
    "tanh": (tanh, tanh_backward),
    "softmax": (softmax, softmax_backward),
    "elu": (elu, elu_backward_by_output),
}


@each_dtype
@pytest.mark.parametrize("shape", [(2, 3), (20, 26)], ids=["exhaustive", "search"])
@pytest.mark.parametrize("name", BY_OUTPUT)
class TestOutputsThatWrappersCapture:
    def test_an_output_computed_once_is_captured(self, name: str, shape: tuple[int, ...], dtype: str) -> None:
        function, slope = BY_OUTPUT[name]
        outputs: dict[str, Any] = {}

        def forward(x: Any) -> Any:
            return outputs.setdefault(x.dtype.name, function(x)) * 0 + function(x)

        def backward(u: Any, _: Any) -> Any:
            return slope(u, outputs[u.dtype.name])

        made = audit(forward, backward, array("x", shape, dtype=dtype), dtype=dtype)
        assert told(made) == {"x": {"captured-state"}}
        assert verdicts(made) == {"x": Verdict.FAIL}
        assert made.results[0].wrong == 0  # the gradient is right here: nothing but the finding tells

    def test_an_output_computed_from_the_input_given_is_in_order(
        self, name: str, shape: tuple[int, ...], dtype: str
    ) -> None:
        function, slope = BY_OUTPUT[name]
        made = audit(function, lambda u, x: slope(u, function(x)), array("x", shape, dtype=dtype), dtype=dtype)
        assert in_peace(made)


def kept(rng: np.random.Generator, x: Any) -> Any:
    return (rng.random(x.shape) >= 0.3).astype(x.dtype)


class TestAMaskGeneratedAgain:
    def test_in_backward_from_a_generator_that_has_moved_on(self) -> None:
        """Two calls with one seed, and a seed that does not reset the state."""
        rng = np.random.default_rng(42)
        made = audit(
            lambda x: dropout(x, kept(np.random.default_rng(42), x), p=0.3),
            lambda u, x: dropout_backward(u, kept(rng, x), p=0.3),
        )
        assert "stochastic-backward" in told(made)["x"]
        assert verdicts(made) == {"x": Verdict.FAIL}

    @each_dtype
    def test_from_the_same_seed_at_each_call_it_is_the_same_mask(self, dtype: str) -> None:
        made = audit(
            lambda x: dropout(x, kept(np.random.default_rng(42), x), p=0.3),
            lambda u, x: dropout_backward(u, kept(np.random.default_rng(42), x), p=0.3),
            array("x", (4, 8), dtype=dtype),
            dtype=dtype,
        )
        assert in_peace(made)


def audited_conv2d(tolerance: Tolerance | None) -> Any:
    inputs = [array("x", (1, 2, 4, 4)), array("weight", (2, 2, 3, 3)), array("bias", (2,), 0.1, 0.5)]
    inputs = [array(made.name, made.shape, *made.range, dtype="float32") for made in inputs]
    return audit(conv2d, conv2d_backward, *inputs, dtype="float32", tolerance=tolerance)


class TestTolerances:
    def test_that_of_the_convolution_is_too_loose(self) -> None:
        made = audited_conv2d(Tolerance(1e-2, 1e-5, reason="a larger op"))
        assert told(made) == {name: {"tolerance-too-loose"} for name in ("x", "weight", "bias")}
        for result in made.results:
            (found,) = result.findings
            assert found.evidence["rtol"] <= 1e-3  # what the review asks to try
            assert result.verdict is Verdict.PASS

    def test_the_one_that_is_proposed_instead_passes(self) -> None:
        made = audited_conv2d(Tolerance(1e-3, 1e-6))
        assert set(verdicts(made).values()) == {Verdict.PASS}

    def test_without_any_it_passes_at_the_default(self) -> None:
        assert in_peace(audited_conv2d(None))

    def sigmoid_at(self, tolerance: Tolerance, forward: Function = sigmoid, **more: Any) -> Any:
        x = array("x", (3, 4), -2.0, 2.0, dtype="float32")
        backward = lambda u, x: sigmoid_backward(u, sigmoid(x))  # noqa: E731
        return audit(forward, backward, x, dtype="float32", tolerance=tolerance, **more)

    def test_one_below_what_float32_can_represent_is_too_tight(self) -> None:
        assert told(self.sigmoid_at(Tolerance(1e-9, 1e-12)))["x"] >= {"tolerance-too-tight"}

    def test_the_defaults_under_review_are_not_where_forward_is_differenced_in_double(self) -> None:
        """They were for a checker that differences in float32; nothing else forbids them."""
        assert in_peace(self.sigmoid_at(Tolerance(1e-4, 1e-7)))

    def test_where_it_cannot_be_they_are_undecided_instead_of_wrong(self) -> None:
        made = self.sigmoid_at(Tolerance(1e-4, 1e-7), lambda x: sigmoid(x.astype(np.float32)), step=1e-5)
        assert (made.results[0].verdict, made.results[0].wrong) == (Verdict.INCONCLUSIVE, 0)
        assert "noise-dominated" in told(made)["x"]


class TestReluAtZero:
    VALUES = (-1.0, 0.0, 0.5, 2.0)

    def audited(self, at_zero: float, values: Any = VALUES, dtype: str = "float32") -> Any:
        def backward(u: Any, x: Any) -> Any:
            return np.where(x == 0, x.dtype.type(at_zero) * u, relu_backward(u, x))

        x = array("x", (4,), values=list(values), dtype=dtype)
        return audit(relu, backward, x, dtype=dtype)

    @each_dtype
    @pytest.mark.parametrize("at_zero", [0.0, 0.5, 1.0])
    def test_any_value_between_the_one_sided_derivatives_is_right(self, at_zero: float, dtype: str) -> None:
        made = self.audited(at_zero, dtype=dtype)
        assert (verdicts(made), told(made)) == ({"x": Verdict.PASS}, {"x": {"kink"}})
        assert made.results[0].findings[0].evidence["index"] == [1]

    @each_dtype
    @pytest.mark.parametrize("at_zero", [-0.1, 1.1])
    def test_any_other_is_wrong(self, at_zero: float, dtype: str) -> None:
        made = self.audited(at_zero, dtype=dtype)
        assert verdicts(made) == {"x": Verdict.FAIL}
        assert [row.index for row in made.results[0].mismatches] == [(1,)]

    @each_dtype
    @pytest.mark.parametrize("near", [1e-4, -1e-4])
    def test_beside_it_there_is_no_kink(self, near: float, dtype: str) -> None:
        assert in_peace(self.audited(0.5, (-1.0, near, 0.5, 2.0), dtype))


def log_of_softmax(logits: Any) -> Any:
    odds = np.exp(logits)
    return np.log(odds / odds.sum(axis=-1, keepdims=True))


def log_of_softmax_backward(u: Any, logits: Any) -> Any:
    return u - softmax(logits) * u.sum(axis=-1, keepdims=True)


class TestLogNearZero:
    def labels(self) -> Input:
        return Input("labels", (2,), "int64", differentiable=False, distribution="integers", range=(0, 3))

    @each_dtype
    def test_a_probability_that_underflows_gives_an_output_that_is_not_finite(self, dtype: str) -> None:
        x = array("x", (3,), values=[0.0, 1.0, -800.0], dtype=dtype)
        made = audit(log_of_softmax, log_of_softmax_backward, x, dtype=dtype)
        assert (verdicts(made), told(made)) == ({"x": Verdict.ERROR}, {"x": {"nonfinite"}})

    @each_dtype
    def test_the_loss_that_takes_the_logarithm_of_no_probability_is_in_order(self, dtype: str) -> None:
        logits = array("logits", (2, 3), values=[[0.0, 1.0, -800.0], [2.0, 1.0, 0.5]], dtype=dtype)
        backward = lambda u, logits, labels: cross_entropy_backward(u, logits, labels)  # noqa: E731
        assert in_peace(audit(cross_entropy, backward, logits, self.labels(), dtype=dtype))

    def test_a_step_that_leaves_the_domain_on_both_sides_is_told(self) -> None:
        x = array("x", (3,), 0.2, 0.8)
        made = audit(lambda x: np.log(x) - np.log(1 - x), lambda u, x: u / (x * (1 - x)), x, step=1.0)
        assert (verdicts(made), told(made)) == ({"x": Verdict.INCONCLUSIVE}, {"x": {"out-of-domain"}})
        assert made.results[0].wrong == 0

    @each_dtype
    def test_a_step_that_is_chosen_stays_inside(self, dtype: str) -> None:
        x = array("x", (3,), values=[1e-6, 0.5, 2.0], dtype=dtype)
        made = audit(np.log, lambda u, x: u / x, x, dtype=dtype)
        assert verdicts(made)["x"] is Verdict.PASS
        assert "out-of-domain" not in told(made).get("x", set())


class TestZeroBias:
    def audited(self, bias: Input, spoil: Function = lambda gradient, bias: gradient) -> Any:
        def backward(u: Any, x: Any, weight: Any, bias: Any) -> Any:
            grad_x, grad_weight, grad_bias = linear_backward(u, x, weight)
            return grad_x, spoil(grad_weight, bias), grad_bias

        return audit(linear, backward, array("x", (2, 3)), array("weight", (4, 3)), bias)

    ZERO = array("bias", (4,), values=[0.0] * 4)
    DRAWN = array("bias", (4,), 0.1, 0.5)

    def test_is_told(self) -> None:
        made = self.audited(self.ZERO)
        assert told(made) == {"bias": {"zero-input"}}
        assert set(verdicts(made).values()) == {Verdict.PASS}

    def test_any_other_is_in_order(self) -> None:
        assert in_peace(self.audited(self.DRAWN))

    def test_hides_a_bias_in_the_wrong_place(self) -> None:
        wrong = lambda gradient, bias: gradient + bias[:, None]  # noqa: E731
        assert set(verdicts(self.audited(self.ZERO, wrong)).values()) == {Verdict.PASS}
        assert verdicts(self.audited(self.DRAWN, wrong))["weight"] is Verdict.FAIL


def test_backward_passes_without_a_check_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four were found by reading, and the counts of three summaries did not agree."""
    monkeypatch.chdir(tmp_path)
    names = ["dot", "outer", "sin", "cos", "exp"]
    code = "".join(
        f"def {name}(x):\n    return x\n\n\ndef {name}_backward(upstream, x):\n    return x\n\n\n" for name in names
    )
    (tmp_path / "listed_ops.py").write_text(code)
    (tmp_path / "exp.yaml").write_text(
        "op: exp\ntarget: {forward: 'listed_ops:exp', backward: 'listed_ops:exp_backward'}\ninputs: {x: {shape: [3]}}\n"
    )
    project = Project(folder=tmp_path)
    found = survey(
        project,
        sources=[tmp_path],
        specs=[Path("exp.yaml")],
        store=tmp_path / "none",
        needs=lambda _: None,
        progress=lambda _: None,
    )
    assert [each.name for _, each in found.missing] == [f"{name}_backward" for name in names if name != "exp"]
    assert (found.total.passes, found.total.checked) == (5, 1)


@pytest.mark.parametrize(
    ("missing", "name", "said"),
    [
        ("how to run it", "ci", "gradaudit run"),
        ("how to debug a tolerance that fails", "tolerance", "It fails by a little"),
        ("how to add a check for a new op", "new-op", "A spec"),
        ("which tolerance and why", "tolerance", "rtol"),
    ],
)
def test_the_instructions_that_were_missing_are_guides(missing: str, name: str, said: str) -> None:
    assert said in guide(name).text, missing
