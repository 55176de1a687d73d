"""``requires``: what a spec says of params and inputs is read, checked where it stands, and never run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradaudit.spec.errors import SpecError
from gradaudit.spec.load import load_specs
from gradaudit.spec.requires import RequirementError, check_requirement, holds

PARAMS = {"k": 2, "axes": [0, 1], "mode": "same"}
INPUTS = {"x": np.array([[1.0, 2.0, 3.0]])}

TRUE = (
    "k <= x.shape[1]",
    "0 < x",
    "0 < x <= 3",
    "k == 2 and x.ndim == 2",
    "k == 3 or mode == 'same'",
    "not k == 3",
    "len(axes) == x.ndim",
    "x.size % 3 == 0",
    "-k < min(x) // 2",
    "x.shape[-1] == k + 1",
)

FALSE = ("k > x.shape[1]", "1 < x", "x.shape[2] == 1", "k < mode", "k / 0 == 1", "k == 2 and x < 0")

NONE = (
    "",
    "k",
    "k +",
    "k = 2",
    "__import__('os').system('true') == 0",
    "x.T == x",
    "[k] == 2",
    "z > 1",
    "abs(k, 2) == 1",
)


@pytest.mark.parametrize("text", TRUE)
def test_a_requirement_that_holds(text: str) -> None:
    check_requirement(text, PARAMS, INPUTS)
    assert holds(text, PARAMS, INPUTS)


@pytest.mark.parametrize("text", FALSE)
def test_a_requirement_that_does_not_hold_or_cannot_be_computed(text: str) -> None:
    check_requirement(text, PARAMS, INPUTS)
    assert not holds(text, PARAMS, INPUTS)


@pytest.mark.parametrize("text", NONE)
def test_whatever_is_no_comparison_is_refused(text: str) -> None:
    with pytest.raises(RequirementError, match="found"):
        check_requirement(text, PARAMS, INPUTS)


def refusals(folder: Path, requires: str) -> list[str]:
    text = (
        "op: relu\ntarget: {forward: m:f, backward: m:g}\n"
        f"inputs: {{x: {{shape: [3]}}}}\nparams: {{k: 4}}\nrequires: {requires}\n"
    )
    (folder / "a.yaml").write_text(text)
    with pytest.raises(SpecError) as refused:
        load_specs([folder / "a.yaml"])
    return [f"{problem.location.line}:{problem.location.column} {problem}" for problem in refused.value.problems]


def test_an_unknown_name_is_refused_where_it_stands(tmp_path: Path) -> None:
    (said,) = refusals(tmp_path, '["k > 1", "j > 1"]')
    assert said.startswith("5:21")
    assert "'j', expected one of k, x" in said


def test_a_case_that_does_not_keep_to_its_own_requirement_is_refused(tmp_path: Path) -> None:
    (said,) = refusals(tmp_path, "k <= x.shape[0]")
    assert said.startswith("5:11")
    assert "case 'default' does not keep to it: k <= x.shape[0]" in said
