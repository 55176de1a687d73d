"""One drawn case in a worker: whether forward takes it at all and, if so, the audit that ``run`` would make of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gradaudit.audit.conclusion import Audit
from gradaudit.depth.trace import noting_steps
from gradaudit.engine.audit import audit_case
from gradaudit.explore.rounding import is_rounding
from gradaudit.numerics.arrays import on_host
from gradaudit.results import Result, Trace, Verdict
from gradaudit.spec.case import Case
from gradaudit.spec.draw import UndrawableError, draw_inputs, draw_upstream
from gradaudit.spec.dtypes import has_derivatives, largest_value, spacing
from gradaudit.spec.requires import holds
from gradaudit.targets import opened
from gradaudit.targets.op import LostOpError, Op, OpError
from gradaudit.targets.parameters import completed


class _RefusedError(Exception):
    """Forward does not take a drawn case: no gradient is wrong there."""


@dataclass(frozen=True)
class Trial:
    """What came of a drawn case.

    Attributes:
        audit: how the case ended; None where it is none.
        refusal: why it is none.
        trace: the steps from line to line that forward and backward took.

    """

    audit: Audit | None
    refusal: str = ""
    trace: Trace = field(default_factory=dict)

    @property
    def wrong(self) -> tuple[Result, ...]:
        """The results that say that a gradient is wrong, or that there is none; what is undecided is no such thing."""
        results = self.audit.results if self.audit else ()
        return tuple(one for one in results if one.verdict in (Verdict.FAIL, Verdict.ERROR) and not one.expected)


def try_case(case: Case, seconds: float, files: Sequence[Path] = ()) -> Trial:
    """Audit a drawn case in this process, within so many seconds, and note the steps that it takes in some files."""
    trace: dict[str, frozenset[tuple[int, int]]] = {}
    try:
        audit = audit_case(case, partial(_admitted, files=files, trace=trace), seconds=seconds)
    except _RefusedError as refused:
        return Trial(None, str(refused))
    raised = [
        one.message for one in audit.results if one.verdict is Verdict.ERROR and one.message.startswith("forward")
    ]
    trial = Trial(None, raised[0]) if raised else Trial(audit, trace=trace)
    return Trial(None, "its gradient cancels") if trial.wrong and is_rounding(case, trial.wrong) else trial


def is_taken(case: Case) -> bool:
    """Whether forward takes a drawn case and answers with finite numbers."""
    try:
        with np.errstate(all="ignore"), _admitted(case):
            return True
    except (_RefusedError, OpError, LostOpError):
        return False


@contextmanager
def _admitted(
    case: Case, files: Sequence[Path] = (), trace: dict[str, frozenset[tuple[int, int]]] | None = None
) -> Iterator[Op]:
    """Open the op of a drawn case, and add to a trace what steps it takes in some files.

    Raises:
        _RefusedError: where the case breaks what its spec requires, or forward raises, or its output is not finite and
            would not be in double precision either.

    """
    try:
        inputs = draw_inputs(case)
    except (UndrawableError, ValueError) as error:
        raise _RefusedError(str(error)) from None
    if broken := next((text for text in case.requires if not holds(text, case.params, inputs)), None):
        raise _RefusedError(f"the spec requires {broken}")
    with opened(case) as op:
        try:
            whole = completed(case, op)
            inputs = draw_inputs(whole)
            outputs = op.forward(inputs)
            counted = [on_host(outputs[k]) for k in op.differentiable_outputs(outputs)]
        except (OpError, LostOpError, MemoryError) as error:
            raise _RefusedError(str(error)) from None
        if not all(np.isfinite(out).all() for out in counted) and not _overflows(case.dtype, op, inputs):
            raise _RefusedError("the output is not finite")
        if files and trace is not None:
            trace |= _steps(whole, files)
        yield op


def _steps(case: Case, files: Sequence[Path]) -> Trace:
    """Return the steps that an op takes when it is opened and called once: a whole audit would be slow.

    What backward raises, the audit sees.
    """
    inputs = draw_inputs(case)
    with noting_steps(files) as trace, suppress(OpError, LostOpError, UndrawableError, MemoryError), opened(case) as op:
        outputs = op.forward(inputs)
        counted = [(k, on_host(outputs[k])) for k in op.differentiable_outputs(outputs)]
        op.backward(tuple(draw_upstream(case, k, out.shape, out.dtype) for k, out in counted), inputs, outputs)
    return trace


def _overflows(dtype: str, op: Op, inputs: Mapping[str, Any]) -> bool:
    """Whether forward is finite in double precision, and within the range of the dtype that it is not finite in."""
    if spacing(dtype) <= spacing("float64"):
        return False
    with suppress(OpError, LostOpError, MemoryError):
        outputs = op.forward({name: _widened(array) for name, array in inputs.items()})
        counted = [on_host(outputs[k]) for k in op.differentiable_outputs(outputs)]
        most = float(largest_value(dtype))
        return all(np.isfinite(out).all() and (abs(out) < most).all() for out in counted)
    return False


def _widened(array: Any) -> Any:
    if not has_derivatives(array.dtype):
        return array
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
