"""Targets in HIPS autograd: primitives with rules of their own, and what it differentiates through."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from framework_audits import array, audit, codes, messages, verdict

from gradaudit.results import Verdict

pytest.importorskip("autograd")
import autograd.numpy as np
from autograd.extend import defvjp, primitive

from gradaudit.targets.autograd import autograd_op


def square_with(rule: Any) -> Any:
    """Return a primitive that squares, with this rule: upstream and x to gradient."""

    @primitive
    def square(x: Any) -> Any:
        return x * x

    defvjp(square, lambda made, x: lambda upstream: rule(upstream, x))
    return square


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("layout", ["contiguous", "strided"])
def test_a_right_rule_passes(dtype: str, layout: str) -> None:
    x = array("x", 3, 4, dtype=dtype, layout=layout)
    made = audit(autograd_op, square_with(lambda u, x: 2 * u * x), x, dtype=dtype)
    assert (verdict(made), codes(made), messages(made)) == (Verdict.PASS, set(), "")


@pytest.mark.parametrize(
    ("rule", "code"),
    [(lambda u, x: -2 * u * x, "sign-flipped"), (lambda u, x: u * x, "constant-factor"), (lambda u, x: 2 * x, None)],
)
def test_planted_faults_are_found_and_named(rule: Any, code: str | None) -> None:
    made = audit(autograd_op, square_with(rule), array("x", 3, 4))
    assert verdict(made) is Verdict.FAIL
    assert (code or "upstream-ignored") in codes(made)


def test_several_outputs_constants_and_params() -> None:
    def function(x: Any, y: Any, scale: float) -> Any:
        return scale * np.sin(x), (np.sum(x * y), np.argmax(x))

    made = audit(autograd_op, function, array("x", 4), array("y", 4, differentiable=False), params={"scale": 3.0})
    assert [(result.input, result.verdict, result.message) for result in made.results] == [("x", Verdict.PASS, "")]


def test_complex_gradients_follow_the_convention() -> None:
    made = audit(autograd_op, lambda z: z * np.conj(z) * z, array("z", 3, dtype="complex128"), dtype="complex128")
    assert (verdict(made), messages(made)) == (Verdict.PASS, "")


def test_an_input_that_nothing_depends_on_has_the_gradient_zero() -> None:
    inputs = {"x": numpy.ones(3), "y": numpy.ones(2)}
    gradients = autograd_op(lambda x, y: 2 * x).backward((numpy.ones(3),), inputs, (numpy.ones(3),))
    assert gradients["y"] == pytest.approx([0, 0])
