"""The guide to gradient flow: what is detached, forgotten, or returned in another form than is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from replays import array, audit, in_peace, told, verdicts
from tape import Layer, Tensor, backward_of, forward_of

from gradaudit.audit.conclusion import Audit
from gradaudit.results import Verdict
from gradaudit.spec.case import Input

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
INDICES = np.array([[0, 2], [2, 1]])


def detached(tensor: Tensor) -> Tensor:
    return Tensor(tensor.data)


def audited(layer: Layer, *inputs: Input, dtype: str = "float64") -> Audit:
    return audit(forward_of(layer), backward_of(layer), *inputs, dtype=dtype)


def inputs_of(dtype: str, **shapes: tuple[int, ...]) -> list[Input]:
    return [array(name, shape, dtype=dtype) for name, shape in shapes.items()]


LOST: dict[str, tuple[Layer, Layer, dict[str, tuple[int, ...]], set[str]]] = {
    "output made of .data": (
        lambda table: detached(table.rows(INDICES)),
        lambda table: table.rows(INDICES),
        {"table": (4, 3)},
        {"table"},
    ),
    "residual made of .data": (
        lambda x, table: Tensor(x.data + table.rows(INDICES).data),
        lambda x, table: x + table.rows(INDICES),
        {"x": (2, 2, 3), "table": (4, 3)},
        {"x", "table"},
    ),
    "reshape of .data": (
        lambda x: Tensor(x.tanh().data.reshape(2, -1)),
        lambda x: x.tanh().reshape(2, -1),
        {"x": (2, 3, 2)},
        {"x"},
    ),
    "bias not registered": (
        lambda x, weight, bias: Tensor(x.linear(weight, bias).data, (x, weight), x.linear(weight, bias).grad_fn),
        lambda x, weight, bias: x.linear(weight, bias),
        {"x": (2, 3), "weight": (4, 3), "bias": (4,)},
        {"bias"},
    ),
}
"""What loses a gradient, what does not, the shapes of its inputs, and which of them get none."""


@each_dtype
@pytest.mark.parametrize("name", LOST)
class TestGradientsThatGetLost:
    def test_each_input_without_one_is_told(self, name: str, dtype: str) -> None:
        wrong, _, shapes, without = LOST[name]
        made = audited(wrong, *inputs_of(dtype, **shapes), dtype=dtype)
        assert told(made) == {lost: {"missing-gradient"} for lost in without}
        assert verdicts(made) == {each: Verdict.ERROR if each in without else Verdict.PASS for each in shapes}

    def test_attached_they_are_in_order(self, name: str, dtype: str) -> None:
        _, right, shapes, _ = LOST[name]
        assert in_peace(audited(right, *inputs_of(dtype, **shapes), dtype=dtype))


class TestPathsThatGetLost:
    """A new tensor in the middle leaves the gradient there, but not all of it."""

    def test_one_branch_of_a_residual_is_missing(self) -> None:
        made = audited(lambda x: x + detached(x.tanh()), *inputs_of("float64", x=(3, 4)))
        assert verdicts(made) == {"x": Verdict.FAIL}
        assert made.results[0].wrong == 12
        assert in_peace(audited(lambda x: x + x.tanh(), *inputs_of("float64", x=(3, 4))))

    def test_a_row_that_is_looked_up_twice_counts_once(self) -> None:
        def overwritten(table: Tensor) -> Tensor:
            def gradient(u: Any) -> tuple[Any]:
                made = np.zeros_like(table.data)
                made[INDICES] = u
                return (made,)

            return Tensor(table.data[INDICES], (table,), gradient)

        made = audited(overwritten, *inputs_of("float64", table=(4, 3)))
        assert (verdicts(made), told(made)) == ({"table": Verdict.FAIL}, {"table": {"wrong-subset"}})
        assert {row.index[0] for row in made.results[0].mismatches} == {2}

    def test_a_gradient_of_zeros_is_no_gradient(self) -> None:
        """The guide's tests ask whether it is None and whether it is all zero: it is the second here."""
        layer = lambda x, w: Tensor(x.data * w.data, (x, w), lambda u: (u * w.data, 0 * u))  # noqa: E731
        made = audited(layer, *inputs_of("float64", x=(3, 4), w=(3, 4)))
        assert verdicts(made) == {"x": Verdict.PASS, "w": Verdict.FAIL}
        right = lambda x, w: Tensor(x.data * w.data, (x, w), lambda u: (u * w.data, u * x.data))  # noqa: E731
        assert in_peace(audited(right, *inputs_of("float64", x=(3, 4), w=(3, 4))))


class TestWhatBackwardReturns:
    def test_a_single_gradient_where_a_tuple_is_due_is_counted(self) -> None:
        x, w = inputs_of("float64", x=(3, 4), w=(3, 4))
        made = audit(lambda x, w: x * w, lambda u, x, w: u * w, x, w)
        assert set(verdicts(made).values()) == {Verdict.ERROR}
        assert all("1 gradients; expected 2 (x, w)" in result.message for result in made.results)

    def test_a_tuple_of_one_is_as_good_as_the_gradient(self) -> None:
        assert in_peace(audit(np.tanh, lambda u, x: (u * (1 - np.tanh(x) ** 2),)))

    def test_gradients_that_are_kept_between_calls_add_up(self) -> None:
        kept: dict[str, Tensor] = {}

        def backward(u: Any, x: Any) -> Any:
            parameter = kept.setdefault(x.dtype.name, Tensor(x))
            parameter.tanh().backward(u)
            return parameter.grad

        made = audit(np.tanh, backward)
        assert (verdicts(made), told(made)) == ({"x": Verdict.FAIL}, {"x": {"accumulated"}})
        assert in_peace(audited(lambda x: x.tanh(), *inputs_of("float64", x=(3, 4))))
