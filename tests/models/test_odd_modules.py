"""Modules of torch that lose or change gradients: the step, line or hook that does it is named, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flow_audits import audit, codes, of, said

from gradaudit.audit.conclusion import Audit
from gradaudit.results import Verdict

pytest.importorskip("torch")


def odd(folder: Path, kind: str, **more: Any) -> Audit:
    inputs = {"x": {"shape": [5, 6], "differentiable": False}}
    named = {"model": "odd_modules:build", "loss": "modules_by_name:loss", "tape": "torch"}
    return audit(folder, params={"kind": kind}, inputs=inputs, **named, **more)


def line_of(begin: str, text: str) -> int:
    """Return the line of the modules' source that holds some text, after one that begins as said."""
    lines = Path(__file__).with_name("odd_modules.py").read_text().splitlines()
    first = next(k for k, line in enumerate(lines) if line.startswith(begin))
    return next(k for k, line in enumerate(lines[first:], first + 1) if text in line)


def _shown(line: int) -> str:
    file = Path(__file__).with_name("odd_modules.py")
    return f"{file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}:{line}"


@pytest.mark.parametrize(
    ("kind", "paths"),
    [
        ("in_dict", {"held['scale']"}),
        ("in_list", {"layers[0].weight", "layers[0].bias", "layers[1].weight", "layers[1].bias"}),
    ],
)
def test_what_a_module_holds_unregistered_is_found_by_its_path(tmp_path: Path, kind: str, paths: set[str]) -> None:
    made = odd(tmp_path, kind)
    assert codes(made) == {path: {"unregistered-parameter"} for path in paths}
    line = line_of(f"def {kind}", "Computing(lambda")
    assert all(f"(it is used at {_shown(line)})" in of(made, path).message for path in paths)


def test_the_step_that_keeps_a_gradient_is_named_and_not_those_behind_it(tmp_path: Path) -> None:
    made = odd(tmp_path, "keeps_a_gradient")
    assert codes(made) == {name: {"missing-gradient"} for name in ("first.weight", "first.bias")}
    line = line_of("def keeps_a_gradient", "WithoutInput.apply")
    assert re.search(rf"is WithoutInputBackward \(.*odd_modules.py:{line}\)", of(made, "first.weight").message)
    assert "TBackward0" not in said(made)
    assert "AddmmBackward0" not in said(made)


def test_a_parameter_that_is_made_anew_in_forward_is_told_to_be_that(tmp_path: Path) -> None:
    made = odd(tmp_path, "made_anew")
    assert codes(made) == {"weight": {"unreached-parameter"}}
    assert "replaces it with another tensor" in said(made)
    assert f"odd_modules.py:{line_of('def made_anew', 'return x @ m.weight')})" in said(made)


def test_a_tensor_made_of_an_array_is_the_cut(tmp_path: Path) -> None:
    made = odd(tmp_path, "through_numpy")
    assert codes(made) == {name: {"unreached-parameter"} for name in ("first.weight", "first.bias")}
    assert f"odd_modules.py:{line_of('def through_numpy', 'from_numpy')} in" in said(made)


def test_a_weight_that_is_detached_in_one_of_two_places_is_told_with_the_line(tmp_path: Path) -> None:
    message = of(odd(tmp_path, "tied_and_detached"), "weight").message
    assert "part of the gradient is lost: the tensor made at" in message
    assert f"odd_modules.py:{line_of('def tied_and_detached', 'detach()')} in" in message


def test_a_hook_that_changes_gradients_is_named_beside_the_step_before_it(tmp_path: Path) -> None:
    made = odd(tmp_path, "hook_on_the_way")
    assert "the hook on the output of TanhBackward0" in of(made, "first.weight").message


def test_a_hook_that_changes_the_gradient_of_a_weight_is_named(tmp_path: Path) -> None:
    made = odd(tmp_path, "hook_on_a_weight")
    assert {result.input for result in made.results if result.verdict is Verdict.FAIL} == {"first.weight"}
    assert "the hook on first.weight may change its gradient" in said(made)


def test_a_model_that_casts_is_told_how_to_be_audited_as_it_is(tmp_path: Path) -> None:
    made = odd(tmp_path, "casting")
    assert {result.verdict for result in made.results} == {Verdict.ERROR}
    assert "'dtype: float32' audits it unchanged" in said(made)
    assert {result.verdict for result in odd(tmp_path, "casting", dtype="float32").results} == {Verdict.PASS}


RIGHT = ["hook_that_looks_on", "used_twice", "zero_biases", "in_place", "bias_before_norm", "complex_weight"]


@pytest.mark.parametrize("kind", [*RIGHT, "frozen_in_a_list", "sparse_rows", "half_precision"])
def test_a_right_module_is_left_in_peace(tmp_path: Path, kind: str) -> None:
    made = odd(tmp_path, kind)
    assert {result.verdict for result in made.results} == {Verdict.PASS}, said(made)
    found = {code for some in codes(made).values() for code in some}
    assert found <= ({"vanishing"} if kind == "bias_before_norm" else set())


def test_both_parts_of_a_complex_weight_are_audited(tmp_path: Path) -> None:
    made = of(odd(tmp_path, "imaginary_part_off"), "weight")
    assert made.verdict is Verdict.FAIL
    assert made.wrong == made.size


def test_a_module_that_has_no_values_yet_is_told_in_words(tmp_path: Path) -> None:
    made = odd(tmp_path, "lazy")
    assert said(made).startswith("loss: reading the model's parameters raised ValueError: Attempted to use an uninit")
    assert "audit.py" not in said(made)


def test_values_that_are_changed_past_the_tape_are_told(tmp_path: Path) -> None:
    message = of(odd(tmp_path, "changed_in_place"), "first.weight").message
    assert "the output array of TanhBackward0" in message
    assert "was changed in place" in message
