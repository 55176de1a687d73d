"""Layers in a list, trained by a loop: everything is as wide as the batch is large."""

import layers as nn
import numpy as np

np.random.seed(1)
x, wanted = np.random.randn(6, 6), np.random.randn(6, 6)
stack = [
    nn.Linear(6, 6),
    nn.ReLU(),
    nn.BatchNorm(6),
    nn.Linear(6, 6),
    nn.Tanh(),
    nn.Dropout(0.25),
    nn.Sigmoid(),
    nn.Softmax(),
]
loss = nn.MSELoss()
for _ in range(15):
    out = x
    for layer in stack:
        out = layer.forward(out)
    loss.forward(out, wanted)
    grad = loss.backward()
    for layer in reversed(stack):
        grad = layer.backward(grad)
    for layer in stack:
        for name, value in getattr(layer, "params", {}).items():
            value -= 0.1 * layer.grads[name]
