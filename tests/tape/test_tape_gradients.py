"""Gradients of compositions: what the tape leaves in the leaves against calculus, and against differences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import gradaudit
from gradaudit.spec.case import Case
from gradaudit.spec.draw import draw_inputs, draw_upstream
from gradaudit.spec.load import load_specs
from gradaudit.spec.op_targets import PythonTarget
from gradaudit.tape import Tensor, functions
from gradaudit.targets import open_op

Array = np.ndarray[Any, np.dtype[Any]]

numbers = st.floats(-3.0, 3.0, allow_subnormal=False)
vectors = arrays(np.float64, st.integers(1, 6), elements=numbers)
any_shape = arrays(np.float64, array_shapes(max_dims=3, max_side=4), elements=numbers)


def gradients(function: Callable[..., Tensor], *values: Array) -> list[Array | None]:
    leaves = [Tensor(value, requires_grad=True) for value in values]
    function(*leaves).backward()
    return [leaf.grad for leaf in leaves]


class TestCalculus:
    @settings(max_examples=50, deadline=None)
    @given(any_shape)
    def test_a_polynomial_whose_variable_occurs_often(self, x: Array) -> None:
        (grad,) = gradients(lambda x: (x * x * x - 2.0 * x + x / 4.0).sum(), x)
        assert np.allclose(grad, 3.0 * x**2 - 1.75)

    @settings(max_examples=50, deadline=None)
    @given(vectors)
    def test_a_quadratic_form(self, x: Array) -> None:
        matrix = np.random.default_rng(len(x)).normal(size=(len(x), len(x)))
        grad_x, grad_matrix = gradients(lambda x, a: x @ a @ x, x, matrix)
        assert np.allclose(grad_x, (matrix + matrix.T) @ x)
        assert np.allclose(grad_matrix, np.outer(x, x))

    @settings(max_examples=50, deadline=None)
    @given(any_shape)
    def test_logistic_growth(self, x: Array) -> None:
        (grad,) = gradients(lambda x: (1.0 / (1.0 + functions.exp(-x))).sum(), x)
        s = 1.0 / (1.0 + np.exp(-x))
        assert np.allclose(grad, s * (1.0 - s))

    @settings(max_examples=50, deadline=None)
    @given(any_shape)
    def test_reversed_operators_with_arrays_and_numbers(self, x: Array) -> None:
        (grad,) = gradients(lambda x: ((2.0 - x) + (x - x.data) * 3.0 + x.data * x + (x.data + x)).sum(), x)
        assert np.allclose(grad, 3.0 + x)

    @settings(max_examples=50, deadline=None)
    @given(any_shape)
    def test_a_reshape_and_a_transpose_move_gradients_with_the_elements(self, x: Array) -> None:
        weight = np.random.default_rng(x.size).normal(size=x.size)
        (grad,) = gradients(lambda x: (x.transpose().reshape(-1) * weight).sum(), x)
        assert np.array_equal(grad, weight.reshape(x.T.shape).T)

    def test_what_was_broadcast_gets_the_sum(self) -> None:
        x, bias = np.arange(12.0).reshape(3, 4), np.arange(4.0)
        grad_x, grad_bias = gradients(lambda x, b: ((x + b) * (x + b)).mean(), x, bias)
        assert np.allclose(grad_x, (x + bias) / 6.0)
        assert np.allclose(grad_bias, (x + bias).sum(axis=0) / 6.0)

    def test_a_path_doubled_at_every_step_is_followed_once_a_step(self) -> None:
        """There are 2^100 paths from the loss to the leaf: whoever follows each will not return."""

        def doubled(x: Tensor) -> Tensor:
            for _ in range(100):
                x = x + x
            return x

        (grad,) = gradients(doubled, np.array(1.0))
        assert grad == 2.0**100

    @settings(max_examples=50, deadline=None)
    @given(any_shape)
    def test_an_upstream_weighs_the_outputs(self, x: Array) -> None:
        leaf = Tensor(x, requires_grad=True)
        upstream = np.random.default_rng(x.size).normal(size=x.shape)
        functions.sin(leaf).backward(upstream)
        assert leaf.grad is not None
        assert np.allclose(leaf.grad, upstream * np.cos(x))


def audited(function: Callable[..., Tensor], **inputs: Array) -> gradaudit.Audit:
    """Audit a function of tensors, differentiated by the tape."""

    def backward(upstream: Array, *values: Array) -> list[Array | None]:
        leaves = [Tensor(value, requires_grad=True) for value in values]
        function(*leaves).backward(upstream)
        return [leaf.grad for leaf in leaves]

    return gradaudit.check(gradaudit.op(lambda *values: function(*map(Tensor, values)).data, backward), inputs)


class TestDifferences:
    def test_a_layer_with_norm_and_activation(self) -> None:
        rng = np.random.default_rng(0)
        audited(
            lambda x, w, b, g, s: functions.layer_norm(functions.gelu(functions.linear(x, w, b)) + x, g, s),
            x=rng.normal(size=(3, 4)),
            w=rng.normal(size=(4, 4)),
            b=rng.normal(size=4),
            g=rng.uniform(0.5, 1.5, 4),
            s=rng.normal(size=4),
        ).assert_ok()

    def test_a_convolution_into_a_loss(self) -> None:
        rng = np.random.default_rng(1)
        labels = np.array([2, 0])

        def network(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
            hidden = functions.tanh(functions.conv2d(x, w, b, padding=1))
            return functions.cross_entropy(functions.avgpool2d(hidden, kernel=2).reshape(2, -1), labels)

        x, w = rng.normal(size=(2, 1, 4, 4)), rng.normal(size=(2, 1, 3, 3))
        audited(network, x=x, w=w, b=rng.normal(size=2)).assert_ok()

    def test_a_wrong_backward_in_the_middle_is_found_in_what_lies_before_it_only(self) -> None:
        wrong_tanh = gradaudit.tape.recorded(np_tanh, lambda upstream, output: upstream * (1.0 - output))
        rng = np.random.default_rng(2)
        x, w = rng.uniform(0.5, 1.0, size=(3, 4)), rng.normal(size=(4, 2))
        audit = audited(lambda x, w: wrong_tanh(x) @ w, x=x, w=w)
        assert {result.input: str(result.verdict) for result in audit.results} == {"x": "fail", "w": "pass"}


def np_tanh(x: Array) -> Array:
    return np.tanh(x)


OPS = {
    case.op: case
    for case in load_specs([Path(__file__).parents[2] / "specs"]).cases
    if isinstance(case.target, PythonTarget) and case.dtype == "float64" and case.target.differentiable_outputs is None
}
"""Of each op that returns one output, its last case."""


@pytest.mark.parametrize("case", OPS.values(), ids=lambda case: case.op)
def test_every_op_gives_the_gradients_that_are_audited(case: Case) -> None:
    assert isinstance(case.target, PythonTarget)
    opened, inputs = open_op(case), draw_inputs(case)
    outputs = opened.forward(inputs)
    upstream = draw_upstream(case, 0, outputs[0].shape, outputs[0].dtype)
    differentiable = {made.name: made.differentiable for made in case.inputs}
    leaves = {name: Tensor(array, requires_grad=differentiable[name]) for name, array in inputs.items()}
    output = getattr(functions, case.target.forward.split(":")[1])(*leaves.values(), **case.params)
    output.backward(upstream)
    assert np.array_equal(output.data, outputs[0])
    for name, gradient in opened.backward((upstream,), inputs, outputs).items():
        assert np.array_equal(leaves[name].grad, gradient), name
