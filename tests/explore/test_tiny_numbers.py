"""Numbers next to nothing, and arrays of nothing: an audit ends with a verdict, and a gradient has its shape."""

from __future__ import annotations

import numpy as np
import pytest

import gradaudit
from gradaudit.results import Verdict


@pytest.mark.parametrize("scale", [2.0**-1023, 2.0**-1000, 2.0**-540])
def test_a_product_with_next_to_nothing_is_audited(scale: float) -> None:
    op = gradaudit.op(lambda a, b: a * b, lambda u, a, b: (u * b, u * a * 2))
    a, b = np.array([scale]), np.linspace(-1.5, 1.4, 8)[:1]
    results = gradaudit.check(op, {"a": a, "b": b}).results
    assert all(result.verdict is not Verdict.ERROR for result in results)


def test_the_deviation_of_one_element_has_the_gradient_zero() -> None:
    from gradaudit.ops.reduction import std, std_backward

    op = gradaudit.op(std, std_backward, args=["upstream", "x", "output"])
    assert gradaudit.check(op, {"x": np.array([2.0])})


def test_the_gradients_of_an_empty_batch_are_zeros() -> None:
    from gradaudit.ops.conv import conv2d_no_bias_backward
    from gradaudit.ops.matrix import linear_no_bias_backward

    weight = np.ones((2, 3, 1, 1))
    of_x, of_weight = conv2d_no_bias_backward(np.ones((0, 2, 4, 4)), np.ones((0, 3, 4, 4)), weight)
    assert of_x.shape == (0, 3, 4, 4)
    assert not of_weight.any()
    of_x, of_weight = linear_no_bias_backward(np.ones((0, 2)), np.ones((0, 3)), weight[:, :, 0, 0])
    assert of_x.shape == (0, 3)
    assert not of_weight.any()
