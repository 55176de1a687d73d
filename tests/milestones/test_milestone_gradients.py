"""The gradients of whole milestones: audited by differences, and compared with torch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from training import MODELS, PARAMETERS

import gradaudit
from gradaudit.results import Verdict
from gradaudit.tape import Tensor

FEW = 3
"""Samples in a batch whose gradients are audited."""


def batch(name: str, seed: int, size: int) -> tuple[Any, Any]:
    (inputs,), (targets,) = MODELS[name].data(seed)
    return inputs[:size], targets[:size]


def audit(name: str, spoil: dict[str, float]) -> gradaudit.Audit:
    """Audit the loss as a function of all parameters, of which some have their gradients multiplied."""
    model, (inputs, targets) = MODELS[name].build(7), batch(name, 7, FEW)
    parameters = model.named_parameters()

    def loss(values: tuple[Any, ...]) -> Tensor:
        for parameter, value in zip(parameters.values(), values, strict=True):
            parameter.data, parameter.grad = value, None
        return MODELS[name].loss(model(Tensor(inputs)), targets)

    def backward(upstream: Any, *values: Any) -> list[Any]:
        loss(values).backward(upstream)
        return [parameter.grad * spoil.get(path, 1.0) for path, parameter in parameters.items()]

    values = {path: parameter.data for path, parameter in parameters.items()}
    return gradaudit.check(gradaudit.op(lambda *values: loss(values).data, backward), values, method="search")


@pytest.mark.parametrize("name", MODELS)
def test_every_gradient_passes_an_audit(name: str) -> None:
    audited = audit(name, {})
    audited.assert_ok()
    assert len(audited.results) == PARAMETERS[name]


@pytest.mark.parametrize("path", ["symbols.weight", "blocks[0].attention.query.bias", "output.weight"])
def test_one_gradient_of_the_transformer_a_hundredth_too_large_fails_alone(path: str) -> None:
    audited = audit("transformer", {path: 1.01})
    assert {result.input for result in audited.results if result.verdict is not Verdict.PASS} == {path}


@pytest.mark.parametrize("name", MODELS)
def test_float32_is_kept(name: str) -> None:
    model, (inputs, targets) = MODELS[name].build(dtype=np.float32), batch(name, 0, FEW)
    floating = np.issubdtype(inputs.dtype, np.floating)
    loss = MODELS[name].loss(
        model(Tensor(inputs.astype(np.float32) if floating else inputs)),
        targets.astype(np.float32) if np.issubdtype(targets.dtype, np.floating) else targets,
    )
    loss.backward()
    assert loss.data.dtype == np.float32
    assert {parameter.grad.dtype for parameter in model.parameters()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", MODELS)
def test_torch_agrees(name: str, seed: int) -> None:
    torch = pytest.importorskip("torch")
    from gradaudit.milestones import torch as milestones

    model, (inputs, targets) = MODELS[name].build(seed), batch(name, seed, 50)
    counterpart = getattr(milestones, name)(seed)
    loss = MODELS[name].loss(model(Tensor(inputs)), targets)
    loss.backward()
    loss_of_torch = getattr(milestones, f"{name}_loss")(counterpart(torch.tensor(inputs)), torch.tensor(targets))
    loss_of_torch.backward()
    assert np.allclose(loss.data, loss_of_torch.item(), rtol=1e-6)
    theirs = {path: parameter.grad.numpy() for path, parameter in counterpart.named_parameters()}
    ours = {path.replace("[", ".").replace("]", ""): one.grad for path, one in model.named_parameters().items()}
    assert ours.keys() == theirs.keys()
    for path, gradient in ours.items():
        assert np.allclose(gradient, theirs[path], rtol=1e-6, atol=1e-6 * np.abs(gradient).max()), path


def test_torch_s_generator_is_left_alone() -> None:
    torch = pytest.importorskip("torch")
    from gradaudit.milestones import torch as milestones

    before = torch.random.get_rng_state()
    assert milestones.cnn(dtype="float32").output.weight.dtype == torch.float32
    assert torch.equal(torch.random.get_rng_state(), before)
