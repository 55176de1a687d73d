"""The checks together: what they cost, in what order they speak, and that they leave right ops in peace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pairs import MOST_EVALUATIONS, array, audit, codes, only

from gradaudit.audit.elsewhere import MOST_FORWARDS
from gradaudit.results import Verdict

Function = Callable[..., Any]
MEMORIES = [(memory, dtype) for memory in ("first", "last", "sum", "sign") for dtype in ("float64", "float16")]


class Op:
    """A pair of functions with a memory, and a count of forwards."""

    def __init__(self, remember: str) -> None:
        self.remember = remember
        self.calls = self.size = 0
        self.x: Any = None
        self.total: Any = 0.0
        self.rng = np.random.default_rng(0)

    def forward(self, x: Any) -> Any:
        self.size = self.size or x.size
        self.calls += x.size // self.size  # several points may be stacked
        if self.remember == "last" or self.x is None:
            self.x = x.copy()
        noise = self.rng.random(x.shape).astype(x.dtype) if self.remember == "noise" else 0 * x
        return np.sin(x) + noise

    def backward(self, u: Any, *_: Any) -> Any:
        gradient = (u * np.cos(self.x)).astype(u.dtype)
        if self.remember == "sum":
            self.total = (self.total + gradient).astype(u.dtype)
            return self.total
        return np.sign(gradient) if self.remember == "sign" else gradient


@pytest.mark.parametrize("args", [("upstream",), ("upstream", "x"), ("upstream", "output")], ids=str)
@pytest.mark.parametrize("shape", [(3,), (30, 40)], ids=["exhaustive", "search"])
@pytest.mark.parametrize(("remember", "dtype"), [*MEMORIES, ("noise", "float64")])
def test_their_calls_of_forward_are_bounded_and_every_one_is_counted(
    remember: str, dtype: str, shape: tuple[int, ...], args: tuple[str, ...]
) -> None:
    op = Op(remember)
    made = audit(op.forward, op.backward, array("x", shape, dtype=dtype), dtype=dtype, args=args)
    naming = MOST_FORWARDS + 3 if only(made).verdict is Verdict.FAIL else 0
    assert 2 <= made.check_evaluations <= MOST_EVALUATIONS + naming
    assert made.check_evaluations + only(made).evaluations == op.calls
    failing = [finding.code for finding in only(made).findings if finding.fails]
    assert len(failing) <= 1


def test_stretched_gradients_are_counted_too() -> None:
    names = "abcde"
    inputs = [array("x", (3, 4)), *(array(name, (4,)) for name in names)]
    made = audit(lambda x, *others: x + sum(others), lambda u, *_: (u,) * 6, *inputs)
    assert made.check_evaluations <= MOST_EVALUATIONS
    assert [result.verdict for result in made.results] == [Verdict.PASS] + [Verdict.ERROR] * 5


def test_right_ops_cost_a_third_of_that() -> None:
    made = audit(np.sin, lambda u, x: u * np.cos(x), array("x", (1000,)))
    assert (made.check_evaluations, codes(made)) == (4, set())


FAULTS: dict[str, tuple[Function, Function, str]] = {
    "changes its upstream and is not linear": (
        np.sin,
        lambda u, x: np.multiply(u, u, out=u) * np.cos(x),
        "input-mutated",
    ),
    "draws and ignores": (np.sin, lambda u, x: np.random.default_rng().random(x.shape), "stochastic-backward"),
    "draws in forward and in backward": (
        lambda x: x * np.random.default_rng().random(x.shape),
        lambda u, x: u * np.random.default_rng().random(x.shape),
        "stochastic-forward",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_one_finding_that_fails_is_made_for_a_fault_that_several_checks_would_see(name: str) -> None:
    forward, backward, code = FAULTS[name]
    (result,) = audit(forward, backward, array("x", (6,))).results
    assert [finding.code for finding in result.findings if finding.fails] == [code]


def test_what_is_given_to_backward_and_changed_is_told_with_its_name() -> None:
    def backward(u: Any, y: Any) -> Any:
        y *= y
        return u * np.sqrt(1 - y)

    made = audit(np.sin, backward, array("x", (3,), -1.0, 1.0), args=("upstream", "output"))
    (found,) = only(made).findings
    assert (found.code, found.evidence["by"], found.evidence["array"]) == ("input-mutated", "backward", "output")
    assert only(made).wrong == 0


def test_an_output_that_is_no_array_is_passed_on() -> None:
    def forward(x: Any) -> Any:
        return np.sin(x), "a name"

    made = audit(forward, lambda u, x: u * np.cos(x))
    assert (only(made).verdict, codes(made)) == (Verdict.PASS, set())


@pytest.mark.parametrize(
    ("where", "more"), [*(("forward", more) for more in range(5)), *(("backward", more) for more in range(7))]
)
def test_an_op_that_raises_once_its_gradient_is_audited_still_passes(where: str, more: int) -> None:
    backward = lambda u, x: u * np.cos(x)  # noqa: E731
    x = array("x", (3,))
    last = {"forward": 1 + only(audit(np.sin, backward, x)).evaluations, "backward": 1}
    calls = {"forward": 0, "backward": 0}

    def tiring(name: str, function: Function) -> Function:
        def called(*arguments: Any) -> Any:
            calls[name] += 1
            if name == where and calls[name] > last[name] + more:
                raise RuntimeError("enough")
            return function(*arguments)

        return called

    made = audit(tiring("forward", np.sin), tiring("backward", backward), x)
    assert (only(made).verdict, codes(made)) == (Verdict.PASS, set())
    assert calls[where] > last[where]
