"""Functions with a small and fast part beside a large and slow one, which differences with usual steps do not see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pairs import array, audit, only

from gradaudit.results import Verdict

PARTS = [(amplitude, rate) for amplitude in (1e-6, 1e-8) for rate in (1e4, 1e6, 1e7)]
"""Of ``sin(x) + amplitude sin(rate x)``: slopes from 1e-4 to 10 beside that of the sine."""


def _pair(amplitude: float, rate: float, fault: Callable[[Any], Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def forward(x: Any) -> Any:
        return np.sin(x) + amplitude * np.sin(rate * x)

    def backward(upstream: Any, x: Any) -> Any:
        return upstream * fault(np.cos(x)) + upstream * amplitude * rate * np.cos(rate * x)

    return forward, backward


@pytest.mark.parametrize("size", [5, 700])
@pytest.mark.parametrize(("amplitude", "rate"), PARTS)
def test_right_gradients_of_fast_parts_are_not_accused(amplitude: float, rate: float, size: int) -> None:
    for seed in range(2):
        found = only(audit(*_pair(amplitude, rate, lambda slope: slope), array("x", (size,)), seed=seed))
        assert found.verdict is not Verdict.FAIL, found.message


@pytest.mark.parametrize(("amplitude", "rate"), PARTS)
@pytest.mark.parametrize("fault", [1.01, -1.0, 0.5])
def test_wrong_ones_beside_them_do_not_pass(amplitude: float, rate: float, fault: float) -> None:
    found = only(audit(*_pair(amplitude, rate, lambda slope: fault * slope), array("x", (5,))))
    assert found.verdict is not Verdict.PASS
    assert found.verdict is Verdict.FAIL or amplitude * rate >= 1e-2
