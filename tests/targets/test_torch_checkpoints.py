"""Checkpoints, which run forward again inside of backward: reentrant ones answer to ``.backward()`` alone."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from framework_audits import array, audit, verdict

from gradaudit.results import Verdict

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

from gradaudit.targets.torch import torch_op  # noqa: E402


class Tripled(torch.autograd.Function):
    """Twice its input, with a gradient that is three times the upstream."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return 3 * upstream


class Checkpointed(nn.Module):
    def __init__(self, last: Any = torch.sin, *, reentrant: bool = True) -> None:
        super().__init__()
        self.first, self.second, self.last, self.reentrant = nn.Linear(3, 4), nn.Linear(4, 2), last, reentrant

    def inner(self, h: Any) -> Any:
        return self.last(self.second(h))

    def forward(self, x: Any) -> Any:
        return checkpoint(self.inner, torch.tanh(self.first(x)), use_reentrant=self.reentrant)


NAMES = ["x", "first.weight", "first.bias", "second.weight", "second.bias"]


@pytest.mark.parametrize("last", [torch.sin, nn.Dropout(0.3)], ids=["sin", "dropout"])
def test_a_right_reentrant_checkpoint_passes(last: Any) -> None:
    module = Checkpointed(last)
    audited = audit(torch_op, module, array("x", 5, 3))
    assert [(result.input, result.verdict) for result in audited.results] == [(name, Verdict.PASS) for name in NAMES]
    assert all(parameter.grad is None for parameter in module.parameters())


def test_a_wrong_function_in_a_reentrant_checkpoint_fails_for_all_before_it() -> None:
    audited = audit(torch_op, Checkpointed(Tripled.apply), array("x", 5, 3))
    assert {result.verdict for result in audited.results} == {Verdict.FAIL}
    causes = {finding.code for result in audited.results for finding in result.findings}
    assert causes == {"constant-factor"}
    assert not any("checkpoint.py" in str(result.source) for result in audited.results)


@pytest.mark.parametrize("times", ["once", "again"])
def test_leaves_are_given_what_autograd_gives(times: str) -> None:
    x, upstream = np.linspace(-1, 1, 15).reshape(5, 3), np.linspace(1, 2, 10).reshape(5, 2)
    given = []
    for reentrant in (True, False):
        op = torch_op(partial(Checkpointed, reentrant=reentrant))
        op = op if times == "once" else replace(op, function=op.function.again())
        inputs = {"x": x, **{name: array.astype(np.float64) for name, array in op.parameters.items()}}
        given.append(op.backward((upstream,), inputs, op.forward(inputs)))
    reentrantly, usually = given
    assert list(usually) == NAMES
    assert all(np.array_equal(reentrantly[name], usually[name]) for name in NAMES)
    assert all(np.abs(gradient).max() > 0 for gradient in usually.values())


class Refusing(Tripled):
    """A function whose backward raises whoever asks."""

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        raise RuntimeError("no gradient here")


def test_a_backward_that_raises_is_an_error_in_its_own_words() -> None:
    audited = audit(torch_op, Refusing.apply, array("x", 3))
    assert verdict(audited) is Verdict.ERROR
    first, place = audited.results[0].message.splitlines()
    assert first == "backward raised RuntimeError: no gradient here"
    assert 'raise RuntimeError("no gradient here")' in place
