"""Audits of functions that stand in the test itself, where a spec could only name functions in a module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from gradaudit.audit.conclusion import Audit
from gradaudit.engine.audit import audit_case
from gradaudit.results import Finding, Result
from gradaudit.spec.case import Case, Expectation, Input, Location, Tolerance
from gradaudit.targets import TARGET_KINDS, TargetKind
from gradaudit.targets.python import PythonOp

MOST_EVALUATIONS = 18
"""Forwards that all checks together may take, with the one that the case was opened with."""


@dataclass(frozen=True)
class Pair:
    """A target that holds its two functions; ``args`` and ``returns`` default as in a spec."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    args: tuple[str, ...] | None = None
    returns: tuple[str, ...] | None = None
    counted: tuple[int, ...] | None = None


def case_of(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    *inputs: Input,
    args: tuple[str, ...] | None = None,
    returns: tuple[str, ...] | None = None,
    counted: tuple[int, ...] | None = None,
    dtype: str = "float64",
    params: Mapping[str, Any] | None = None,
    tolerance: Tolerance | None = None,
    upstream: Any = "random",
    step: float | None = None,
    method: Any = "auto",
    seed: int = 0,
    expect: Expectation | None = None,
    budget: int | None = None,
    repeat: int = 0,
) -> Case:
    """Return a case of a pair of functions; inputs default to one of shape (3, 4) named x."""
    return Case(
        op="pair",
        module="tests",
        name="default",
        dtype=dtype,
        target=Pair(forward, backward, args, returns, counted),  # type: ignore[arg-type]
        inputs=inputs or (array("x", (3, 4), dtype=dtype),),
        params=params or {},
        tolerance=tolerance,
        upstream=upstream,
        step=step,
        method=method,
        seed=seed,
        expect=expect or Expectation(),
        notes="",
        location=Location(Path("pair.yaml"), 1, 1),
        budget=budget,
        repeat=repeat,
    )


def array(name: str, shape: tuple[int, ...], lo: float = -1.5, hi: float = 1.5, **more: Any) -> Input:
    """Return the plan of a float64 input, uniform over a range."""
    return Input(**{"name": name, "shape": shape, "dtype": "float64", "range": (lo, hi)} | more)


def audit(forward: Callable[..., Any], backward: Callable[..., Any], *inputs: Input, **settings: Any) -> Audit:
    """Audit a pair of functions as ``gradaudit run`` audits those that a spec names."""
    return audit_of(case_of(forward, backward, *inputs, **settings))


def audit_of(case: Case) -> Audit:
    """Audit a case made by ``case_of``."""
    with patch.dict(TARGET_KINDS, {Pair: TargetKind(open_pair, lambda _: {})}):
        return audit_case(case)


def open_pair(target: Pair, case: Case) -> PythonOp:
    """Return the op of a pair."""
    names = tuple(made.name for made in case.inputs)
    differentiable = tuple(made.name for made in case.inputs if made.differentiable)
    return PythonOp(
        forward_function=target.forward,
        backward_function=target.backward,
        params=case.params,
        backward_params=case.params,
        args=("upstream", *names) if target.args is None else target.args,
        returns=differentiable if target.returns is None else target.returns,
        counted=target.counted,
    )


def only(audited: Audit) -> Result:
    """Return the result of an audit of one differentiable input."""
    (result,) = audited.results
    return result


def codes(audited: Audit) -> set[str]:
    """Return the codes of all that was noticed in an audit, besides what mismatches look like."""
    return {finding.code for result in audited.results for finding in result.findings if is_noticed(finding)}


def is_noticed(finding: Finding) -> bool:
    """Whether a finding comes from a check; those of the diagnosis say how much of a mismatch they explain."""
    return "explained" not in finding.evidence
