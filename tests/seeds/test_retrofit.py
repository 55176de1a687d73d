"""The retrofit: values that are not uniform, each operand, broadcasting, both signs, and its upstream of ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from replays import array, audit, in_peace, told, verdicts

from gradaudit.ops import arithmetic
from gradaudit.ops.elementwise import absolute, absolute_backward, clip, clip_backward
from gradaudit.ops.reduction import max_reduce, max_reduce_backward
from gradaudit.results import Verdict
from gradaudit.spec.case import Case, Input
from gradaudit.spec.load import load_specs

Function = Callable[..., Any]
SPECS = Path(__file__).parents[2] / "specs"
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


class TestUniformValues:
    """A cube of equal values is the same however its indices are mixed up."""

    EQUAL = array("x", (3, 4), 0.5, 0.5)
    GIVEN = array("x", (3, 4), values=[[0.5] * 4] * 3)
    DRAWN = array("x", (3, 4))

    def audited(self, x: Input, mix: Function) -> Any:
        def cubed(u: Any, x: Any) -> Any:
            return 3 * u * mix(x) ** 2

        return audit(lambda x: x**3, cubed, x)

    each_mix = pytest.mark.parametrize(
        "mix", [lambda x: x[::-1], lambda x: np.roll(x, 1, axis=1)], ids=["flipped", "rolled"]
    )

    @each_mix
    def test_hide_indices_that_are_mixed_up_and_are_told(self, mix: Function) -> None:
        made = self.audited(self.EQUAL, mix)
        assert (verdicts(made), told(made)) == ({"x": Verdict.PASS}, {"x": {"uniform-input"}})
        assert verdicts(self.audited(self.DRAWN, mix)) == {"x": Verdict.FAIL}

    @each_mix
    def test_that_a_spec_gives_are_looked_at_beside_themselves_too(self, mix: Function) -> None:
        made = self.audited(self.GIVEN, mix)
        assert (verdicts(made), told(made)) == ({"x": Verdict.FAIL}, {"x": {"uniform-input", "captured-state"}})
        assert made.results[0].wrong == 0
        assert "inputs like the first" in made.results[0].message

    def test_others_are_in_order(self) -> None:
        assert in_peace(self.audited(self.DRAWN, lambda x: x))


OPERANDS: dict[str, tuple[Function, Function]] = {
    name: (getattr(arithmetic, name), getattr(arithmetic, f"{name}_backward"))
    for name in ("add", "subtract", "multiply", "divide")
}


def operands(shapes: Any, dtype: str) -> list[Input]:
    return [array(name, shape, 0.5, 1.5, dtype=dtype) for name, shape in zip("xy", shapes, strict=True)]


@each_dtype
@pytest.mark.parametrize("operand", [0, 1])
@pytest.mark.parametrize("name", OPERANDS)
class TestEachOperand:
    def test_a_wrong_sign_is_found_at_its_own_operand(self, name: str, operand: int, dtype: str) -> None:
        forward, right = OPERANDS[name]

        def backward(u: Any, x: Any, y: Any) -> Any:
            gradients = list(right(u, x, y))
            gradients[operand] = -gradients[operand]
            return gradients

        made = audit(forward, backward, *operands([(2, 3), (2, 3)], dtype), dtype=dtype)
        assert told(made) == {"xy"[operand]: {"sign-flipped"}}
        assert verdicts(made) == {"xy"[operand]: Verdict.FAIL, "yx"[operand]: Verdict.PASS}

    def test_a_broadcast_one_must_be_summed(self, name: str, operand: int, dtype: str) -> None:
        forward, right = OPERANDS[name]
        shapes = [(4,), (3, 4)] if operand == 0 else [(3, 4), (4,)]

        def backward(u: Any, x: Any, y: Any) -> Any:
            return right(u, *(np.broadcast_to(each, u.shape) for each in (x, y)))

        made = audit(forward, backward, *operands(shapes, dtype), dtype=dtype)
        assert told(made) == {"xy"[operand]: {"broadcast-not-reduced"}}
        assert verdicts(made) == {"xy"[operand]: Verdict.ERROR, "yx"[operand]: Verdict.PASS}

    def test_summed_it_is_in_order(self, name: str, operand: int, dtype: str) -> None:
        shapes = [(4,), (3, 4)] if operand == 0 else [(3, 4), (4,)]
        assert in_peace(audit(*OPERANDS[name], *operands(shapes, dtype), dtype=dtype))


class TestBothSigns:
    """Values on one side of a branch show nothing of the other."""

    def audited(self, low: float, high: float, slope: float = 1.0) -> Any:
        backward = lambda u, x: u * np.where(x > 0, 1.0, slope)  # noqa: E731
        return audit(lambda x: np.where(x > 0, x, 0.1 * x), backward, array("x", (4, 4), low, high))

    def test_a_branch_that_is_wrong_is_named(self) -> None:
        made = self.audited(-1.5, 1.5)
        assert told(made) == {"x": {"wrong-subset"}}
        assert made.results[0].findings[0].message.startswith("wrong only where x < 0")

    def test_right_on_both_sides_it_is_in_order(self) -> None:
        assert in_peace(self.audited(-1.5, 1.5, slope=0.1))

    @each_dtype
    @pytest.mark.parametrize(
        ("forward", "backward"),
        [(absolute, absolute_backward), (max_reduce, lambda u, x: max_reduce_backward(u, x, x.max()))],
        ids=["absolute value of zero", "maximum of a tie"],
    )
    def test_an_edge_is_told_and_not_held_against_the_gradient(
        self, forward: Function, backward: Function, dtype: str
    ) -> None:
        x = array("x", (4,), values=[-1.0, 0.0, 2.0, 2.0], dtype=dtype)
        made = audit(forward, backward, x, dtype=dtype)
        assert (verdicts(made), told(made)) == ({"x": Verdict.PASS}, {"x": {"kink"}})

    def test_the_bounds_of_a_clip_are_kinks_too(self) -> None:
        x = array("x", (4,), values=[-2.0, -1.0, 0.5, 1.0])
        bounds = {"lo": -1.0, "hi": 1.0}
        made = audit(clip, clip_backward, x, params=bounds)
        assert (verdicts(made), told(made)) == ({"x": Verdict.PASS}, {"x": {"kink"}})
        assert made.results[0].findings[0].evidence["count"] == 2
        beside = array("x", (4,), values=[-2.0, -0.99, 0.5, 0.99])
        assert in_peace(audit(clip, clip_backward, beside, params=bounds))


@each_dtype
class TestAnUpstreamOfOnes:
    """As all its tests have it: a backward that never uses its upstream passes them."""

    def audited(self, backward: Function, dtype: str, upstream: str = "ones") -> Any:
        return audit(np.sin, backward, array("x", (3, 4), dtype=dtype), dtype=dtype, upstream=upstream)

    def test_does_not_keep_a_backward_that_ignores_it_from_being_found(self, dtype: str) -> None:
        made = self.audited(lambda u, x: np.cos(x), dtype)
        assert told(made) == {"x": {"upstream-ignored"}}
        assert (made.results[0].verdict, made.results[0].wrong) == (Verdict.FAIL, 0)

    def test_is_in_order_where_it_is_used(self, dtype: str) -> None:
        assert in_peace(self.audited(lambda u, x: u * np.cos(x), dtype))


LISTED = """
    relu leaky_relu prelu sigmoid tanh softmax gelu swish mish elu
    add subtract multiply divide exp log sqrt abs clip log10 log2
    dropout dropout2d matmul transpose linear sum mean max_reduce min_reduce maxpool2d avgpool2d cross_entropy conv2d
"""
"""The ops of the retrofit; its count of them differs from table to table."""

MISSED = "dot outer sin cos global_avgpool2d binary_cross_entropy mean_squared_error"
"""Those that the review found without a check."""


@pytest.fixture(scope="module")
def shipped() -> dict[str, list[Case]]:
    cases: dict[str, list[Case]] = {}
    for case in load_specs([SPECS]).cases:
        cases.setdefault(case.op, []).append(case)
    return cases


@pytest.mark.parametrize("op", [*LISTED.split(), *MISSED.split()])
def test_each_op_is_audited_in_both_precisions_and_never_with_ones(op: str, shipped: dict[str, list[Case]]) -> None:
    cases = shipped[op]
    assert {"float32", "float64"} <= {case.dtype for case in cases}
    assert not any(isinstance(case.upstream, str) and case.upstream == "ones" for case in cases)
