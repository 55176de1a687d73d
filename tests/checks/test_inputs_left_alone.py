"""What an audit leaves of the arrays that it hands out, and what it says of an op that does not leave them alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import array, audit, case_of, codes, only

from gradaudit.audit.conclusion import Audit
from gradaudit.results import Finding, Verdict
from gradaudit.spec.draw import draw_inputs

Function = Callable[..., Any]


def slope_of_sin(u: Any, x: Any) -> Any:
    return u * np.cos(x)


class Witness:
    """Remembers every array that a function was given, and what it held when it was first seen."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.seen: dict[int, tuple[Any, bytes]] = {}

    def __call__(self, *arrays: Any) -> Any:
        for given_array in arrays:
            self.seen.setdefault(id(given_array), (given_array, given_array.tobytes()))
        return self.function(*arrays)

    def changed(self) -> int:
        return sum(kept.tobytes() != bits for kept, bits in self.seen.values())


def doubled_in_place(x: Any) -> Any:
    y = np.sin(x)
    x *= 2.0
    return y


def one_element_cleared(x: Any) -> Any:
    y = np.sin(x)
    x[-1, 0] = 0.0
    return y


def sorted_in_place(x: Any) -> Any:
    y = np.sin(x)
    x.sort(axis=0)
    return y


def filled_with_nan(x: Any) -> Any:
    y = np.sin(x)
    x.fill(np.nan)
    return y


def raising_after_the_damage() -> Function:
    calls: list[int] = []

    def forward(x: Any) -> Any:
        y = np.sin(x)
        x += 1.0
        calls.append(1)
        if len(calls) > 3:
            raise ValueError("after the damage was done")
        return y

    return forward


def keeping_the_latest() -> Function:
    kept: list[Any] = []

    def forward(x: Any) -> Any:
        y = np.sin(x)
        if kept:
            kept[-1][...] += 1.0
        kept.append(x)
        return y

    return forward


def keeping_the_first() -> Function:
    kept: list[Any] = []

    def forward(x: Any) -> Any:
        y = np.sin(x)
        kept.append(x)
        if len(kept) > 1:
            kept[0][...] += 1.0
        return y

    return forward


MUTATING: dict[str, Callable[[], Function]] = {
    "doubled": lambda: doubled_in_place,
    "one element cleared": lambda: one_element_cleared,
    "sorted": lambda: sorted_in_place,
    "filled with NaN": lambda: filled_with_nan,
    "kept and changed in the next call": keeping_the_latest,
    "the first one kept and changed later": keeping_the_first,
}


def sin_into_a_buffer() -> Function:
    buffers: dict[Any, Any] = {}

    def forward(x: Any) -> Any:
        return np.sin(x, out=buffers.setdefault(x.dtype, np.empty(x.shape, x.dtype)))

    return forward


def keeping_everything() -> Function:
    kept: list[Any] = []

    def forward(x: Any) -> Any:
        kept.append(x)
        return np.sin(x)

    return forward


HARMLESS: dict[str, tuple[Callable[[], Function], Function]] = {
    "the input itself": (lambda: lambda x: x, lambda u, x: u),
    "a view of the input": (lambda: lambda x: x.T[1:], lambda u, x: np.pad(u, ((1, 0), (0, 0))).T),
    "a view and an array": (
        lambda: lambda x: (x[:1], np.sin(x)),
        lambda u, x: slope_of_sin(u[1], x) + np.pad(u[0], ((0, 2), (0, 0))),
    ),
    "the same buffer at every call": (sin_into_a_buffer, slope_of_sin),
    "references kept": (keeping_everything, slope_of_sin),
    "the upstream itself as gradient": (lambda: lambda x: x + 1.0, lambda u, x: u),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", HARMLESS)
def test_outputs_and_gradients_may_share_memory_with_what_was_given(name: str, dtype: str) -> None:
    make_forward, backward = HARMLESS[name]
    x = array("x", (3, 4), dtype=dtype)
    right = audit(make_forward(), backward, x, dtype=dtype)
    assert (only(right).verdict, codes(right)) == (Verdict.PASS, set())
    wrong = audit(make_forward(), lambda u, x: 1.01 * backward(u, x), x, dtype=dtype)
    assert (only(wrong).verdict, codes(wrong)) == (Verdict.FAIL, set())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided"])
@pytest.mark.parametrize("name", [*MUTATING, *HARMLESS])
def test_every_array_ends_as_it_was_handed_out(name: str, layout: str, dtype: str) -> None:
    make_forward, slope = HARMLESS.get(name) or (MUTATING[name], slope_of_sin)
    forward, backward = Witness(make_forward()), Witness(slope)
    audit(forward, backward, array("x", (3, 4), dtype=dtype, layout=layout), dtype=dtype)
    assert forward.seen
    assert forward.changed() == backward.changed() == 0


@settings(deadline=None, max_examples=30, derandomize=True)
@given(values=st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=6), dtype=st.sampled_from(["float64", "float32"]))
def test_signed_zeros_and_subnormals_are_restored_bit_by_bit(values: list[float], dtype: str) -> None:
    odd = [*values, -0.0, 0.0, 5e-324, -1e-310]
    forward = Witness(np.sin)
    x = array("x", (len(odd),), dtype=dtype, values=odd)
    assert only(audit(forward, slope_of_sin, x, dtype=dtype)).verdict is Verdict.PASS
    assert forward.changed() == 0


class TestForwardThatMutates:
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("name", MUTATING)
    def test_fails_by_the_finding_alone(self, name: str, dtype: str) -> None:
        audited = audit(MUTATING[name](), slope_of_sin, array("x", (3, 4), dtype=dtype), dtype=dtype)
        result = only(audited)
        assert (result.verdict, result.expected) == (Verdict.FAIL, False)
        # The gradient is right at the drawn input, and the numbers are not to blame for what forward did to it.
        assert (result.wrong, result.mismatches) == (0, ())
        found = mutation(audited)
        assert found.fails
        assert (found.evidence["by"], found.evidence["array"]) == ("forward", "x")
        assert "forward" in found.message
        assert result.message == found.message

    def test_the_wrong_index_is_still_found(self) -> None:
        def backward(u: Any, x: Any) -> Any:
            gradient = slope_of_sin(u, x)
            gradient[1, 2] += 0.1
            return gradient

        result = only(audit(doubled_in_place, backward))
        assert [found.index for found in result.mismatches] == [(1, 2)]
        assert [found.code for found in result.findings].count("input-mutated") == 1

    def test_the_elements_changed_are_counted_and_the_first_is_named(self) -> None:
        found = mutation(audit(one_element_cleared, slope_of_sin))
        assert (found.evidence["changed"], found.evidence["index"]) == (1, [2, 0])
        assert "(2, 0)" in found.message

    def test_the_finding_goes_with_the_input_that_was_changed(self) -> None:
        def forward(x: Any, y: Any) -> Any:
            product = x * y
            y += 1.0
            return product

        audited = audit(forward, lambda u, x, y: (u * y, u * x), array("x", (3,)), array("y", (3,)))
        x, y = audited.results
        assert (x.verdict, x.findings) == (Verdict.PASS, ())
        assert (y.verdict, [found.code for found in y.findings]) == (Verdict.FAIL, ["input-mutated"])

    def test_an_input_without_gradient_counts_as_well(self) -> None:
        def forward(x: Any, rows: Any) -> Any:
            picked = x[rows]
            rows.sort()
            return picked

        rows = array("rows", (4,), dtype="int64", differentiable=False, values=[3, 0, 2, 1])
        audited = audit(forward, lambda u, x, rows: u[np.argsort(rows)], array("x", (4,)), rows)
        assert only(audited).verdict is Verdict.FAIL
        assert mutation(audited).evidence["array"] == "rows"
        assert only(audited).wrong == 0

    def test_doing_so_only_at_a_perturbed_point(self) -> None:
        drawn = draw_inputs(case_of(np.sin, slope_of_sin))["x"]

        def forward(x: Any) -> Any:
            y = np.sin(x)
            if not np.array_equal(x, drawn):
                x[0, 0] = 7.0
            return y

        audited = audit(forward, slope_of_sin)
        assert only(audited).verdict is Verdict.FAIL
        assert mutation(audited).evidence["array"] == "x"
        assert only(audited).wrong == 0

    def test_changing_it_and_then_raising(self) -> None:
        forward = Witness(raising_after_the_damage())
        audited = audit(forward, slope_of_sin)
        assert only(audited).verdict is Verdict.FAIL
        assert codes(audited) == {"input-mutated", "out-of-domain"}
        assert forward.changed() == 0

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_computing_the_output_in_the_input_itself(self, dtype: str) -> None:
        def forward(x: Any) -> Any:
            return np.sin(x, out=x)

        audited = audit(forward, slope_of_sin, array("x", (3, 4), dtype=dtype), dtype=dtype)
        assert (only(audited).verdict, only(audited).wrong) == (Verdict.FAIL, 0)
        assert mutation(audited).evidence["array"] == "x"


class TestBackwardThatMutates:
    @staticmethod
    def upstream_reused(u: Any, x: Any) -> Any:
        u *= np.cos(x)
        return u

    @staticmethod
    def input_reused(u: Any, x: Any) -> Any:
        np.cos(x, out=x)
        x *= u
        return x

    @pytest.mark.parametrize(("name", "array_changed"), [("upstream_reused", "upstream"), ("input_reused", "x")])
    def test_fails_by_the_finding_alone(self, name: str, array_changed: str) -> None:
        backward = Witness(getattr(self, name))
        audited = audit(np.sin, backward)
        assert only(audited).verdict is Verdict.FAIL
        assert only(audited).wrong == 0
        found = mutation(audited)
        assert (found.evidence["by"], found.evidence["array"]) == ("backward", array_changed)
        assert found.evidence["changed"] == 12
        assert backward.changed() == 0

    def test_one_of_several_upstreams_is_named(self) -> None:
        def backward(u: Any, x: Any) -> Any:
            gradient = u[0] * np.cos(x) + 2.0 * x * u[1]
            u[1][0] = 0.0
            return gradient

        audited = audit(lambda x: (np.sin(x), x**2), backward, array("x", (3,)))
        assert mutation(audited).evidence["array"] == "upstream[1]"
        assert only(audited).verdict is Verdict.FAIL

    def test_an_input_without_gradient_counts_as_well(self) -> None:
        def backward(u: Any, x: Any, mask: Any) -> Any:
            mask *= u
            return mask

        mask = array("mask", (3,), differentiable=False)
        audited = audit(lambda x, mask: x * mask, backward, array("x", (3,)), mask)
        assert mutation(audited).evidence["array"] == "mask"
        assert (only(audited).verdict, only(audited).wrong) == (Verdict.FAIL, 0)


def mutation(audited: Audit) -> Finding:
    """Return the one finding of an audit, which has to be a mutation."""
    (found,) = [finding for result in audited.results for finding in result.findings]
    assert found.code == "input-mutated"
    return found
