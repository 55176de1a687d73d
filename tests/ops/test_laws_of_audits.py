"""Laws that audits of shipped ops keep, whatever the op: a change of units, of order or of method changes no verdict.

Each law audits an op twice, the second time seen through a change whose effect is known exactly; its backward is right,
or 5% off at the gradient's largest entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from shipped import CASES, Spoilt, audit_changed

from gradaudit.results import Result, Verdict
from gradaudit.spec.case import Case, Input, RandomUpstream
from gradaudit.spec.draw import draw_inputs
from gradaudit.targets.op import Op

Arrays = tuple[Any, ...]

EXAMPLES = 10
"""Examples of each law; each is two audits."""

LARGEST_EXPONENT = {"float64": 300, "float32": 40}
"""Powers of two that leave a dtype room: the square of a gradient neither overflows nor underflows in float64."""

FREE = ("uniform", "normal")
"""Distributions whose values may be scaled and put in another order."""


def unchanged(array: Any) -> Any:
    return array


@dataclass(frozen=True)
class Through:
    """An op seen through linear maps of one input and of its outputs.

    Attributes:
        op: the op.
        input: the input's name.
        inward: maps the array that the audit draws to that which the op is given.
        pulled: maps the gradient with respect to what the op is given to that with respect to what is drawn.
        outward: maps each output.
        returned: maps each upstream, as the adjoint of ``outward`` does.

    """

    op: Op
    input: str
    inward: Callable[[Any], Any] = unchanged
    pulled: Callable[[Any], Any] = unchanged
    outward: Callable[[Any], Any] = unchanged
    returned: Callable[[Any], Any] = unchanged

    def _given(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {**inputs, self.input: self.inward(inputs[self.input])}

    def forward(self, inputs: Mapping[str, Any]) -> Arrays:
        outputs = self.op.forward(self._given(inputs))
        counted = self.op.differentiable_outputs(outputs)
        return tuple(self.outward(output) if k in counted else output for k, output in enumerate(outputs))

    def differentiable_outputs(self, outputs: Arrays) -> tuple[int, ...]:
        return self.op.differentiable_outputs(outputs)

    def backward(self, upstream: Arrays, inputs: Mapping[str, Any], outputs: Arrays) -> dict[str, Any]:
        inputs = self._given(inputs)
        gradients = self.op.backward(tuple(map(self.returned, upstream)), inputs, self.op.forward(inputs))
        return gradients | {self.input: self.pulled(gradients[self.input])}


def off_at_the_largest(gradient: Any) -> Any:
    """Return a gradient that is 5% off at its largest entry."""
    wrong = gradient.copy()
    if wrong.size:
        wrong.flat[np.abs(wrong).argmax()] *= 1.05
    return wrong


@dataclass(frozen=True)
class Drawn:
    """A case, one of its differentiable inputs with the values drawn for it, and whether its gradient is wrong."""

    case: Case
    input: Input
    values: Any
    wrong: bool

    def audit(self, change: Callable[[Op], Op] = unchanged, **keys: Any) -> Result:
        """Return the result of the input; ``values`` are its own, other keys those of the case."""
        given = replace(self.input, values=keys.pop("values", self.values))
        inputs = tuple(given if made.name == given.name else made for made in self.case.inputs)
        case = replace(self.case, inputs=inputs, tolerance=None, **keys)
        audited = audit_changed(case, lambda op: change(self._with_fault(op)))
        return next(result for result in audited.results if result.input == self.input.name)

    def _with_fault(self, op: Op) -> Op:
        return Spoilt(op, self.input.name, off_at_the_largest) if self.wrong else op

    def __repr__(self) -> str:
        return f"{self.case.id}, seed {self.case.seed}, {self.input.name}{', wrong' * self.wrong}"


def may_be_changed(made: Input) -> bool:
    return made.differentiable and made.distribution in FREE and made.dtype in LARGEST_EXPONENT


@st.composite
def drawn(draw: st.DrawFn, dtype: str | None = None) -> Drawn:
    """Draw a shipped case at some seed, and one of its inputs."""
    fit = [c for c in CASES if any(map(may_be_changed, c.inputs)) and dtype in (None, c.dtype)]
    case = replace(draw(st.sampled_from(fit)), seed=draw(st.integers(0, 999)))
    made = draw(st.sampled_from([made for made in case.inputs if may_be_changed(made)]))
    return Drawn(case, made, draw_inputs(case)[made.name], draw(st.booleans()))


def told(result: Result) -> tuple[Any, ...]:
    """Return what no change of units may change.

    Counts of calls are left out: whether forward is float16 inside is asked by numbers that float16 has.
    """
    resolution = None if result.resolution is None else float(f"{result.resolution:.3g}")
    return result.verdict, result.wrong, resolution


def law(test: Callable[..., None]) -> Callable[..., None]:
    phases = (Phase.explicit, Phase.generate, Phase.shrink)
    return settings(max_examples=EXAMPLES, phases=phases, derandomize=True, database=None)(test)


def places(result: Result, shape: tuple[int, ...]) -> set[int]:
    return {int(np.ravel_multi_index(row.index, shape)) for row in result.mismatches}


def reordered(order: Any) -> Callable[[Any], Any]:
    return lambda array: array.reshape(-1)[order].reshape(array.shape)


@st.composite
def power(draw: st.DrawFn, made: Input) -> float:
    largest = LARGEST_EXPONENT[made.dtype]
    return 2.0 ** draw(st.integers(-largest, largest))


@law
@given(drawn(), st.data())
def test_a_unit_of_an_input_changes_nothing(one: Drawn, data: st.DataObject) -> None:
    k = data.draw(power(one.input))
    inverse = lambda array: (array / k).astype(array.dtype)  # noqa: E731
    changed = one.audit(lambda op: Through(op, one.input.name, inverse, inverse), values=one.values * k)
    assert told(changed) == told(one.audit())


@law
@given(drawn(), st.data())
def test_a_unit_of_the_outputs_changes_nothing(one: Drawn, data: st.DataObject) -> None:
    k = data.draw(power(one.input))
    scaled = lambda array: (array * k).astype(array.dtype)  # noqa: E731
    changed = one.audit(lambda op: Through(op, one.input.name, outward=scaled, returned=scaled))
    assert told(changed) == told(one.audit())


@law
@given(drawn(), st.data())
def test_a_unit_of_the_upstream_changes_nothing(one: Drawn, data: st.DataObject) -> None:
    k = data.draw(power(one.input))
    assert told(one.audit(upstream=RandomUpstream(scale=k))) == told(one.audit())


@law
@given(drawn(), st.integers(-100, 100))
def test_an_added_constant_accuses_nobody_and_hides_nothing(one: Drawn, constant: int) -> None:
    added = lambda array: (array + constant).astype(array.dtype)  # noqa: E731
    changed = one.audit(lambda op: Through(op, one.input.name, outward=added))
    assert changed.verdict is not (Verdict.PASS if one.wrong else Verdict.FAIL)


@law
@given(drawn(), st.randoms(use_true_random=False))
def test_another_order_of_the_elements_changes_no_verdict(one: Drawn, random: Any) -> None:
    order = list(range(one.values.size))
    random.shuffle(order)
    there, back = reordered(order), reordered(np.argsort(order))
    changed = one.audit(lambda op: Through(op, one.input.name, back, there), values=there(one.values))
    same = one.audit()
    assert (changed.verdict, changed.wrong) == (same.verdict, same.wrong)
    shape = one.values.shape
    assert {order[place] for place in places(changed, shape)} == places(same, shape)


@law
@given(drawn())
def test_a_search_says_what_a_full_table_says(one: Drawn) -> None:
    found, full = one.audit(method="search"), one.audit(method="exhaustive")
    assert (found.verdict, found.wrong) == (full.verdict, full.wrong)
    assert [row.index for row in found.mismatches] == [row.index for row in full.mismatches]


@law
@given(drawn("float32"))
def test_float32_accuses_nobody_and_hides_nothing_that_float64_decides(one: Drawn) -> None:
    inputs = tuple(replace(made, dtype=made.dtype.replace("32", "64")) for made in one.case.inputs)
    fine = replace(one.case, dtype="float64", inputs=inputs)
    made = next(made for made in inputs if made.name == one.input.name)
    expected = Verdict.FAIL if one.wrong else Verdict.PASS
    assert replace(one, case=fine, input=made).audit().verdict is expected
    assert one.audit().verdict in (expected, Verdict.INCONCLUSIVE)


@law
@given(drawn())
def test_the_sign_of_a_zero_changes_nothing(one: Drawn) -> None:
    with_zeros = one.values.copy()
    with_zeros.reshape(-1)[::3] = 0.0
    negative = np.where(with_zeros == 0, -0.0, with_zeros).astype(with_zeros.dtype)
    flipped = lambda gradient: np.where(gradient == 0, -gradient, gradient).astype(gradient.dtype)  # noqa: E731
    assert told(one.audit(lambda op: Spoilt(op, one.input.name, flipped))) == told(one.audit())
    assert one.audit(values=negative).verdict is one.audit(values=with_zeros).verdict
