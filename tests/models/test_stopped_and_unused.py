"""Gradients that are stopped on purpose are audited as those of a loss with constants; what is unused is told so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flow_audits import audit, codes, of, said

from gradaudit.audit.conclusion import Audit
from gradaudit.results import Verdict

pytest.importorskip("torch")


def stopping(folder: Path, kind: str, **more: Any) -> Audit:
    named = {"model": "stopping_modules:build", "loss": "modules_by_name:loss", "tape": "torch"}
    inputs = {"x": {"shape": [5, 4], "differentiable": False}}
    return audit(folder, params={"kind": kind}, inputs=inputs, **named, **more)


def verdicts(made: Audit) -> dict[str, str]:
    return {result.input: str(result.verdict) for result in made.results}


@pytest.mark.parametrize(
    ("kind", "stopped"),
    [("straight_through", "first.*"), ("two_views", "encode.*"), ("no_grad_target", "teacher.*")],
)
def test_what_a_spec_calls_stopped_is_right(tmp_path: Path, kind: str, stopped: str) -> None:
    undeclared = verdicts(stopping(tmp_path, kind))
    assert "fail" in undeclared.values()
    made = stopping(tmp_path, kind, stopped=[stopped])
    assert set(verdicts(made).values()) == {"pass"}, said(made)


def test_a_gradient_that_is_wrong_beside_what_is_stopped_is_still_caught(tmp_path: Path) -> None:
    made = stopping(tmp_path, "two_views_scaled", stopped=["encode.*"])
    assert {name for name, verdict in verdicts(made).items() if verdict != "pass"} == {"encode.weight"}
    assert "constant-factor" in codes(made)["encode.weight"]
    assert "the hook on encode.weight may change its gradient" in said(made)


def test_a_parameter_that_lies_on_no_way_that_is_declared_is_still_lost(tmp_path: Path) -> None:
    made = stopping(tmp_path, "no_grad_target", stopped=["student.*"])
    assert codes(made)["teacher.weight"] == {"unreached-parameter"}


@pytest.mark.parametrize("key", ["stopped", "unused"])
def test_a_name_that_is_none_of_the_models_is_told(tmp_path: Path, key: str) -> None:
    made = stopping(tmp_path, "two_views", **{key: ["encode.weigth"]})
    assert {result.verdict for result in made.results} == {Verdict.ERROR}
    assert f"{key}: 'encode.weigth' is not a parameter; did you mean 'encode.weight'?" in said(made)


def test_an_expert_that_another_batch_uses_is_right_and_one_that_none_uses_undecided(tmp_path: Path) -> None:
    made = stopping(tmp_path, "experts")
    assert verdicts(made)["experts.2.weight"] == "inconclusive"
    assert {verdicts(made)[f"experts.{k}.weight"] for k in (0, 1)} == {"pass"}
    assert "another batch uses it" in said(made)


def test_an_expert_that_is_said_to_be_unused_is_right(tmp_path: Path) -> None:
    made = stopping(tmp_path, "experts", unused=["experts.*"])
    assert set(verdicts(made).values()) == {"pass"}
    assert "as its spec declares" in of(made, "experts.2.bias").message
