"""Two layers in tinygrad, and the mistakes that its own operations allow."""

from __future__ import annotations

from typing import Any

import numpy as np
from tinygrad import Tensor


class Model:
    def __init__(self, fault: str = "") -> None:
        rng = np.random.default_rng(0)
        self.weight = Tensor(rng.normal(size=(3, 4)))
        self.bias = Tensor(rng.normal(size=4))
        self.last = Tensor(rng.normal(size=(4, 2)))
        self.fault = fault

    def __call__(self, x: Any) -> Any:
        hidden = (x @ self.weight + self.bias).tanh()
        if self.fault == "detach":
            hidden = hidden.detach()
        if self.fault == "numpy":
            hidden = Tensor(hidden.numpy())
        out = hidden @ self.last
        return out.detach() if self.fault == "output" else out


def loss(output: Any, wanted: Any) -> Any:
    return ((output - wanted) ** 2).mean()
