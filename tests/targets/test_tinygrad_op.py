"""Targets in tinygrad; shapes are small, as it may have to run in Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from framework_audits import array, audit, codes, verdict

from gradaudit.results import Verdict
from gradaudit.targets.op import OpError

pytest.importorskip("tinygrad")

from gradaudit.targets.tinygrad import tinygrad_op


def test_a_right_function_passes_with_a_scalar_input() -> None:
    inputs = array("x", 2, dtype="float32"), array("s", dtype="float32")
    made = audit(tinygrad_op, lambda x, s: (x * s).tanh(), *inputs, dtype="float32")
    assert (verdict(made), codes(made)) == (Verdict.PASS, set())


def test_a_function_that_breaks_the_graph_is_found() -> None:
    made = audit(tinygrad_op, lambda x: x * x.detach(), array("x", 2))
    assert verdict(made) is Verdict.FAIL
    assert "constant-factor" in codes(made)


def test_a_device_that_is_chosen_for_one_audit_is_not_taken_for_the_next() -> None:
    from tinygrad.helpers import Context

    from gradaudit.targets.tinygrad import _device

    _device.cache_clear()
    with Context(DEV="PYTHON"):
        assert verdict(audit(tinygrad_op, lambda x: x * x, array("x", 2))) is Verdict.PASS
    assert verdict(audit(tinygrad_op, lambda x: x * x, array("x", 2))) is Verdict.PASS


def test_gradients_of_several_outputs_are_added() -> None:
    def function(x: Any) -> Any:
        return x * x, x.sum()

    x = {"x": np.array([1.0, 2.0])}
    op = tinygrad_op(function)
    outputs = op.forward(x)
    gradients = op.backward((np.ones(2), np.array(10.0)), x, outputs)
    assert gradients["x"] == pytest.approx([12.0, 14.0])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("layout", ["contiguous", "strided"])
def test_dtypes_are_kept_in_every_layout(dtype: str, layout: str) -> None:
    from gradaudit.spec.draw import laid_out
    from gradaudit.spec.dtypes import dtype_of

    x = laid_out(np.array([[1.0, 2.0], [3.0, 4.0]]).astype(dtype_of(dtype)), layout)  # type: ignore[arg-type]
    op = tinygrad_op(lambda x: x * 2)
    (output,) = op.forward({"x": x})
    gradient = op.backward((output,), {"x": x}, (output,))["x"]
    assert (output.dtype, gradient.dtype) == (x.dtype, x.dtype)
    assert np.array_equal(output, 2 * x)
    assert np.array_equal(gradient, 4 * x)


def test_randomness_is_the_same_at_every_call() -> None:
    from tinygrad import Tensor

    op = tinygrad_op(lambda x: x * Tensor.rand(3))
    first, second = (op.forward({"x": np.ones(3)})[0] for _ in range(2))
    assert np.array_equal(first, second)


def test_complex_numbers_are_refused_in_words() -> None:
    with pytest.raises(OpError, match="got an array of complex128; tinygrad has no complex numbers"):
        tinygrad_op(lambda x: x).forward({"x": np.ones(2, np.complex128)})
