"""Calls of a model that is audited and trained are all told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from learning_specs import PERCEPTRON, audited

from gradaudit.milestones import perceptron
from gradaudit.tape.tensor import Tensor


def test_every_call_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    loss, backward = perceptron.loss, Tensor.backward

    def counted_loss(*arguments: Any) -> Any:
        calls["forward"] += 1
        return loss(*arguments)

    def counted_backward(self: Tensor, *arguments: Any) -> Any:
        calls["backward"] += 1
        return backward(self, *arguments)

    monkeypatch.setattr(perceptron, "loss", counted_loss)
    monkeypatch.setattr(Tensor, "backward", counted_backward)
    results = audited(tmp_path, **PERCEPTRON).values()
    assert {(result.forwards, result.backwards) for result in results} == {(calls["forward"], calls["backward"])}
    assert calls["backward"] > PERCEPTRON["epochs"]
