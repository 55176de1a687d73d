"""Models in half precision: the formula is audited in a wider dtype, and what half precision makes of it is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flow_audits import audit, codes, of, said

from gradaudit.audit.conclusion import Audit
from gradaudit.results import Verdict

pytest.importorskip("torch")

WAYS: dict[str, dict[str, Any]] = {
    "bfloat16": {"dtype": "bfloat16", "params": {"made_in": "bfloat16"}},
    "bfloat16, its loss in float32": {
        "dtype": "bfloat16",
        "params": {"made_in": "bfloat16"},
        "loss": "half_models:loss_in_float32",
    },
    "bfloat16, made in float32": {"dtype": "bfloat16", "params": {}},
    "float16": {"dtype": "float16", "params": {"made_in": "float16"}},
    "autocast": {"dtype": "float32", "params": {"casts": True}},
    "casts of its own": {"dtype": "float32", "params": {}, "model": "half_models:casting"},
    "other casts of its own": {"dtype": "float32", "params": {}, "model": "half_models:halving"},
}


def half(folder: Path, way: str, *, wrong: bool) -> Audit:
    made = WAYS[way] | {"params": WAYS[way]["params"] | {"wrong": wrong}}
    inputs = {"x": {"shape": [4, 4], "range": [-1.0, 1.0], "differentiable": False}}
    targets = {"wanted": {"shape": [4, 2], "range": [-1.0, 1.0]}}
    named = {"model": "half_models:build", "loss": "half_models:loss", "tape": "torch"}
    return audit(folder, inputs=inputs, targets=targets, **named | made)


@pytest.mark.parametrize("way", WAYS)
def test_a_right_model_passes_and_what_half_precision_costs_is_told(tmp_path: Path, way: str) -> None:
    made = half(tmp_path, way, wrong=False)
    assert {result.verdict for result in made.results} == {Verdict.PASS}, said(made)
    assert {result.dtype for result in made.results} == {WAYS[way]["dtype"]}
    assert codes(made) == {}
    shares = [float(found[1]) for r in made.results for found in re.finditer(r"it is off by (\S+)% \(rms\)", r.message)]
    assert len(shares) >= 4  # all but the last layer's, which casts in between hardly change
    assert max(shares) < 5.0
    assert sum(result.evaluations for result in made.results) + made.check_evaluations <= 60


@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_backward_is_named(tmp_path: Path, way: str) -> None:
    made = half(tmp_path, way, wrong=True)
    wrong = {result.input for result in made.results if result.verdict is Verdict.FAIL}
    assert wrong == {"first.weight", "first.bias", "norm.weight", "norm.bias"}, said(made)
    assert all("TanhBackward" in of(made, name).message for name in wrong)
