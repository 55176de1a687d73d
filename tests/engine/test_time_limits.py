"""What is known when the time of a case is up: what was judged, and failures that were seen by then."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from gradaudit.audit.conclusion import Audit
from gradaudit.engine.audit import audit_case
from gradaudit.engine.by_then import heard
from gradaudit.engine.events import CaseFinished
from gradaudit.engine.run import run_specs
from gradaudit.results import LIMIT_REACHED, Result, Verdict
from gradaudit.spec.case import Case
from gradaudit.spec.load import load_specs
from gradaudit.targets import calls

OPS = """
import os
import time


def product(x, y, z):
    with open("calls", "ab") as file:
        file.write(b".")
        made = file.tell()
    if os.path.exists("patience") and made > int(open("patience").read()):
        time.sleep(600)
    return x * y * z


def backward(u, x, y, z):
    return u * y * z, 1.5 * u * x * z, 1.2 * u * x * y
"""

SPEC = {
    "op": "product",
    "target": {"forward": "timed_ops:product", "backward": "timed_ops:backward"},
    "inputs": {name: {"shape": [4], "range": [0.5, 1.5]} for name in "xyz"},
}


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timed_ops", raising=False)
    Path("timed_ops.py").write_text(OPS)
    Path("spec.yaml").write_text(yaml.safe_dump(SPEC))
    return load_specs([Path("spec.yaml")]).cases[0]


def verdicts(audit: Audit) -> dict[str, Verdict]:
    return {result.input: result.verdict for result in audit.results}


def is_cut(result: Result) -> bool:
    return any(finding.code == LIMIT_REACHED for finding in result.findings)


class Clock:
    """Time that goes on by one second whenever it is looked at, as it is before each call."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def in_seconds(case: Case, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Audit]:
    def audited(seconds: float) -> Audit:
        clock = Clock()
        monkeypatch.setattr(calls, "time", clock)
        audit = audit_case(case, seconds=seconds)
        assert audit.results[0].forwards + audit.results[0].backwards <= 1.2 * seconds + 1
        return audit

    return audited


def test_gradients_that_were_judged_are_told_as_they_are_and_what_was_seen_fails(in_seconds: Any) -> None:
    told = {seconds: in_seconds(seconds) for seconds in (1, 4, 9, 20, 30, 45, 60, 80, 100, 120, 140, 400)}
    for seconds, audit in told.items():
        found = verdicts(audit)
        assert found["x"] is not Verdict.FAIL, seconds
        assert found["y"] is not Verdict.PASS, seconds
        assert Verdict.ERROR not in found.values(), seconds
    assert verdicts(told[1]) == dict.fromkeys("xyz", Verdict.INCONCLUSIVE)
    assert verdicts(told[400]) == {"x": Verdict.PASS, "y": Verdict.FAIL, "z": Verdict.FAIL}
    under_way = [dict(zip("xyz", audit.results, strict=True)) for audit in told.values()]
    assert any(
        each["x"].verdict is Verdict.PASS
        and each["y"].mismatches
        and "not located in the time given (" in each["z"].message
        and each["z"].verdict is Verdict.FAIL
        for each in under_way
    )


def test_a_right_gradient_is_never_wrong_for_want_of_time(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("timed_ops.py").write_text(OPS.replace("1.5 *", "").replace("1.2 *", ""))
    right = replace(case, op="right")
    for seconds in (1, 3, 8, 15, 20, 25, 30, 40, 60):
        monkeypatch.setattr(calls, "time", Clock())
        audit = audit_case(right, seconds=seconds)
        assert set(verdicts(audit).values()) <= {Verdict.PASS, Verdict.INCONCLUSIVE}
        assert Verdict.INCONCLUSIVE in verdicts(audit).values() or not any(map(is_cut, audit.results))
    assert set(verdicts(audit).values()) == {Verdict.PASS}


@pytest.fixture
def patience(case: Case) -> int:
    """Calls of forward after which two of the three gradients are judged, and the third is under way."""
    told: dict[str, int] = {}

    def note(audit: Any) -> None:
        told.setdefault(str(verdicts(audit)["y"]), Path("calls").stat().st_size)

    with heard(note):
        audit_case(case, seconds=600)
    Path("calls").unlink()
    return told["fail"] + 3


def run(jobs: int, timeout: float | None = None) -> tuple[Result, ...]:
    events: list[Any] = []
    run_specs(load_specs([Path("spec.yaml")]), events.append, jobs=jobs, timeout=timeout)
    (finished,) = [event for event in events if isinstance(event, CaseFinished)]
    return finished.results


def test_what_an_op_that_hangs_was_judged_for_before_is_told(case: Case, patience: int) -> None:
    Path("patience").write_text(str(patience))
    x, y, z = run(jobs=1, timeout=1.0)
    assert (x.verdict, y.verdict, z.verdict) == (Verdict.PASS, Verdict.FAIL, Verdict.ERROR)
    assert len(y.mismatches) == 4
    assert z.message == "exceeded its time limit of 1 s"
    assert x.forwards > 10


def test_without_workers_only_a_time_that_is_asked_for_is_kept(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "time", Clock())
    assert any(map(is_cut, run(jobs=0, timeout=30.0)))
    monkeypatch.setattr(calls, "time", Clock())
    assert not any(map(is_cut, run(jobs=0)))
