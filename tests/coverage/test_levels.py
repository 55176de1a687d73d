"""The pyramid: which level a spec is of, how many there are at each, and what lacks one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from gradaudit.cli.app import app

OPS = """
def linear(x, weight, bias):
    return x @ weight.T + bias


def linear_backward(upstream, x, weight, bias):
    return upstream @ weight, upstream.T @ x, upstream.sum(axis=0)


def scale(x):
    return 3.0 * x


def scale_backward(upstream, x):
    return 3.0 * upstream
"""

MODEL = """
import numpy as np
from gradaudit.milestones.perceptron import data, loss
from gradaudit.tape import Module, Tensor
from gradaudit.tape.tensor import recorded
from layers import linear, linear_backward

recorded_linear = recorded(linear, linear_backward)


class Line(Module):
    def __init__(self):
        self.weight = Tensor(np.full((1, 2), 0.1), requires_grad=True)
        self.bias = Tensor(np.full(1, 0.2), requires_grad=True)

    def __call__(self, x):
        return recorded_linear(x, self.weight, self.bias)


def build():
    return Line()
"""

UNIT: dict[str, Any] = {
    "op": "linear",
    "target": {"forward": "layers:linear", "backward": "layers:linear_backward"},
    "inputs": {"x": {"shape": [2, 3]}, "weight": {"shape": [4, 3]}, "bias": {"shape": [4]}},
}
LEARNING: dict[str, Any] = {
    "op": "line_learns",
    "kind": "learning",
    "model": "model:build",
    "loss": "model:loss",
    "data": "model:data",
    "epochs": 2,
}
FLOW: dict[str, Any] = {**{key: LEARNING[key] for key in ("model", "loss", "data")}, "op": "line_flow", "kind": "flow"}

Coverage = Callable[..., str]


@pytest.fixture
def coverage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Coverage:
    """A project with two passes; called with specs, it returns what coverage says of them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.gradaudit]\nsources = ["layers.py"]\n')
    (tmp_path / "layers.py").write_text(OPS)
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "specs").mkdir()

    def said(*specs: dict[str, Any], run: bool = False, form: str = "json") -> str:
        for spec in specs:
            path = tmp_path / "specs" / f"{spec['op']}.yaml"
            path.write_text(yaml.safe_dump({"module": "layers", **spec}, sort_keys=False))
        if run:
            CliRunner().invoke(app, ["run", "-q", "-j", "0"])
        return CliRunner().invoke(app, ["coverage", "--no-output", "--format", form]).stdout

    return said


def test_a_project_of_units_has_no_pyramid(coverage: Coverage) -> None:
    found = json.loads(coverage(UNIT))
    assert (found["levels"], found["models"]) == ([], [])
    assert [op["level"] for op in found["ops"]] == ["unit"]
    assert "Level" not in coverage(UNIT, form="terminal")
    assert "## Levels" not in coverage(UNIT, form="markdown")


def test_specs_and_cases_are_counted_at_their_level(coverage: Coverage) -> None:
    found = json.loads(coverage(UNIT, FLOW, LEARNING | {"cases": [{"name": "a"}, {"name": "b"}]}))
    rows = {row.pop("level"): row for row in found["levels"]}
    assert list(rows) == ["learning", "flow", "unit"]
    assert rows["learning"] == {"specs": 1, "cases": 2, "expected": 0, "unexpected": 0, "unaudited": 2}
    assert rows["flow"]["cases"] == rows["unit"]["cases"] == 1


def test_a_level_says_how_its_cases_ended(coverage: Coverage) -> None:
    disappointed = LEARNING | {"expected": {"loss_falls_by": 1.0}}
    found = json.loads(coverage(UNIT, FLOW, disappointed, run=True))
    ends = {row["level"]: (row["expected"], row["unexpected"], row["unaudited"]) for row in found["levels"]}
    assert ends == {"learning": (0, 1, 0), "flow": (1, 0, 0), "unit": (1, 0, 0)}


def test_models_do_not_count_as_gradient_checks_of_the_passes_that_they_call(coverage: Coverage) -> None:
    found = json.loads(coverage(FLOW, LEARNING))
    (module,) = found["modules"]
    assert (module["passes"], module["checked"]) == (2, 0)
    assert module["in_models"] == {"flow": 1, "learning": 1}


def test_what_lacks_a_level_is_named(coverage: Coverage) -> None:
    text = " ".join(coverage(UNIT, LEARNING, form="terminal").split())
    assert "1 module in no model that a flow spec audits: layers" in text
    assert "1 model without a flow spec: model:build" in text
    assert "without a learning spec" not in text
    assert "without" not in " ".join(line for line in coverage(FLOW, form="terminal").splitlines() if "model:" in line)


def test_the_page_shows_pyramid_and_models(coverage: Coverage) -> None:
    page = coverage(UNIT, FLOW, LEARNING, form="markdown")
    assert "| learning | 1 | 1 | 0 | 0 | 1 |" in page
    assert "| `model:build` | line_flow | line_learns |" in page


def test_the_parameters_of_a_model_have_rows(coverage: Coverage) -> None:
    found = json.loads(coverage(LEARNING, run=True))
    (op,) = found["ops"]
    assert (op["level"], op["model"]) == ("learning", "model:build")
    assert [row["input"] for row in op["inputs"]] == ["loss", "weight", "bias"]


def test_the_page_tells_of_the_parameters_that_passed_in_one_row(coverage: Coverage) -> None:
    assert "| `line_learns` (learning) | `parameters` |" in coverage(LEARNING, form="markdown")
    page = coverage(LEARNING | {"expected": {"loss_falls_by": 1.0}}, run=True, form="markdown")
    assert "| `line_learns` (learning; not as its spec expects) | `loss` | **FAIL** |" in page
    assert "|  | `weight, bias` | pass |" in page


def test_a_spec_of_a_model_is_stale_when_a_pass_below_it_changes(coverage: Coverage, tmp_path: Path) -> None:
    coverage(FLOW, LEARNING, run=True)
    assert json.loads(coverage())["stale"] == []
    (tmp_path / "layers.py").write_text(OPS.replace("upstream @ weight,", "1.0 * upstream @ weight,"))
    assert json.loads(coverage())["stale"] == ["line_flow", "line_learns"]
