"""The global generators of random numbers, put into a known state for a while."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the generators of Python, NumPy, and of torch and tinygrad where they are imported.

    Their states are afterwards what they were before, but for tinygrad's, which cannot be asked for.
    """
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    with ExitStack() as stack:
        torch: Any = sys.modules.get("torch")
        if torch is not None:
            stack.enter_context(torch.random.fork_rng(devices=[]))
            torch.manual_seed(seed)
        tinygrad: Any = sys.modules.get("tinygrad")
        if tinygrad is not None:
            tinygrad.Tensor.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
