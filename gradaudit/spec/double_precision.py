"""A case in double precision."""

from __future__ import annotations

from dataclasses import replace

from gradaudit.spec.case import Case
from gradaudit.spec.dtypes import is_complex


def in_double_precision(case: Case) -> Case:
    """Return a case with its floating inputs in double precision."""

    def wide(dtype: str) -> str:
        return "complex128" if is_complex(dtype) else "float64"

    inputs = [replace(made, dtype=wide(made.dtype)) if made.dtype == case.dtype else made for made in case.inputs]
    return replace(case, dtype=wide(case.dtype), inputs=tuple(inputs))
