"""Numbers next to nothing: the audit of a case that holds them ends with a verdict, as any other."""

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
