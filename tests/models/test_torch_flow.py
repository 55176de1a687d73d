"""Modules of PyTorch's own are right, and left in peace."""

from __future__ import annotations

from pathlib import Path

import pytest
from flow_audits import audit, codes, said

from gradaudit.results import Verdict

KINDS = ["norm", "lstm", "tied", "attending", "frozen", "saturating", "convolving"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_module_is_left_in_peace(tmp_path: Path, kind: str, dtype: str) -> None:
    pytest.importorskip("torch")
    made = audit(
        tmp_path,
        model="torch_models:build",
        loss="torch_models:loss",
        tape="torch",
        params={"kind": kind},
        dtype=dtype,
        inputs={"x": {"shape": [5, 4, 6]}},
    )
    assert {result.verdict for result in made.results} == {Verdict.PASS}, said(made)
    found = {code for some in codes(made).values() for code in some}
    assert found <= ({"vanishing"} if kind in ("saturating", "norm", "attending") else set())
