"""Ops that evaluate several points at once: the audit is the one of an op that takes one point after the other.

They are asked for several where every index is looked at; a root test takes one point after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields, replace
from itertools import accumulate
from typing import Any

import numpy as np
import pytest
from pairs import array, case_of, only, open_pair

from gradaudit.audit.conclusion import Audit
from gradaudit.engine.audit import audit_case
from gradaudit.results import Result, Verdict
from gradaudit.spec.case import Case
from gradaudit.targets.op import OpError
from gradaudit.targets.python import PythonOp

CONFIRMING = 2
"""Points that are evaluated by themselves too, whenever more of an input are evaluated at once than before."""


@dataclass(frozen=True)
class Many(PythonOp):
    """A pair of functions that takes several points; ``change`` is done to the outputs at all of them."""

    change: Callable[[list[Any]], list[Any]] = list
    singles: list[int] = field(default_factory=list)
    calls: list[tuple[str, int]] = field(default_factory=list)

    def forward(self, inputs: Mapping[str, Any]) -> tuple[Any, ...]:
        self.singles.append(1)
        return super().forward(inputs)

    def forward_many(self, inputs: Mapping[str, Any], varied: str, points: Any) -> list[tuple[Any, ...] | None]:
        self.calls.append((varied, len(points)))
        return self.change([self._if_any({**inputs, varied: points[k, ...]}) for k in range(len(points))])

    def _if_any(self, inputs: Mapping[str, Any]) -> tuple[Any, ...] | None:
        try:
            return super().forward(inputs)
        except OpError:
            return None


def audited(case: Case, change: Callable[[list[Any]], list[Any]] = list) -> tuple[Audit, Many]:
    plain = open_pair(case.target, case)  # type: ignore[arg-type]
    op = Many(**{one.name: getattr(plain, one.name) for one in fields(plain)}, change=change)

    @contextmanager
    def reached(case: Case) -> Iterator[Many]:
        yield op

    return audit_case(case, reached), op


class Alone(PythonOp):
    """A pair of functions that takes one point after the other."""

    stackable = False


def alone(case: Case) -> Audit:
    plain = open_pair(case.target, case)  # type: ignore[arg-type]

    @contextmanager
    def reached(case: Case) -> Iterator[PythonOp]:
        yield Alone(**{one.name: getattr(plain, one.name) for one in fields(plain)})

    return audit_case(case, reached)


def in_full(audit: Audit) -> list[str]:
    """Return all that the results of an audit say."""
    return list(map(said, audit.results))


def said(result: Result) -> str:
    """Return all that a result says but what it cost: as text, in which NaN equals NaN."""
    return repr(replace(result, seconds=0.0, evaluations=0, forwards=0))


def root(x: Any) -> Any:
    if (x < 0.0).any():
        raise ValueError("square root of a negative number")
    return np.sqrt(x)


def in_float32(x: Any) -> Any:
    return np.sin(np.asarray(x, np.float32)).astype(np.float64)


def only_float32(x: Any) -> Any:
    if x.dtype != np.float32:
        raise TypeError("float32 only")
    return np.sin(x)


X = array("x", (4, 5))
TIED = array("x", (6,), values=np.array([1.0, 2.0, 2.0, 2.0, 0.5, 2.0]))
AT_ZERO = array("x", (5,), values=np.array([-1.0, 0.0, 0.5, 0.0, -0.0]))
FLAT = np.arange(20.0) - 7

CASES: dict[str, Case] = {
    "smooth": case_of(np.sin, lambda u, x: u * np.cos(x), X),
    "wrong": case_of(np.sin, lambda u, x: 1.01 * u * np.cos(x), X),
    "wrong in one place": case_of(np.sin, lambda u, x: u * np.cos(x) + (FLAT == 5).reshape(4, 5), X),
    "two inputs": case_of(lambda x, w: x @ w, lambda u, x, w: (u @ w.T, x.T @ u), X, array("w", (5, 2))),
    "many": case_of(np.tanh, lambda u, x: u / np.cosh(x) ** 2, array("x", (20, 20))),
    "a number": case_of(np.exp, lambda u, x: u * np.exp(x), array("x", ())),
    "nothing": case_of(np.exp, lambda u, x: u * np.exp(x), array("x", (0, 3))),
    "kinks": case_of(lambda x: np.maximum(x, 0.0), lambda u, x: u * (x > 0), AT_ZERO),
    "a wrong claim at kinks": case_of(lambda x: np.maximum(x, 0.0), lambda u, x: u * np.where(x > 0, 1, -1), AT_ZERO),
    "ties": case_of(np.sort, lambda u, x: u[np.argsort(np.argsort(x))], TIED),
    "a wrong claim at ties": case_of(np.sort, lambda u, x: 3.0 * u, TIED),
    "jumps": case_of(lambda x: np.sign(x) + x, lambda u, x: u, AT_ZERO),
    "rounding to integers": case_of(lambda x: np.round(4 * x), lambda u, x: 4 * u, X),
    "the edge of the domain": case_of(root, lambda u, x: u / (2 * np.sqrt(x)), array("x", (8,), 1e-9, 2e-9)),
    "a fixed step": case_of(np.sin, lambda u, x: u * np.cos(x), X, step=2.0**-10),
    "float32 inside": case_of(in_float32, lambda u, x: u * np.cos(x), X),
    "float32 inside, wrong": case_of(in_float32, lambda u, x: 1.1 * u * np.cos(x), X),
    "float32 only": case_of(only_float32, lambda u, x: u * np.cos(x), replace(X, dtype="float32"), dtype="float32"),
    "complex": case_of(np.exp, lambda u, x: u * np.conj(np.exp(x)), replace(X, dtype="complex128"), dtype="complex128"),
    "complex, wrong": case_of(np.exp, lambda u, x: u * np.exp(x), replace(X, dtype="complex128"), dtype="complex128"),
    "a transposed input": case_of(np.sin, lambda u, x: u * np.cos(x), array("x", (4, 5), layout="transposed")),
}


@pytest.mark.parametrize("name", CASES)
def test_every_verdict_number_and_finding_is_the_same(name: str) -> None:
    case = replace(CASES[name], method="exhaustive")
    expected = alone(case)
    found, op = audited(case)
    assert in_full(found) == in_full(expected)
    assert found.check_evaluations == expected.check_evaluations
    points = sum(many for _, many in op.calls)
    assert len(op.singles) + points == sum(made.evaluations for made in found.results) + found.check_evaluations
    spent = [made.evaluations + CONFIRMING * len(records(op, made.input)) for made in expected.results]
    assert [made.evaluations for made in found.results] == spent


def records(op: Many, name: str) -> set[int]:
    """Return how many points of an input were evaluated at once, where they were more than ever before."""
    return set(accumulate((many for varied, many in op.calls if varied == name), max))


def test_a_right_gradient_takes_three_calls_and_a_wrong_one_a_few_more() -> None:
    right, wrong = array("x", (8, 8)), array("x", (8, 8), 0.1, 1.4)
    calls = audited(case_of(np.sin, lambda u, x: u * np.cos(x), right, method="exhaustive"))[1].calls
    assert [many for _, many in calls] == [9, 16, 240]  # a survey, and two differences at each of few indices and more
    found, op = audited(case_of(np.sin, lambda u, x: 1.01 * u * np.cos(x), wrong, method="exhaustive"))
    assert only(found).wrong == 64
    assert len(op.calls) <= 8


@pytest.mark.parametrize(
    "change",
    [
        lambda outputs: outputs[:1] * len(outputs),
        lambda outputs: outputs[::-1],
        lambda outputs: [(outputs[0][0] * 0.0,)] * len(outputs),
        lambda outputs: [(made[0] * (1.0 + 2.0**-52),) for made in outputs],
        lambda outputs: [None] * len(outputs),
        lambda outputs: outputs[:16] + [(0.0 * made[0],) for made in outputs[16:]],
    ],
    ids=["the first for all", "reversed", "zeros", "rounded otherwise", "none", "room for sixteen"],
)
def test_an_op_that_answers_otherwise_for_several_is_asked_for_one_at_a_time(change: Any) -> None:
    case = replace(CASES["smooth"], method="exhaustive")
    found, op = audited(case, change)
    assert len(op.calls) <= 3
    message = "called for one point at a time: outputs of forward for several points at once differ from those for each"
    assert only(found).message == message
    (expected,) = alone(case).results
    assert in_full(replace(found, results=[replace(only(found), message="")])) == in_full(
        replace(alone(case), results=[expected])
    )


def test_a_small_gradient_is_tested_as_a_whole_and_looked_at_only_where_it_does_not_pass() -> None:
    found, op = audited(CASES["smooth"])
    assert (only(found).verdict, only(found).method, op.calls) == (Verdict.PASS, "search", [])
    found, op = audited(CASES["wrong in one place"])
    assert (only(found).verdict, only(found).method, only(found).wrong) == (Verdict.FAIL, "exhaustive", 1)
    assert op.calls


def test_randomness_in_forward_is_found_all_the_same() -> None:
    rng = np.random.default_rng(0)
    case = case_of(lambda x: x * rng.random(x.shape), lambda u, x: u / 2, X)
    (result,) = audited(case)[0].results
    assert result.verdict is Verdict.FAIL
    assert "stochastic-forward" in {finding.code for finding in result.findings}


def test_another_shape_at_some_points_is_an_error_in_words() -> None:
    case = replace(CASES["smooth"], method="exhaustive")
    found, _ = audited(case, lambda outputs: [(made[0][:2],) for made in outputs])
    words = "forward returned float64 of shape (2, 5) at a perturbed input, float64 of shape (4, 5) before"
    assert only(found).message == words


def test_outputs_too_large_to_hold_many_of_are_asked_for_one_at_a_time() -> None:
    case = case_of(lambda x: np.full(2**19 + 1, x.sum()), lambda u, x: np.full(2, u.sum()), array("x", (2,)))
    found, op = audited(replace(case, method="exhaustive"))
    assert (only(found).verdict, only(found).method, op.calls) == (Verdict.PASS, "exhaustive", [])


def stacked_sizes(function: Any, size: int) -> tuple[Any, list[int]]:
    """Return a function that notes how many points it is called for."""
    sizes: list[int] = []

    def watched(x: Any, *others: Any) -> Any:
        sizes.append(x.size // size)
        return function(x, *others)

    return watched, sizes


BROADCASTING: dict[str, tuple[Any, Any, bool]] = {
    "element by element": (np.sin, lambda u, x: u * np.cos(x), True),
    "along the last axis": (lambda x: x.cumsum(-1), lambda u, x: u[..., ::-1].cumsum(-1)[..., ::-1], True),
    "along the first axis": (lambda x: x.cumsum(0), lambda u, x: u[::-1].cumsum(0)[::-1], False),
    "less the largest": (lambda x: np.exp(x - x.max() + 1), lambda u, x: pulled_down(u, x), True),
    "a sum of all": (lambda x: np.sin(x).sum(), lambda u, x: u * np.cos(x), False),
    "two axes only": (lambda x: np.sin(x) * np.ones((x.shape[0], 8)), lambda u, x: u * np.cos(x), False),
}


def pulled_down(u: Any, x: Any) -> Any:
    y = u * np.exp(x - x.max() + 1)
    return y - y.sum() * (x == x.max())


@pytest.mark.parametrize("name", BROADCASTING)
def test_several_points_are_tried_in_one_call_and_kept_to_where_bits_are_the_same(name: str) -> None:
    forward, backward, beyond_the_first = BROADCASTING[name]
    watched, sizes = stacked_sizes(forward, 64)
    case = case_of(watched, backward, array("x", (8, 8)), method="exhaustive")
    (expected,) = alone(case).results
    sizes.clear()
    (found,) = audit_case(case, lambda case: nullcontext(plain(case))).results
    counted = sum(sizes)
    assert said(found) == said(expected)
    assert found.forwards == counted
    assert (found.verdict, found.message) == (Verdict.PASS, "")
    assert (max(sizes) > 16) == beyond_the_first


def plain(case: Case) -> PythonOp:
    return open_pair(case.target, case)  # type: ignore[arg-type]


def test_a_forward_that_a_stacked_call_spoils_is_asked_for_one_point_at_a_time_after_all() -> None:
    axes: list[int] = []

    def forward(x: Any) -> Any:
        axes.append(x.ndim)
        return np.sin(x) + (axes[:-1].count(3) > 2)

    case = case_of(forward, lambda u, x: u * np.cos(x), array("x", (8, 8)), method="exhaustive")
    found = audit_case(case, lambda case: nullcontext(plain(case)))
    assert axes.count(3) == 3
    assert axes.count(2) >= 4 * 64
    assert only(found).verdict is not Verdict.PASS


def test_an_input_that_a_stacked_call_changes_is_put_back() -> None:
    def forward(x: Any, w: Any) -> Any:
        if x.ndim > 2:
            w += 1.0
        return np.sin(x) * w

    case = case_of(forward, lambda u, x, w: (u * np.cos(x) * w, u * np.sin(x)), array("x", (8, 8)), array("w", (8, 8)))
    found = audit_case(replace(case, method="exhaustive"), lambda case: nullcontext(plain(case)))
    assert {result.verdict for result in found.results} == {Verdict.PASS}
