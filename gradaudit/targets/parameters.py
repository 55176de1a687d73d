"""The inputs that an op brings along besides those of its spec: the parameters of a module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.spec.case import Case, Input
from gradaudit.spec.draw import real_dtype
from gradaudit.spec.dtypes import dtype_of
from gradaudit.targets.op import Op

Array = NDArray[Any]

AROUND = 0.5
"""How far parameters are drawn from the one value that all elements begin with: zeros and ones hide mistakes."""


def completed(case: Case, op: Op) -> Case:
    """Return the case with an input for each parameter of its op that the spec does not name.

    It is drawn uniformly over the range of the parameter's own initial values; where these are all equal, from half
    below to half above them. An op that knows its inputs better than its spec, as a model does, says them itself.
    """
    if complete := getattr(op, "complete", None):
        whole: Case = complete(case)
        return whole
    parameters: Mapping[str, Array] = getattr(op, "parameters", {})
    named = {made.name for made in case.inputs}
    brought = [_planned(name, initial, case.dtype) for name, initial in parameters.items() if name not in named]
    return replace(case, inputs=(*case.inputs, *brought)) if brought else case


def _planned(name: str, initial: Array, dtype: str) -> Input:
    real = initial.real.astype(np.float64)
    finite = real[np.isfinite(real)]
    lo, hi = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if lo == hi:
        lo, hi = lo - AROUND, hi + AROUND
    return Input(name, initial.shape, _dtype_beside(dtype, complex_=initial.dtype.kind == "c"), range=(lo, hi))


def _dtype_beside(dtype: str, *, complex_: bool) -> str:
    """Return the real or complex dtype in the precision of a case's."""
    real = real_dtype(dtype_of(dtype)).name
    if not complex_:
        return real
    return "complex128" if real == "float64" else "complex64"
