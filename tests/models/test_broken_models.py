"""A model with a broken backward fails with a finding that names it, not only with a poor accuracy."""

from __future__ import annotations

from pathlib import Path

import pytest
from learning_specs import CNN, PERCEPTRON, TRANSFORMER, audited, failing, findings, milestone

from gradaudit.results import Verdict


def test_an_embedding_that_is_detached(tmp_path: Path) -> None:
    results = audited(tmp_path, **TRANSFORMER | {"model": "broken_models:detached_embedding"})
    (name,) = findings(results, "unreached-parameter")
    assert name == "symbols.weight"
    assert results[name].verdict is Verdict.FAIL
    assert findings(results, "missing-gradient") == {}
    assert "broken_models.py" in findings(results, "unreached-parameter")[name].message


def test_an_attention_gradient_that_is_scaled_though_the_model_learns(tmp_path: Path) -> None:
    expected = {"parameters": 19, "loss_falls_by": 0.5, "accuracy": 0.5}
    spec = TRANSFORMER | {"model": "broken_models:scaled_attention_gradient", "epochs": 4, "expected": expected}
    results = audited(tmp_path, **spec)
    assert results["loss"].verdict is Verdict.PASS
    wrong = {name for name, result in results.items() if result.verdict is Verdict.FAIL}
    assert {"blocks[0].attention.query.weight", "blocks[0].attention.query.bias"} <= wrong
    assert "blocks[0].attention.value.weight" not in wrong
    diagnosis = findings(results, "constant-factor")["blocks[0].attention.query.weight"]
    assert "2" in diagnosis.message
    assert "ScaledDotProductAttentionBackward" in results["blocks[0].attention.query.weight"].message


def test_convolutions_that_are_frozen_though_the_model_learns(tmp_path: Path) -> None:
    results = audited(tmp_path, **CNN | {"model": "broken_models:frozen_convolutions", "expected": {"accuracy": 0.5}})
    assert results["loss"].verdict is Verdict.PASS
    frozen = {"first.weight", "first.bias", "second.weight", "second.bias"}
    assert findings(results, "unreached-parameter").keys() == frozen
    assert {name for name, result in results.items() if result.verdict is Verdict.FAIL} == frozen
    assert all("broken_models.py" in results[name].message for name in frozen)
    assert not any(any(results[name].gradient_norms) for name in frozen)
    assert all(norm > 0.0 for norm in results["output.weight"].gradient_norms)


def test_a_bias_that_is_not_registered(tmp_path: Path) -> None:
    spec = TRANSFORMER | {"model": "broken_models:unregistered_bias", "expected": {"parameters": 19}}
    results = audited(tmp_path, **spec)
    assert list(findings(results, "unregistered-parameter")) == ["output.aside.bias"]
    assert "expected 19 parameters, found 18" in findings(results, "parameter-count")["loss"].message


def test_an_output_that_is_detached(tmp_path: Path) -> None:
    results = audited(tmp_path, **PERCEPTRON | {"model": "broken_models:detached_output"})
    assert failing(results) == {"detached-output"}
    assert {result.verdict for name, result in results.items() if name != "loss"} == {Verdict.FAIL}
    assert results["loss"].verdict is Verdict.ERROR
    assert "backward raised" in results["loss"].message


def test_a_poor_end_names_the_gradients_that_were_wrong_at_the_beginning(tmp_path: Path) -> None:
    spec = TRANSFORMER | {"model": "broken_models:detached_embedding", "expected": {"accuracy": 0.9}, "epochs": 1}
    results = audited(tmp_path, **spec)
    message = findings(results, "not-learning")["loss"].message
    assert "accuracy reached" in message
    assert "wrong before any training: symbols.weight (unreached-parameter)" in message


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("spec", [PERCEPTRON, TRANSFORMER], ids=["perceptron", "transformer"])
def test_the_right_models_are_left_in_peace(tmp_path: Path, spec: dict[str, object], seed: int) -> None:
    expected = {"parameters": 2 if spec is PERCEPTRON else 19, "loss_falls_by": 0.2, "seconds": 60}
    epochs = {"epochs": 8}  # before which the loss of some transformers hardly falls
    results = audited(tmp_path, **spec | epochs | {"params": {"seed": seed}, "seed": seed, "expected": expected})
    assert failing(results) == set()
    assert {result.verdict for result in results.values()} == {Verdict.PASS}
    assert len(results) == 1 + expected["parameters"]


class TestOptimiser:
    def test_that_leaves_a_parameter_out(self, tmp_path: Path) -> None:
        optimiser = {"call": "broken_models:FirstOnly", "params": {"lr": 0.5}}
        results = audited(tmp_path, **PERCEPTRON | {"optimiser": optimiser})
        assert list(findings(results, "parameter-stuck")) == ["linear.bias"]

    def test_that_moves_something_else(self, tmp_path: Path) -> None:
        results = audited(tmp_path, **PERCEPTRON | {"optimiser": "broken_models:Lazy"})
        assert "no parameter changed in 5 steps" in findings(results, "parameter-stuck")["loss"].message
        assert failing(results) == {"parameter-stuck", "not-learning"}

    def test_without_a_step(self, tmp_path: Path) -> None:
        results = audited(tmp_path, **PERCEPTRON | {"optimiser": "broken_models:NoStep"})
        assert results["loss"].verdict is Verdict.ERROR
        assert "returned NoStep, which has no method 'step'" in results["loss"].message
        assert results["linear.weight"].verdict is Verdict.PASS

    def test_that_raises_leaves_what_is_known_of_gradients(self, tmp_path: Path) -> None:
        results = audited(tmp_path, **PERCEPTRON | {"optimiser": "broken_models:Broken"})
        assert results["loss"].verdict is Verdict.ERROR
        said = "a step of the optimiser broken_models:Broken raised RuntimeError: no step today"
        assert said in results["loss"].message
        assert results["linear.weight"].verdict is Verdict.PASS

    def test_with_a_rate_that_is_too_large(self, tmp_path: Path) -> None:
        results = audited(tmp_path, **milestone("mlp") | {"optimiser": {"name": "sgd", "lr": 1e200}})
        assert failing(results) == {"diverged"}
        assert "not finite at epoch 1, batch 1" in findings(results, "diverged")["loss"].message


class TestBadInput:
    """All in words, whatever is wrong."""

    def said(self, folder: Path, **changes: object) -> str:
        results = audited(folder, **PERCEPTRON | changes)
        assert results["loss"].verdict is Verdict.ERROR
        assert "Traceback" not in results["loss"].message
        return results["loss"].message

    def test_a_factory_that_raises(self, tmp_path: Path) -> None:
        message = self.said(tmp_path, model="broken_models:broken")
        assert "the factory broken_models:broken raised RuntimeError: no weights on this machine" in message

    def test_a_model_without_parameters(self, tmp_path: Path) -> None:
        assert "has no parameters" in self.said(tmp_path, model="broken_models:Nothing")

    def test_nan_from_the_first_step(self, tmp_path: Path) -> None:
        results = audited(tmp_path, **PERCEPTRON | {"model": "broken_models:of_nan"})
        assert results["loss"].message == "the loss is not finite before the first step"
        assert failing(results) == {"diverged", "nonfinite"}
        assert "nan before any training" in results["linear.weight"].message

    def test_an_accuracy_in_percent(self, tmp_path: Path) -> None:
        message = self.said(tmp_path, accuracy="broken_models:percent")
        assert message == "the accuracy broken_models:percent returned 97; expected a number from 0 to 1"

    def test_arrays_of_different_lengths(self, tmp_path: Path) -> None:
        assert "different lengths: input (4, 2), target (3, 1)" in self.said(tmp_path, data="broken_models:uneven")

    def test_no_examples(self, tmp_path: Path) -> None:
        assert self.said(tmp_path, data="broken_models:empty") == "broken_models:empty returned no examples"

    def test_a_spec_that_expects_to_fail(self, tmp_path: Path) -> None:
        expecting = {"expect": "fail", "findings": ["unreached-parameter"]}
        results = audited(tmp_path, **TRANSFORMER | {"model": "broken_models:detached_embedding"} | expecting)
        assert all(result.expected for result in results.values())
