"""The ten lines that train a milestone on the project's tape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradaudit.milestones import cnn, mlp, perceptron, transformer, xor
from gradaudit.models.learning.optimisers import SGD, Adam
from gradaudit.tape import Module, Tensor

MODELS = {"perceptron": perceptron, "xor": xor, "mlp": mlp, "cnn": cnn, "transformer": transformer}

PARAMETERS = {"perceptron": 2, "xor": 4, "mlp": 4, "cnn": 6, "transformer": 19}

OPTIMISERS = {
    "perceptron": lambda: SGD(0.5),
    "xor": lambda: Adam(0.05),
    "mlp": lambda: Adam(0.01),
    "cnn": lambda: Adam(0.01),
    "transformer": lambda: Adam(0.02),
}

EPOCHS = {"perceptron": 20, "xor": 100, "mlp": 10, "cnn": 10, "transformer": 10}

BATCH = {"perceptron": 100, "xor": 4, "mlp": 32, "cnn": 32, "transformer": 16}


@dataclass(frozen=True)
class Trained:
    """A model after training, its first gradients and values by name, and the loss of each batch."""

    model: Module
    first_values: dict[str, Any]
    first_gradients: dict[str, Any]
    losses: list[float]

    def accuracy(self, name: str, data: Any) -> float:
        (inputs,), (targets,) = data
        output = self.model(Tensor(inputs))  # type: ignore[operator]
        return float(MODELS[name].accuracy(output.data, targets))


def train(name: str, seed: int, data: Any = None) -> Trained:
    module, optimiser, rng = MODELS[name], OPTIMISERS[name](), np.random.default_rng(seed)
    model: Any = module.build(seed)
    (inputs,), (targets,) = data or module.data(seed)
    values, gradients, losses = {}, {}, []
    for _ in range(EPOCHS[name]):
        for batch in np.array_split(rng.permutation(len(inputs)), math.ceil(len(inputs) / BATCH[name])):
            model.zero_grad()
            loss = module.loss(model(Tensor(inputs[batch])), targets[batch])
            loss.backward()
            losses.append(float(loss.data))
            for path, parameter in model.named_parameters().items():
                values.setdefault(path, parameter.data)
                gradients.setdefault(path, parameter.grad)
                parameter.data = optimiser.update(path, parameter.data, parameter.grad)
    return Trained(model, values, gradients, losses)
