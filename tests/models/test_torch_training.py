"""Learning specs of torch modules: torch's own optimisers, and faults that are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from learning_specs import audited, failing, findings, milestone

from gradaudit.results import Verdict

pytest.importorskip("torch")


def of_torch(name: str, **changes: Any) -> dict[str, Any]:
    own = {"model": f"gradaudit.milestones.torch:{name}", "loss": f"gradaudit.milestones.torch:{name}_loss"}
    return {**milestone(name), "tape": "torch", **own, **changes}


TRANSFORMER = of_torch(
    "transformer", optimiser={"call": "torch.optim:Adam", "params": {"lr": 0.01}}, epochs=3, batch_size=16
)


def losses(folder: Path, spec: dict[str, Any]) -> list[float]:
    return [made.loss for made in audited(folder, **spec)["loss"].training]


@pytest.mark.parametrize(
    ("ours", "torchs"),
    [
        ({"name": "adam", "lr": 0.01}, {"call": "torch.optim:Adam", "params": {"lr": 0.01}}),
        (
            {"name": "sgd", "lr": 0.05, "momentum": 0.9},
            {"call": "torch.optim:SGD", "params": {"lr": 0.05, "momentum": 0.9}},
        ),
    ],
    ids=["adam", "sgd"],
)
def test_both_tapes_and_both_optimisers_go_the_same_way(
    tmp_path: Path, ours: dict[str, Any], torchs: dict[str, Any]
) -> None:
    """The same weights, batches and rule give the same losses, whoever differentiates and whoever steps."""
    settings = {"epochs": 3, "batch_size": 50}
    on_tape = losses(tmp_path, {**milestone("mlp"), **settings, "optimiser": ours})
    assert on_tape[-1] < 0.9 * on_tape[0]
    for optimiser in (ours, torchs):
        in_torch = losses(tmp_path, of_torch("mlp", **settings, optimiser=optimiser))
        assert in_torch == pytest.approx(on_tape, rel=1e-6)


def test_a_right_module_is_left_in_peace(tmp_path: Path) -> None:
    results = audited(tmp_path, **TRANSFORMER | {"expected": {"parameters": 19, "loss_falls_by": 0.1}})
    assert {result.verdict for result in results.values()} == {Verdict.PASS}
    assert len(results) == 20


def test_an_embedding_that_is_detached(tmp_path: Path) -> None:
    results = audited(tmp_path, **TRANSFORMER | {"model": "torch_broken_models:detached_embedding"})
    assert list(findings(results, "unreached-parameter")) == ["symbols.weight"]


def test_an_attention_gradient_that_is_scaled(tmp_path: Path) -> None:
    results = audited(tmp_path, **TRANSFORMER | {"model": "torch_broken_models:scaled_attention_gradient"})
    assert results["loss"].verdict is Verdict.PASS
    assert "2" in findings(results, "constant-factor")["blocks.0.attention.query.bias"].message
    assert results["blocks.0.attention.value.weight"].verdict is Verdict.PASS


def test_a_bias_that_is_not_registered(tmp_path: Path) -> None:
    spec = TRANSFORMER | {"model": "torch_broken_models:unregistered_bias", "expected": {"parameters": 19}}
    results = audited(tmp_path, **spec)
    (name,) = findings(results, "unregistered-parameter")
    assert "aside" in name
    assert failing(results) == {"unregistered-parameter", "parameter-count"}


ORDINARY = {**milestone("mlp"), "tape": "torch", "model": "torch_broken_models:ordinary"}
ORDINARY |= {"loss": "gradaudit.milestones.torch:mlp_loss", "batch_size": 50, "epochs": 8}


def test_an_ordinary_module_learns_in_its_own_precision(tmp_path: Path) -> None:
    """Running means that never moved would be those of a standard normal, and the accuracy that of a guess."""
    optimiser = {"call": "torch.optim:Adam", "params": {"lr": 0.01}}
    results = audited(tmp_path, **ORDINARY | {"optimiser": optimiser, "expected": {"accuracy": 0.9, "parameters": 6}})
    assert failing(results) == set()
    assert results["loss"].verdict is Verdict.PASS


def test_weights_follow_from_the_seed(tmp_path: Path) -> None:
    spec = ORDINARY | {"epochs": 1}
    first, again, other = (losses(tmp_path, spec | {"seed": seed}) for seed in (1, 1, 2))
    assert first == again
    assert first[0] != other[0]


def test_dropout_draws_anew_at_every_step(tmp_path: Path) -> None:
    import torch_broken_models

    spec = of_torch("perceptron", model="torch_broken_models:Masked", epochs=5)
    audited(tmp_path, **spec)
    masks = torch_broken_models.MASKS[-5:]
    assert len({mask.tobytes() for mask in masks}) == 5
