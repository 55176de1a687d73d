"""Every place where a parameter is lost, in order from it to the loss, with what part of its gradient that is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cut_models
import pytest
from flow_audits import audit, codes, of

from gradaudit.audit.conclusion import Audit
from gradaudit.results import Verdict

SOURCE = Path(cut_models.__file__)


def cut(folder: Path, model: str, **more: Any) -> Audit:
    inputs = {"x": {"shape": [5, 3], "differentiable": False}}
    targets = {"wanted": {"shape": [5, 4]}}
    named = {"model": f"cut_models:{model}", "loss": "cut_models:loss"}
    return audit(folder, inputs=inputs, targets=targets, **named, **more)


def lines(model: str) -> list[int]:
    """Return the lines of the cuts that a model is marked with."""
    text = SOURCE.read_text().splitlines()
    first = next(k for k, line in enumerate(text) if line.startswith(f"def {model}("))
    end = next(k for k, line in enumerate(text) if k > first and line.startswith("def "))
    return [k for k in range(first + 1, end + 1) if re.search(r"# cut (one|two|three)$", text[k - 1])]


def named(message: str) -> list[int]:
    return [int(line) for line in re.findall(r"made at \S*cut_models\.py:(\d+)", message)]


def test_three_cuts_in_a_row_are_told_at_once_and_each_parameter_its_own(tmp_path: Path) -> None:
    made, wanted = cut(tmp_path, "in_a_row"), lines("in_a_row")
    assert named(of(made, "first").message) == wanted
    assert named(of(made, "second").message) == wanted[1:]
    assert of(made, "third").verdict is Verdict.PASS
    places = [each["place"] for each in of(made, "first").findings[0].evidence["cuts"]]
    assert [int(place.rpartition(":")[2]) for place in places] == wanted


@pytest.mark.parametrize(("share", "said"), [(0.0001, "99.99%"), (0.01, "99%"), (0.5, "50%"), (0.9, "10%")])
def test_a_weighted_bypass_is_told_by_the_share_that_is_lost(tmp_path: Path, share: float, said: str) -> None:
    made = cut(tmp_path, "bypass", params={"share": share})
    assert named(of(made, "first").message) == lines("bypass")
    assert f"({said} of the gradient is lost)" in of(made, "first").message
    assert of(made, "second").verdict is Verdict.PASS


def test_a_cut_that_the_true_gradient_does_not_move_is_told_and_no_right_step_is_blamed(tmp_path: Path) -> None:
    made, wanted = cut(tmp_path, "normalised"), lines("normalised")
    assert named(of(made, "first").message) == wanted
    assert "its backward is wrong" not in of(made, "first").message


def test_a_cut_before_rows_are_centred_is_told(tmp_path: Path) -> None:
    assert named(of(cut(tmp_path, "centred"), "first").message) == lines("centred")


def test_a_parameter_behind_one_of_two_cuts_is_told_of_that_one_alone(tmp_path: Path) -> None:
    made, wanted = cut(tmp_path, "bypass_and_scale"), lines("bypass_and_scale")
    assert named(of(made, "first").message) == wanted
    assert named(of(made, "second").message) == wanted[1:]


@pytest.mark.parametrize("model", ["masked", "beside"])
def test_what_takes_nothing_from_the_gradient_is_no_cut(tmp_path: Path, model: str) -> None:
    made = cut(tmp_path, model)
    assert codes(made) == {"first": {"unreached-parameter"}}
    assert named(of(made, "first").message) == lines(model)
