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
    call, backward = perceptron.Perceptron.__call__, Tensor.backward

    def counted_call(*arguments: Any) -> Any:
        calls["forward"] += 1
        return call(*arguments)

    def counted_backward(self: Tensor, *arguments: Any) -> Any:
        calls["backward"] += 1
        return backward(self, *arguments)

    monkeypatch.setattr(perceptron.Perceptron, "__call__", counted_call)
    monkeypatch.setattr(Tensor, "backward", counted_backward)
    results = audited(tmp_path, **PERCEPTRON).values()
    assert {(result.forwards, result.backwards) for result in results} == {(calls["forward"], calls["backward"])}
    assert calls["backward"] > PERCEPTRON["epochs"]
