"""The gradients of one case as tasks of their own: what they say together is what the case says at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from gradaudit.engine.events import CaseFinished, Event
from gradaudit.engine.run import run_specs
from gradaudit.results import Result
from gradaudit.spec.load import load_specs

OPS = """
import os
import numpy as np

def linear(x, w, b):
    return x @ w + b

def backward(u, x, w, b):
    return u @ w.T, x.T @ u, u.sum(axis=0)

def wrong(u, x, w, b):
    return u @ w.T, 1.5 * x.T @ u, u.sum(axis=0)

def ignoring(u, x, w, b):
    return backward(np.ones_like(u), x, w, b)

def none(u, x, w, b):
    return u @ w.T, None, u.sum(axis=0)

first = []

def crashing(x, w, b):
    if not first:
        first.extend((x.copy(), w.copy(), b.copy()))
    if [np.array_equal(*pair) for pair in zip(first, (x, w, b))] == [True, False, True]:
        os.abort()
    return linear(x, w, b)

def raising(u, x, w, b):
    raise ValueError("no gradient today")
"""

INPUTS = {
    "x": {"shape": [3, 4], "range": [0.5, 1.5]},
    "w": {"shape": [4, 2], "range": [0.5, 1.5]},
    "b": {"shape": [2], "range": [0.5, 1.5]},
}


def results_of(folder: Path, *, apart: bool, **keys: Any) -> dict[str, Result]:
    """Audit a case of the linear op; return its results by input, with neither times nor counts of calls."""
    names = {"forward": "linear", "backward": "backward"} | {
        name: keys.pop(name) for name in ("forward", "backward") if name in keys
    }
    (folder / "ops.py").write_text(OPS)
    document = {"op": "op", "target": {k: f"ops:{v}" for k, v in names.items()}, "inputs": INPUTS, **keys}
    (folder / "spec.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    specs = load_specs([folder])
    found: list[CaseFinished] = []

    def emit(event: Event) -> None:
        if isinstance(event, CaseFinished):
            found.append(event)

    run_specs(specs, emit, jobs=2, timeout=30, apart={case.id for case in specs.cases} if apart else set())
    (finished,) = found
    calls = {"seconds": 0.0, "evaluations": 0, "forwards": 0, "backwards": 0}
    return {result.input: replace(result, **calls) for result in finished.results}


@pytest.mark.parametrize(
    "keys",
    [
        {"method": "exhaustive"},
        {"method": "exhaustive", "backward": "wrong"},
        {"method": "exhaustive", "backward": "wrong", "expect": {"w": "fail"}},
        {"method": "exhaustive", "backward": "wrong", "expect": {"x": "fail"}},
        {"method": "exhaustive", "expect": "fail"},
        {"backward": "ignoring", "expect": "fail", "findings": ["upstream-ignored"]},
        {"backward": "none"},
        {"backward": "raising"},
    ],
    ids=str,
)
def test_a_case_says_the_same_as_at_once(keys: dict[str, Any], tmp_path: Path) -> None:
    whole, parts = (results_of(tmp_path, apart=apart, **dict(keys)) for apart in (False, True))
    assert list(parts) == list(whole) == ["x", "w", "b"]
    for name, result in whole.items():
        part = parts[name]
        assert (part.verdict, part.expected, part.wrong) == (result.verdict, result.expected, result.wrong)
        assert (part.message, part.mismatches, part.source) == (result.message, result.mismatches, result.source)
        assert [made.code for made in part.findings] == [made.code for made in result.findings]


def test_a_gradient_whose_process_is_lost_costs_the_others_nothing(tmp_path: Path) -> None:
    found = results_of(tmp_path, apart=True, forward="crashing", method="exhaustive")
    assert {name: str(result.verdict) for name, result in found.items()} == {"x": "pass", "w": "error", "b": "pass"}
    assert found["w"].message.startswith("crashed its process with SIGABRT")
