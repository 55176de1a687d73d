"""Models in tinygrad, where it is installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from flow_audits import audit, codes, said

from gradaudit.audit.conclusion import Audit
from gradaudit.results import Verdict

pytest.importorskip("tinygrad")


def two_layers(folder: Path, fault: str = "") -> Audit:
    return audit(
        folder,
        model="guide_tinygrad:Model",
        loss="guide_tinygrad:loss",
        tape="tinygrad",
        params={"fault": fault},
        inputs={"x": {"shape": [5, 3]}},
        targets={"wanted": {"shape": [5, 2]}},
    )


def test_a_model_that_is_right_is_left_in_peace(tmp_path: Path) -> None:
    made = two_layers(tmp_path)
    assert {result.input for result in made.results} == {"x", "weight", "bias", "last"}
    assert {result.verdict for result in made.results} == {Verdict.PASS}, said(made)
    assert codes(made) == {}


@pytest.mark.parametrize("fault", ["detach", "numpy"])
def test_a_cut_is_found(tmp_path: Path, fault: str) -> None:
    found = codes(two_layers(tmp_path, fault))
    assert found == {name: {"unreached-parameter"} for name in ("x", "weight", "bias")}


def test_a_detached_output_is_found(tmp_path: Path) -> None:
    assert "detached-output" in codes(two_layers(tmp_path, "output"))["x"]
