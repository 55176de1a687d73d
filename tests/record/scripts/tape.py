"""A loop over the ops of a tape."""

import numpy as np
from engine import Tensor

rng = np.random.default_rng(0)
w, v = Tensor(rng.normal(size=(4, 4))), Tensor(rng.normal(size=(4, 4)))
for _ in range(5):
    x = Tensor(rng.normal(size=(4, 4)))
    hidden = (x @ w + v).relu().tanh()
    out = (hidden * v).exp() @ w
    loss = (out - x) ** 2
    total = loss.sum(axis=1).sum()
    total.backward()
    w.data -= 1e-4 * w.grad
