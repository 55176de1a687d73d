"""Models that cannot be audited are told in words; what is odd but right is left in peace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flow_audits import audit, codes, of, said

from gradaudit.audit.conclusion import Audit
from gradaudit.models.tapes import place
from gradaudit.results import Verdict


def odd(folder: Path, model: str, **more: Any) -> Audit:
    made = {"model": f"odd_models:{model}", "loss": "odd_models:mean", "inputs": {"x": {"shape": [5, 3]}}}
    made["inputs"]["x"] |= {"differentiable": False}
    return audit(folder, **made | more)


UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "raising": ({}, "the factory odd_models:raising raised ValueError: no such file: weights.npz"),
    "needs_a_size": ({}, "missing 1 required positional argument: 'size'"),
    "raising_when_called": ({}, "forward raised ValueError"),
    "without_parameters": ({}, "the model has no parameters, and none of the inputs is differentiable"),
    "not_finite": ({"inputs": {"x": {"shape": [5, 3], "range": [0.5, 1.0]}}}, "the loss is nan before any training"),
    "cycle": ({}, "the graph has a cycle: a tensor is computed from itself, "),
    "not_a_model": ({}, "parameters"),
    "build": ({"loss": "odd_models:vector"}, "the loss has shape (5, 2); expected a scalar"),
    "returns_array": (
        {"loss": "odd_models:mean_of_tensor"},
        "the model returned ndarray, no tensor of the tape; the loss",
    ),
    "build with an array as loss": ({"loss": "odd_models:array_loss"}, "the loss is float64; expected a scalar tensor"),
    "build with wrong data": ({"data": "odd_models:no_data", "inputs": {}}, "expected (inputs, targets), two tuples"),
}


@pytest.mark.parametrize("model", UNUSABLE)
def test_what_cannot_be_audited_is_told_in_words(tmp_path: Path, model: str) -> None:
    more, words = UNUSABLE[model]
    made = odd(tmp_path, model.partition(" ")[0], **more)
    assert {result.verdict for result in made.results} == {Verdict.ERROR}
    assert words in said(made)
    assert "Traceback" not in said(made)


def test_a_model_whose_parameters_are_unknown_has_a_result_for_its_loss(tmp_path: Path) -> None:
    assert [result.input for result in odd(tmp_path, "raising").results] == ["loss"]


def test_the_first_tensor_that_is_not_finite_is_named(tmp_path: Path) -> None:
    made = odd(tmp_path, "not_finite", inputs={"x": {"shape": [5, 3], "range": [0.5, 1.0]}})
    assert codes(made) == {name: {"nonfinite"} for name in ("x", "weight")}
    assert "the output of LogBackward" in said(made)


def test_the_loop_of_a_cycle_is_named(tmp_path: Path) -> None:
    assert "LoopBackward <- AddBackward <- LoopBackward" in said(odd(tmp_path, "cycle")) or (
        "AddBackward <- LoopBackward <- AddBackward" in said(odd(tmp_path, "cycle"))
    )


def test_an_output_that_is_no_tensor_is_detached(tmp_path: Path) -> None:
    made = odd(tmp_path, "returns_array", loss="odd_models:detached_loss")
    assert codes(made) == {"weight": {"detached-output"}}
    assert "the model returned ndarray, which is on no tape" in said(made)


def test_a_loss_that_is_detached_is_told_apart_from_an_output_that_is(tmp_path: Path) -> None:
    made = odd(tmp_path, "build", loss="odd_models:detached_loss")
    assert codes(made) == {"weight": {"detached-output"}}
    assert "the loss is on no tape, though the output is" in said(made)
    assert "odd_models.py" in said(made)


def test_a_parameter_that_nothing_uses_is_told_to_be_that(tmp_path: Path) -> None:
    made = odd(tmp_path, "unused")
    assert codes(made) == {"spare": {"unused-parameter"}}
    assert of(made, "spare").verdict is Verdict.INCONCLUSIVE
    assert "nothing is computed from it in 5 batches" in said(made)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("model", ["build", "half_dead", "dropping_out"])
def test_what_is_right_is_left_in_peace(tmp_path: Path, model: str, seed: int) -> None:
    made = odd(tmp_path, model, seed=seed)
    assert {result.verdict for result in made.results} == {Verdict.PASS}, said(made)
    assert codes(made) == {}


def test_a_gradient_that_is_zero_by_right_passes_with_a_word(tmp_path: Path) -> None:
    made = odd(tmp_path, "shifted_logits")
    assert {result.verdict for result in made.results} == {Verdict.PASS}
    assert codes(made) == {"shift": {"vanishing"}}
    assert "differences of the loss confirm it" in said(made)


def test_randomness_that_is_the_models_own_is_told(tmp_path: Path) -> None:
    assert "stochastic-forward" in codes(odd(tmp_path, "stochastic"))["weight"]


@pytest.mark.parametrize(("scale", "code"), [(1e6, "exploding"), (1e-6, "vanishing")])
def test_a_gradient_out_of_line_with_those_nearer_the_loss_is_told(tmp_path: Path, scale: float, code: str) -> None:
    made = odd(tmp_path, "unequal", params={"scale": scale})
    assert codes(odd(tmp_path, "unequal", params={"scale": 1.0})) == {}
    assert code in codes(made).get("first", set()), said(made)


def test_gradients_that_clearing_leaves_are_told(tmp_path: Path) -> None:
    made = odd(tmp_path, "keeps_gradients")
    assert "accumulation" in codes(made)["weight"]
    assert "clearing has no effect on it" in said(made)


def test_inputs_have_gradients_too(tmp_path: Path) -> None:
    made = odd(tmp_path, "without_parameters", inputs={"x": {"shape": [5, 3]}})
    assert [(result.input, result.verdict) for result in made.results] == [("x", Verdict.PASS)]


def test_data_gives_a_batch(tmp_path: Path) -> None:
    made = odd(tmp_path, "build", inputs={}, data="odd_models:data")
    assert [(result.input, result.verdict) for result in made.results] == [("weight", Verdict.PASS)]
    assert of(made, "weight").size == 6


def test_an_array_that_is_changed_in_place_is_told_beside_the_step_that_saved_it(tmp_path: Path) -> None:
    message = of(odd(tmp_path, "changed_in_place"), "second").message
    assert "the output array of TanhBackward" in message
    assert "was changed in place, or its backward is wrong" in message


def test_a_model_that_is_installed_is_named_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "_LIBRARIES", (*place._LIBRARIES, str(Path(__file__).parent)))
    made = odd(tmp_path, "build", loss="odd_models:detached_loss")
    assert "odd_models.py" in said(made)
