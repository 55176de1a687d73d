"""The ops and specs that gradaudit ships, and audits of them with another backward in the place of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from gradaudit.audit.conclusion import Audit
from gradaudit.engine.audit import audit_case
from gradaudit.spec.case import Case
from gradaudit.spec.load import load_specs
from gradaudit.spec.op_targets import PythonTarget
from gradaudit.targets.op import Op
from gradaudit.targets.python import PythonOp, open_python

SPECS = Path(__file__).parents[2] / "specs"

CASES = tuple(case for case in load_specs([SPECS]).cases if isinstance(case.target, PythonTarget))
"""Those of pairs of Python functions; what is written in a framework is tested with its target."""

CASES_BY_OP: Mapping[str, list[Case]] = {
    op: sorted(cases, key=lambda case: case.dtype != "float64")  # where differences are at their sharpest first
    for op, cases in ((op, list(cases)) for op, cases in groupby(CASES, key=lambda case: case.op))
}


@dataclass(frozen=True)
class Spoilt:
    """An op whose gradient with respect to one input is changed on its way out."""

    op: Op
    input: str
    fault: Callable[[Any], Any]

    def forward(self, inputs: Mapping[str, Any]) -> tuple[Any, ...]:
        return self.op.forward(inputs)

    def differentiable_outputs(self, outputs: tuple[Any, ...]) -> tuple[int, ...]:
        return self.op.differentiable_outputs(outputs)

    def backward(
        self, upstream: tuple[Any, ...], inputs: Mapping[str, Any], outputs: tuple[Any, ...]
    ) -> dict[str, Any]:
        gradients = self.op.backward(upstream, inputs, outputs)
        return gradients | {self.input: self.fault(gradients[self.input])}


def audit_changed(case: Case, change: Callable[[PythonOp], Op], *, explained: bool = True) -> Audit:
    """Audit a case with its op changed once it is opened."""
    return audit_case(case, lambda case: nullcontext(change(open_python(case.target, case))), explained=explained)
