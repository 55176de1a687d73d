"""What an op is given in every call: inputs as the case has them, an upstream in the dtype of its output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import gradaudit
from gradaudit.results import Verdict

Array = NDArray[Any]

FLOAT32, BFLOAT16, FLOAT16 = np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16), np.dtype(np.float16)


class Strict:
    """The log-sum-exp of scaled rows, and the rows less that: it refuses all dtypes but its own, as a kernel does.

    Attributes:
        dtypes: of ``x`` and ``scale``, of the log-sum-exp and of the rows.
        given: each combination of dtypes of upstream and inputs that backward was ever given.

    """

    def __init__(self, x: np.dtype[Any], total: np.dtype[Any], rows: np.dtype[Any], factor: float = 1.0) -> None:
        self.dtypes = x, FLOAT32, total, rows
        self.given: set[tuple[np.dtype[Any], ...]] = set()
        self.factor = np.float32(factor)

    def _total(self, x: Array, scale: Array) -> tuple[Array, Array]:
        wide = x.astype(np.float32) * scale
        top = wide.max(1, keepdims=True)
        return wide, top + np.log(np.exp(wide - top).sum(1, keepdims=True))

    def forward(self, x: Array, scale: Array) -> tuple[Array, Array]:
        if (x.dtype, scale.dtype) != self.dtypes[:2]:
            raise TypeError(f"no kernel for {x.dtype} and {scale.dtype}")
        wide, total = self._total(x, scale)
        return total[:, 0].astype(self.dtypes[2]), (wide - total).astype(self.dtypes[3])

    def backward(self, upstream: tuple[Array, Array], x: Array, scale: Array) -> tuple[Array, Array]:
        of_total, of_rows = upstream
        self.given.add((x.dtype, scale.dtype, of_total.dtype, of_rows.dtype))
        if (of_total.dtype, of_rows.dtype) != self.dtypes[2:]:
            raise TypeError(f"no kernel for upstreams {of_total.dtype} and {of_rows.dtype}")
        wide, total = self._total(x, scale)
        u, v = of_total.astype(np.float32)[:, None], of_rows.astype(np.float32)
        g = v + np.exp(wide - total) * (u - v.sum(1, keepdims=True))
        return (self.factor * g * scale).astype(x.dtype), (g * x.astype(np.float32)).sum(0)

    def audited(self, shape: tuple[int, int] = (24, 30)) -> gradaudit.Audit:
        rng = np.random.default_rng(0)
        inputs = {"x": rng.uniform(-2, 2, shape), "scale": rng.uniform(0.5, 1.5, shape[1])}
        arrays = {name: x.astype(dtype) for (name, x), dtype in zip(inputs.items(), self.dtypes, strict=False)}
        return gradaudit.check(gradaudit.op(self.forward, self.backward), arrays)


@pytest.mark.parametrize(
    "dtypes",
    [(BFLOAT16, FLOAT32, BFLOAT16), (FLOAT16, FLOAT32, FLOAT32), (BFLOAT16, BFLOAT16, FLOAT32)],
    ids=lambda dtypes: "-".join(map(str, dtypes)),
)
@pytest.mark.parametrize(("factor", "verdict"), [(1.0, Verdict.PASS), (-1.0, Verdict.FAIL)], ids=["right", "sign"])
def test_a_kernel_that_is_strict_about_dtypes_is_audited_like_any_other(
    dtypes: tuple[np.dtype[Any], ...], factor: float, verdict: Verdict
) -> None:
    kernel = Strict(*dtypes, factor=factor)
    of_x, of_scale = kernel.audited().results
    assert of_x.verdict is verdict, of_x.message
    assert of_scale.verdict is not Verdict.FAIL, of_scale.message
    assert kernel.given == {kernel.dtypes}


def _log_sum_exp(x: Array) -> Array:
    if x.dtype != np.float32:
        raise TypeError("float32 only")
    return np.log(np.exp(x).sum(1))


def test_backward_that_raises_beside_the_point_says_so_in_its_own_words() -> None:
    """It is told what it raised, and nothing of numbers that are not finite."""
    first: list[Array] = []

    def backward(upstream: Array, x: Array) -> Array:
        first.append(x.copy())
        if not np.array_equal(x, first[0]) or len(first) > 3:
            raise RuntimeError("the kernel was captured for another batch")
        return upstream[:, None] * np.exp(x - _log_sum_exp(x)[:, None])

    x = np.random.default_rng(0).uniform(-2, 2, (20, 40)).astype(np.float32)
    (result,) = gradaudit.check(gradaudit.op(_log_sum_exp, backward), {"x": x}).results
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "RuntimeError: the kernel was captured for another batch" in result.message
    assert "finite" not in result.message


def test_forward_that_raises_beside_the_point_says_so_in_its_own_words() -> None:
    def forward(x: Array) -> Array:
        if (x <= 0).any():
            raise ValueError("the argument must be positive")
        return np.sqrt(x)

    def backward(upstream: Array, x: Array) -> Array:
        return upstream / (3 * np.sqrt(x))

    x = np.array([1.0, 4.0, 5e-324])
    (result,) = gradaudit.check(gradaudit.op(forward, backward), {"x": x}).results
    (told,) = (finding.message for finding in result.findings if finding.code == "out-of-domain")
    assert "ValueError: the argument must be positive" in told
    assert "finite" not in told


def _narrow_tanh(x: Array) -> Array:
    if x.dtype != BFLOAT16:
        raise TypeError("bfloat16 only")
    return np.tanh(x.astype(np.float32)).astype(BFLOAT16)


def _codes(backward: Callable[[Array, Array], Array]) -> tuple[str, set[str]]:
    x = np.random.default_rng(0).uniform(-2, 2, (50, 200)).astype(BFLOAT16)
    (result,) = gradaudit.check(gradaudit.op(_narrow_tanh, backward), {"x": x}).results
    return result.message, {finding.code for finding in result.findings if finding.fails}


def test_a_backward_that_overwrites_its_upstream_is_accused_of_that_alone() -> None:
    def backward(upstream: Array, x: Array) -> Array:
        upstream *= (1 - np.tanh(x.astype(np.float32)) ** 2).astype(BFLOAT16)
        return upstream

    message, codes = _codes(backward)
    assert codes == {"input-mutated"}
    assert "along paths" not in message


def test_a_sum_over_calls_is_seen_when_hundreds_of_them_left_no_digits_for_one_more() -> None:
    total = np.zeros((50, 200), np.float32)

    def backward(upstream: Array, x: Array) -> Array:
        total[...] += upstream.astype(np.float32) * (1 - np.tanh(x.astype(np.float32)) ** 2)
        return total.astype(BFLOAT16)

    _, codes = _codes(backward)
    assert codes == {"accumulated"}
