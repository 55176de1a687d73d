"""Gradients that cancel: of terms that sum to zero, rounding is left, and no difference of forward says how much.

A drawn case may make all of a gradient's terms cancel, as equal values do in attention. What backward answers then is
the rounding of the terms, which have the size of upstream times output over input.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from gradaudit.numerics.arrays import on_host
from gradaudit.results import Result
from gradaudit.spec.case import Case
from gradaudit.spec.draw import draw_inputs, draw_upstream
from gradaudit.spec.dtypes import floating_info, is_floating, spacing
from gradaudit.targets import opened
from gradaudit.targets.op import LostOpError, OpError
from gradaudit.targets.parameters import completed

ROUNDINGS = 16.0
"""Roundings of the largest term that a gradient may be off by where its terms cancel, for each doubling of terms."""


def is_rounding(case: Case, wrong: Sequence[Result]) -> bool:
    """Whether all wrong gradients of a case are off by no more than the rounding of terms that cancel."""
    if not all(one.mismatches and math.isfinite(one.mismatches[0].difference) for one in wrong):
        return False
    scales = _scales(case)
    return all(max(m.difference for m in one.mismatches) <= scales.get(one.input, 0.0) for one in wrong)


def _scales(case: Case) -> Mapping[str, float]:
    """Return what rounding may make of terms of a gradient's usual size, by input; none for an op without answer."""
    with suppress(OpError, LostOpError, MemoryError), opened(case) as op, np.errstate(all="ignore"):
        whole = completed(case, op)
        inputs = draw_inputs(whole)
        outputs = op.forward(inputs)
        counted = [(k, np.asarray(on_host(outputs[k]))) for k in op.differentiable_outputs(outputs)]
        loss = max(
            (_largest(out) * _largest(draw_upstream(case, k, out.shape, out.dtype)) for k, out in counted), default=0.0
        )
        terms = max((out.size for _, out in counted), default=1)
        coarse = ROUNDINGS * spacing(case.dtype) * math.log2(2 + terms)
        underflow = float(floating_info(case.dtype).smallest_normal)
        return {
            made.name: max(coarse * loss / (_largest(inputs[made.name]) or 1.0), underflow)
            for made in whole.inputs
            if is_floating(made.dtype)
        }
    return {}


def _largest(array: Any) -> float:
    return float(np.max(abs(np.asarray(on_host(array)).astype(np.complex128)), initial=0.0))
