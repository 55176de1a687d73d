"""Kernels of the benchmark in low precision whose audits went wrong, drawn again by their numbers."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from gradaudit.engine.audit import audit_case
from gradaudit.results import Verdict

pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from random_kernels import DTYPES, drawn

STANDING_STILL = [(531, "float16"), (659, "bfloat16"), (676, "float16")]
"""Losses that change by a few of their own roundings only: a norm of two columns, lengths of rows of length one."""


@pytest.mark.parametrize(("number", "dtype"), STANDING_STILL)
def test_a_loss_that_climbs_a_few_of_its_own_roundings_accuses_nobody(number: int, dtype: str) -> None:
    kernel = drawn(np.random.default_rng([0, number, DTYPES.index(dtype)]), dtype)
    assert all(result.verdict is not Verdict.FAIL for result in audit_case(kernel.case(number)).results)
