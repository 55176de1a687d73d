"""Faults of a known kind, planted in the backwards of the shipped ops."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "ops"))

from shipped import CASES_BY_OP, audit_changed

from gradaudit.results import DIAGNOSIS_CODES, Finding, Result, Verdict
from gradaudit.spec.case import Case
from gradaudit.targets.op import Op, OpError

Array = Any


@dataclass(frozen=True)
class Call:
    """A call of backward, as a fault sees it."""

    op: Op
    input: str
    upstream: tuple[Array, ...]
    inputs: Mapping[str, Array]
    outputs: tuple[Array, ...]
    rng: np.random.Generator
    """Gives the same numbers at every call."""
    memory: dict[str, Any]
    """What a fault chose at its first call, where it is the same mistake at other shapes too."""

    def gradient(self, **changes: Any) -> Array:
        """Return what the right backward answers, upstream or inputs replaced."""
        given = {"upstream": self.upstream, "inputs": self.inputs, "outputs": self.outputs} | changes
        return self.op.backward(**given)[self.input]


Fault = Callable[[Call], Array]
"""Returns a wrong gradient; None where the op gives no occasion for this one."""


@dataclass
class Planted:
    """An op whose gradient with respect to one input is wrong in one way."""

    op: Op
    input: str
    faults: tuple[Fault, ...]
    seed: int
    memory: dict[str, Any] = field(default_factory=dict)

    def forward(self, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        return self.op.forward(inputs)

    def differentiable_outputs(self, outputs: tuple[Array, ...]) -> tuple[int, ...]:
        return self.op.differentiable_outputs(outputs)

    def backward(
        self, upstream: tuple[Array, ...], inputs: Mapping[str, Array], outputs: tuple[Array, ...]
    ) -> dict[str, Array]:
        gradients = self.op.backward(upstream, inputs, outputs)
        right = gradients[self.input]
        for fault in self.faults:
            answer = dict(gradients)
            holder = _Answering(self.op, answer) if fault is not self.faults[0] else self.op
            call = Call(holder, self.input, upstream, inputs, outputs, np.random.default_rng(self.seed), self.memory)
            try:
                wrong = fault(call)
            except ValueError as error:  # a buffer of another shape
                raise OpError(str(error)) from None
            if wrong is None:
                raise NoOccasionError
            gradients = gradients | {self.input: np.asarray(wrong).astype(right.dtype)}
        return gradients


@dataclass(frozen=True)
class _Answering:
    """An op whose backward has answered already: what a second fault starts from."""

    op: Op
    answer: Mapping[str, Array]

    def backward(self, upstream: Any, inputs: Any, outputs: Any) -> Mapping[str, Array]:
        return self.answer


class NoOccasionError(BaseException):
    """This fault cannot be made here. No exception that an audit would take for the op's own."""


def audit_planted(case: Case, name: str, *faults: Fault, seed: int = 0) -> Result | None:
    """Return the result for an input whose gradient got these faults; None where they cannot be made."""
    with np.errstate(all="ignore"):
        try:
            audited = audit_changed(case, lambda opened: Planted(opened, name, faults, seed))
        except NoOccasionError:
            return None
    result = next(result for result in audited.results if result.input == name)
    of_calls = [found for other in audited.results for found in other.findings if found.fails]
    return replace(result, findings=(*of_calls, *(found for found in result.findings if not found.fails)))


def causes(result: Result) -> list[Finding]:
    """Return what a result is put down to, by the checks or by the numbers, the likeliest first."""
    return [found for found in result.findings if found.code in DIAGNOSIS_CODES]


EDGES = ("at_zero", "ties", "mean_", "scores_near", "spread_beyond", "wide_border", "causal_without")
"""How the names of cases begin that were made for one mistake each."""


def occasions() -> Iterator[tuple[Case, str]]:
    """Yield every differentiable input of the shipped cases in the two common dtypes, but for those at the edge.

    Where much of a gradient is zero, tied or lost in rounding, many faults are the same one, or none.
    """
    for cases in CASES_BY_OP.values():
        for case in cases:
            if case.dtype in ("float32", "float64") and not case.name.startswith(EDGES):
                yield from ((case, made.name) for made in case.inputs if made.differentiable)


def failed(result: Result | None) -> bool:
    return result is not None and result.verdict is Verdict.FAIL
