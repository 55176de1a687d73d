"""What the tape records, what it keeps, and what it refuses in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import gradaudit.tape
from gradaudit.tape import Node, Tensor, functions, recorded


def leaf(*values: float, dtype: Any = np.float64) -> Tensor:
    return Tensor(np.array(values, dtype), requires_grad=True)


class TestNodes:
    def test_a_node_names_the_op_and_holds_inputs_and_params(self) -> None:
        x, gamma, beta = leaf(1.0, 2.0), leaf(1.0, 1.0), leaf(0.0, 0.0)
        made = functions.layer_norm(x, gamma, beta, eps=0.5)
        assert made.node is not None
        assert made.node.name == "LayerNormBackward"
        assert made.node.inputs == (x, gamma, beta)
        assert made.node.params == {"eps": 0.5}

    @pytest.mark.parametrize(
        ("made", "name"),
        [
            (lambda x: x + x, "AddBackward"),
            (lambda x: x @ x, "MatmulBackward"),
            (lambda x: x.reshape(1, -1), "ReshapeBackward"),
            (lambda x: x.sum(), "SumReduceBackward"),
            (
                lambda x: functions.scaled_dot_product_attention(*[x.reshape(1, -1)] * 3),
                "ScaledDotProductAttentionBackward",
            ),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_a_step_is_named_after_its_op(self, made: Any, name: str) -> None:
        assert made(leaf(1.0, 2.0)).node.name == name

    def test_what_depends_on_nothing_tracked_is_not_recorded(self) -> None:
        made = functions.exp(Tensor([1.0]) * 2.0)
        assert (made.node, made.requires_grad) == (None, False)

    def test_a_tensor_of_another_s_data_is_detached(self) -> None:
        x = leaf(1.0)
        (x + Tensor((x * 3.0).data)).sum().backward()
        assert x.grad == 1.0

    def test_constants_get_no_gradient(self) -> None:
        x, constant = leaf(1.0, 2.0), Tensor([3.0, 4.0])
        (x * constant).sum().backward()
        assert constant.grad is None
        assert np.array_equal(x.grad, constant.data)


class TestGradientsAreKept:
    def test_they_add_up_until_they_are_cleared(self) -> None:
        x = leaf(1.0, 2.0)
        for times in (1, 2, 3):
            (x * 3.0).sum().backward()
            assert np.array_equal(x.grad, [3.0 * times] * 2)
        x.zero_grad()
        assert x.grad is None

    def test_a_graph_can_be_gone_through_again(self) -> None:
        x = leaf(2.0)
        loss = (x * x * x).sum()
        loss.backward()
        loss.backward()
        assert x.grad == 24.0

    def test_intermediate_tensors_have_one_too(self) -> None:
        x = leaf(1.0, 2.0)
        hidden = x * 2.0
        (hidden * hidden).sum().backward()
        assert np.array_equal(hidden.grad, [4.0, 8.0])

    def test_one_that_is_changed_in_place_is_nobody_else_s(self) -> None:
        x, y = leaf(1.0), leaf(2.0)
        (x + y).sum().backward()
        x.grad *= 0.0
        assert y.grad == 1.0

    def test_a_value_that_is_replaced_later_does_not_change_the_gradient(self) -> None:
        x = leaf(3.0)
        loss = (x * x).sum()
        x.data = np.array([100.0])
        loss.backward()
        assert x.grad == 6.0


class TestDtypes:
    def test_numbers_are_float64(self) -> None:
        assert Tensor([1.0, 2.0]).data.dtype == np.float64

    @pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
    def test_narrower_ones_are_kept_beside_python_s_numbers(self, dtype: Any) -> None:
        x = leaf(1.0, 2.0, dtype=dtype)
        loss = (2.0 - functions.relu(x) * 3 + 1.0 / x).mean()
        loss.backward()
        assert loss.data.dtype == dtype
        assert x.grad is not None
        assert (x.grad.dtype, x.grad.shape) == (dtype, (2,))

    def test_a_gradient_has_the_dtype_of_its_tensor(self) -> None:
        x = leaf(1.0, dtype=np.float32)
        (x * leaf(2.0)).sum().backward()
        (x * leaf(2.0)).sum().backward()
        assert x.grad is not None
        assert x.grad.dtype == np.float32


class TestDepth:
    def test_a_graph_may_be_deeper_than_python_s_recursion(self) -> None:
        x = leaf(1.0)
        made = x
        for _ in range(20_000):
            made = made + 1.0
        made.backward()
        assert x.grad == 1.0


class TestRefusals:
    def test_a_loss_that_is_no_scalar(self) -> None:
        with pytest.raises(ValueError, match=r"shape \(2,\) needs an upstream; expected a scalar loss"):
            leaf(1.0, 2.0).backward()

    def test_a_tensor_that_nothing_was_recorded_of(self) -> None:
        with pytest.raises(ValueError, match="nothing was recorded"):
            (Tensor([1.0]) * 2.0).backward()

    def test_an_upstream_of_another_shape(self) -> None:
        with pytest.raises(ValueError, match="shape"):
            (leaf(1.0, 2.0) * 2.0).backward(np.ones(3))

    def test_a_cycle_is_refused_before_any_gradient_is_added(self) -> None:
        x = leaf(1.0)
        first = functions.exp(x)
        last = functions.sin(first)
        first.node = Node("ExpBackward", (last,), {}, lambda upstream: (upstream,))
        with pytest.raises(ValueError, match=r"the graph has a cycle: what \w+Backward made"):
            last.sum().backward()
        assert x.grad is None

    def test_a_gradient_of_another_shape_than_the_input_s(self) -> None:
        summed = recorded(lambda x, bias: x + bias, lambda upstream, x, bias: (upstream, upstream))
        x, bias = Tensor(np.ones((3, 2)), requires_grad=True), leaf(1.0, 2.0)
        with pytest.raises(ValueError, match=r"gave a gradient of shape \(3, 2\) for an input of shape \(2,\)"):
            summed(x, bias).sum().backward()

    def test_integers_that_are_to_have_gradients(self) -> None:
        with pytest.raises(TypeError, match="int64 has no gradient"):
            Tensor([1, 2], requires_grad=True)

    @pytest.mark.parametrize("data", [leaf(1.0), [leaf(1.0)], "text", None])
    def test_what_is_no_array_of_numbers(self, data: Any) -> None:
        with pytest.raises(TypeError, match="expected an array of numbers"):
            Tensor(data)

    def test_a_tensor_by_keyword(self) -> None:
        with pytest.raises(TypeError, match=r"linear got a tensor as bias=\.\.\.; expected tensors by position"):
            functions.linear(leaf(1.0), Tensor(np.ones((2, 1))), bias=leaf(1.0, 2.0))

    def test_an_op_that_is_not_there(self) -> None:
        with pytest.raises(AttributeError, match="no op 'layer_nrom'; did you mean 'layer_norm'"):
            functions.layer_nrom  # noqa: B018

    def test_a_backward_that_wants_more_than_there_is(self) -> None:
        with pytest.raises(TypeError, match="takes 'winner', which is neither"):
            functions.maxpool2d_with_indices  # noqa: B018

    def test_an_op_of_several_outputs_is_refused(self) -> None:
        halves = recorded(lambda x: (x / 2.0, x / 2.0), lambda upstream: upstream)
        with pytest.raises(TypeError, match="returns 2 outputs"):
            halves(leaf(1.0))


class TestParams:
    def test_one_that_may_be_given_by_position_reaches_backward_by_keyword(self) -> None:
        def power(x: Any, scale: float = 1.0, exponent: float = 2.0) -> Any:
            return scale * x**exponent

        def power_backward(upstream: Any, x: Any, scale: float = 1.0, exponent: float = 2.0) -> Any:
            return upstream * scale * exponent * x ** (exponent - 1.0)

        x = leaf(2.0)
        recorded(power, power_backward)(x, exponent=3.0).sum().backward()
        assert x.grad == 12.0

    def test_inputs_may_be_left_to_their_defaults(self) -> None:
        rng = np.random.default_rng(0)
        x, gamma, beta = (Tensor(rng.normal(size=shape), requires_grad=True) for shape in ((3, 2, 2, 2), 2, 2))
        functions.batch_norm2d(x, gamma, beta).sum().backward()
        assert np.allclose(beta.grad, 12.0)


def test_every_op_with_one_output_is_there() -> None:
    names = dir(functions)
    assert len(names) >= 73
    assert all(callable(getattr(functions, name)) for name in names if name != "maxpool2d_with_indices")


def test_the_tape_fits_on_a_few_pages() -> None:
    files = Path(gradaudit.tape.__file__).parent.glob("*.py")
    assert sum(len(file.read_text().splitlines()) for file in files) < 300
