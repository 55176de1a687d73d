"""Audits of functions of a framework that stand in the test itself, where a spec could only name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from gradaudit.audit.conclusion import Audit
from gradaudit.engine.audit import audit_case
from gradaudit.results import Verdict, worst
from gradaudit.spec.case import Case, Expectation, Input, Location
from gradaudit.spec.op_targets import Mode
from gradaudit.targets import TARGET_KINDS, TargetKind
from gradaudit.targets.frameworks import op_of

Make = Callable[..., Any]


@dataclass(frozen=True)
class Held:
    """A target that holds its function, and how an op is made of it."""

    make: Make
    function: Callable[..., Any]
    counted: tuple[int, ...] | None = None
    mode: Mode = "reverse"


def array(name: str, *shape: int, lo: float = -1.5, hi: float = 1.5, **more: Any) -> Input:
    """Return the plan of an input, uniform over a range; float64 unless said otherwise."""
    return Input(**{"name": name, "shape": shape, "dtype": "float64", "range": (lo, hi)} | more)


def audit(
    make: Make,
    function: Callable[..., Any],
    *inputs: Input,
    dtype: str = "float64",
    params: Mapping[str, Any] | None = None,
    counted: tuple[int, ...] | None = None,
    method: Any = "auto",
    mode: Mode = "reverse",
) -> Audit:
    """Audit a function as ``gradaudit run`` audits one that a spec names."""
    case = Case(
        op="held",
        module="tests",
        name="default",
        dtype=dtype,
        target=Held(make, function, counted, mode),  # type: ignore[arg-type]
        inputs=inputs,
        params=params or {},
        tolerance=None,
        upstream="random",
        step=None,
        method=method,
        seed=0,
        expect=Expectation(),
        notes="",
        location=Location(Path("held.yaml"), 1, 1),
    )
    with patch.dict(TARGET_KINDS, {Held: TargetKind(_open, lambda _: {})}):
        return audit_case(case)


def _open(target: Held, case: Case) -> Any:
    return op_of(target.make, target.function, case, counted=target.counted, mode=target.mode)


def verdict(audited: Audit) -> Verdict:
    """Return the worst verdict of an audit."""
    return worst([result.verdict for result in audited.results])


def codes(audited: Audit) -> set[str]:
    """Return the codes of all findings of an audit."""
    return {finding.code for result in audited.results for finding in result.findings}


def messages(audited: Audit) -> str:
    """Return what an audit says of its results, a line each."""
    return "\n".join(result.message for result in audited.results)
