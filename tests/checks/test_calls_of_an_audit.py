"""What an audit says that it took is what was called: by the op's own count of its forwards and backwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pairs import array, audit

from gradaudit.results import Verdict

Function = Callable[..., Any]


def in_float32(x: Any) -> Any:
    return np.tanh(x.astype(np.float32)).astype(np.float64)


def raising(u: Any, x: Any) -> Any:
    raise ValueError("no gradient today")


def derivative(u: Any, x: Any) -> Any:
    return u / np.cosh(x) ** 2


OPS: dict[str, tuple[Function, Function, str, Verdict]] = {
    "right": (np.tanh, derivative, "float64", Verdict.PASS),
    "right in bfloat16": (np.tanh, derivative, "bfloat16", Verdict.PASS),
    "right, float32 inside": (in_float32, derivative, "float64", Verdict.PASS),
    "wrong": (np.tanh, lambda u, x: -derivative(u, x), "float64", Verdict.FAIL),
    "wrong, float32 inside": (in_float32, lambda u, x: 1.5 * derivative(u, x), "float64", Verdict.FAIL),
    "ignores its upstream": (np.tanh, lambda u, x: 1.0 / np.cosh(x) ** 2, "float64", Verdict.FAIL),
    "at kinks": (np.abs, lambda u, x: u * np.sign(x), "float64", Verdict.PASS),
    "has no gradient": (np.tanh, raising, "float64", Verdict.ERROR),
}


@pytest.mark.parametrize("size", [12, 1200])
@pytest.mark.parametrize("name", OPS)
def test_every_call_is_told(name: str, size: int) -> None:
    forward, backward, dtype, verdict = OPS[name]
    calls: Counter[str] = Counter()

    def counting(function: Function, what: str) -> Function:
        def called(*arguments: Any) -> Any:
            calls[what] += arguments[-1].size // size  # several points may be stacked
            return function(*arguments)

        return called

    made = audit(
        counting(forward, "forward"), counting(backward, "backward"), array("x", (size,), dtype=dtype), dtype=dtype
    )
    (result,) = made.results
    assert result.verdict is verdict, result.message
    assert (result.forwards, result.backwards) == (calls["forward"], calls["backward"])
    assert result.backwards > 0


def test_all_inputs_tell_the_calls_of_their_case() -> None:
    calls = [0]

    def backward(u: Any, x: Any, y: Any) -> Any:
        calls[0] += 1
        return u * y, u * x

    made = audit(lambda x, y: x * y, backward, array("x", (3,)), array("y", (3,)))
    assert [result.backwards for result in made.results] == calls * 2
    assert len({result.forwards for result in made.results}) == 1
