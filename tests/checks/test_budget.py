"""An audit keeps to its budget of calls, and tells at its end what is known: nothing that is not, and all that is."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pairs import array, audit, only

from gradaudit.results import LIMIT_REACHED, Finding, Result, Verdict
from gradaudit.spec.case import Tolerance
from gradaudit.targets import calls

Function = Callable[..., Any]

BUDGETS = (1, 3, 8, 12, 15, 18, 22, 27, 35, 50, 80, 130, 250)


def derivative(u: Any, x: Any) -> Any:
    return u / np.cosh(x) ** 2


def fixed_point(x: Any) -> Any:
    """Solve ``y = x + sin(y) / 2`` to 1e-4."""
    y = x
    for _ in range(12):
        y = x + np.sin(y) / 2
    return y


def of_fixed_point(u: Any, x: Any) -> Any:
    y = x
    for _ in range(60):
        y = x + np.sin(y) / 2
    return u / (1 - np.cos(y) / 2)


def off_by_a_little(u: Any, x: Any) -> Any:
    """Return a gradient that a tolerance of 5% allows, and that is off by 4% everywhere in the same direction."""
    return 1.04 * derivative(u, x)


RIGHT: dict[str, tuple[Function, Function, dict[str, Any]]] = {
    "smooth": (np.tanh, derivative, {}),
    "with kinks": (np.abs, lambda u, x: u * np.sign(x), {}),
    "float32 inside": (lambda x: np.tanh(x.astype(np.float32)).astype(x.dtype), derivative, {}),
    "in bfloat16": (np.tanh, derivative, {"dtype": "bfloat16"}),
    "approximate": (lambda x: np.tanh(x) + 1e-7 * np.sin(9 * x), derivative, {}),
    "stopped early": (fixed_point, of_fixed_point, {}),
    "straight through, in small steps": (lambda x: np.round(1e5 * x) / 1e5, lambda u, x: u, {}),
    "straight through": (lambda x: np.round(64 * x) / 64, lambda u, x: u, {}),
    "cancelling": (lambda x: ((x + 1e9) - 1e9).sum(), lambda u, x: u + 0 * x, {}),
    "within its tolerance": (np.tanh, off_by_a_little, {"tolerance": Tolerance(0.05, 0.0, "a test")}),
}

WRONG: dict[str, tuple[Function, Function]] = {
    "a factor": (np.tanh, lambda u, x: 1.5 * derivative(u, x)),
    "a sign": (np.tanh, lambda u, x: -derivative(u, x)),
    "zeros": (np.tanh, lambda u, x: 0 * x),
    "one index": (np.tanh, lambda u, x: derivative(u, x) * np.where(np.arange(x.size).reshape(x.shape) == 5, 4, 1)),
}


def counted(function: Function, calls_made: list[int], shape: tuple[int, ...]) -> Function:
    """Return a function of inputs of this shape that counts the points it is called for: several may be stacked."""

    def called(*arguments: Any) -> Any:
        calls_made[0] += max(argument.size for argument in arguments) // math.prod(shape)
        return function(*arguments)

    return called


def told(result: Result) -> list[Finding]:
    return [finding for finding in result.findings if finding.code == LIMIT_REACHED]


@pytest.mark.parametrize("shape", [(4, 5), (30, 40)], ids=["small", "large"])
@pytest.mark.parametrize("name", RIGHT)
def test_no_budget_accuses_a_right_gradient_and_each_is_kept(name: str, shape: tuple[int, ...]) -> None:
    forward, backward, settings = RIGHT[name]
    x = array("x", shape, dtype=settings.get("dtype", "float64"))
    for budget in BUDGETS:
        made = [0]
        result = only(
            audit(counted(forward, made, shape), counted(backward, made, shape), x, budget=budget, **settings)
        )
        assert result.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE), (budget, result.message)
        assert made[0] <= max(budget, 2), "the first forward and backward are always made"
        assert result.forwards + result.backwards == made[0]


@pytest.mark.parametrize("shape", [(4, 5), (30, 40)], ids=["small", "large"])
@pytest.mark.parametrize("name", WRONG)
def test_no_budget_passes_a_wrong_one_and_what_fails_once_fails_with_more(name: str, shape: tuple[int, ...]) -> None:
    verdicts = [only(audit(*WRONG[name], array("x", shape), budget=budget)).verdict for budget in BUDGETS]
    assert set(verdicts) == {Verdict.INCONCLUSIVE, Verdict.FAIL}
    assert verdicts == sorted(verdicts, key=lambda verdict: verdict.severity)
    assert verdicts[0] is Verdict.INCONCLUSIVE
    assert Verdict.FAIL in verdicts[: BUDGETS.index(50)]


def test_a_failure_that_was_seen_and_not_located_is_one() -> None:
    result = only(audit(*WRONG["one index"], array("x", (30, 40)), budget=22))
    assert result.verdict is Verdict.FAIL
    assert result.mismatches == ()
    assert result.wrong == 1
    assert "not located in the budget given (22 calls a gradient): about " in result.message
    assert told(result)[0].evidence == {"budget": 22, "looked": 0}


def test_a_table_that_was_cut_off_shows_the_rows_that_it_has() -> None:
    result = only(audit(*WRONG["a factor"], array("x", (4, 5)), budget=70))
    assert result.verdict is Verdict.FAIL
    assert 0 < len(result.mismatches) == result.wrong == result.checked < 20
    assert f"{result.wrong} of {result.wrong} indices tested are wrong, of 20; the others" in result.message
    assert f"more calls would test the other {20 - result.wrong}" in result.message


def test_what_more_calls_would_do_is_said_and_true() -> None:
    result = only(audit(*RIGHT["smooth"][:2], array("x", (30, 40)), budget=8))
    assert result.message == (
        "not decided in the budget given (8 calls a gradient); "
        "the audit of a right gradient takes up to 50 calls where forward is smooth"
    )
    assert only(audit(*RIGHT["smooth"][:2], array("x", (30, 40)), budget=50)).verdict is Verdict.PASS


def test_checks_that_were_left_out_leave_it_open_whether_it_passes() -> None:
    found = {budget: only(audit(*RIGHT["smooth"][:2], array("x", (4, 5)), budget=budget)) for budget in range(8, 32)}
    left_out = [(result.verdict, told(result)) for result in found.values() if result.checked == result.size]
    cut = [findings for verdict, findings in left_out if verdict is Verdict.INCONCLUSIVE]
    assert cut
    assert all("captured_state" in finding.evidence["checks"] for (finding,) in cut)
    assert left_out[-1] == (Verdict.PASS, [])


@pytest.mark.parametrize("shape", [(4, 5), (30, 40)], ids=["small", "large"])
def test_the_gradient_that_is_wrong_is_the_one_that_fails(shape: tuple[int, ...]) -> None:
    def backward(u: Any, x: Any, y: Any, z: Any) -> Any:
        return u * y * z, 1.5 * u * x * z, u * x * y

    inputs = [array(name, shape, 0.5, 1.5) for name in "xyz"]
    for budget in BUDGETS:
        made = [0]
        product = counted(lambda x, y, z: x * y * z, made, shape)
        audited = audit(product, counted(backward, made, shape), *inputs, budget=budget)
        verdicts = {result.input: result.verdict for result in audited.results}
        assert verdicts["y"] is not Verdict.PASS
        assert Verdict.FAIL not in (verdicts["x"], verdicts["z"]), budget
        assert made[0] <= max(2, 3 * budget)
    assert verdicts == {"x": Verdict.PASS, "y": Verdict.FAIL, "z": Verdict.PASS}
    unlocated = audit(lambda x, y, z: x * y * z, backward, *inputs, budget=15).results
    assert [result.verdict for result in unlocated][1] is Verdict.FAIL


def test_tables_share_what_is_left() -> None:
    inputs = [array("x", (4, 5)), array("y", (4, 5))]
    wrong = audit(lambda x, y: x * y, lambda u, x, y: (2 * u * y, 2 * u * x), *inputs, budget=60)
    looked = [result.checked for result in wrong.results]
    assert all(0 < each < 20 for each in looked), "neither takes the calls of the other"
    assert abs(looked[0] - looked[1]) <= 5


def test_nobody_cuts_a_table_that_was_asked_for_unless_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "DEFAULT_BUDGET", 30)
    x = array("x", (4, 5))
    assert only(audit(*WRONG["a factor"], x)).checked < 20
    assert only(audit(*WRONG["a factor"], x, method="exhaustive")).checked == 20
    assert only(audit(*WRONG["a factor"], x, step=1e-5)).checked == 20
    assert only(audit(*WRONG["a factor"], x, method="exhaustive", budget=30)).checked < 20


def test_paths_keep_to_it_too() -> None:
    def forward(x: Any) -> Any:
        return np.tanh(x.astype(np.float32))

    made = [0]
    x = array("x", (40, 40), dtype="float32")
    cut = only(
        audit(counted(forward, made, (40, 40)), counted(derivative, made, (40, 40)), x, dtype="float32", budget=40)
    )
    assert cut.verdict is Verdict.INCONCLUSIVE
    assert "paths take up to" in cut.message
    assert made[0] <= 40
    assert only(audit(forward, derivative, x, dtype="float32")).verdict is Verdict.PASS


def test_paths_that_would_decide_a_gradient_are_walked_with_the_budget_that_is_named() -> None:
    """A running sum of 8,192 numbers hides an element in the rounding of its bfloat16 outputs."""

    def forward(x: Any) -> Any:
        if x.dtype.name != "bfloat16":
            raise TypeError("bfloat16 only")
        return x.astype(np.float32).cumsum(1).astype(x.dtype)

    def backward(u: Any, x: Any) -> Any:
        return u.astype(np.float32)[:, ::-1].cumsum(1)[:, ::-1].astype(x.dtype)

    given = array("x", (2, 8192), -1.0, 1.0, dtype="bfloat16")
    usual = only(audit(forward, backward, given, dtype="bfloat16"))
    assert usual.verdict is Verdict.INCONCLUSIVE
    assert max(usual.forwards, usual.backwards) <= 150
    (named,) = re.findall(r"--budget (\d+)", usual.message)
    longer = only(audit(forward, backward, given, dtype="bfloat16", budget=int(named)))
    assert longer.verdict is Verdict.PASS, longer.message
    assert longer.forwards + longer.backwards <= int(named)
