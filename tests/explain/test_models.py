"""What is told of a whole model: its graph, where that is cut and why, and its loss curve."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from gradaudit.cli.app import app

MODEL = """
import numpy as np
from gradaudit.milestones.xor import build as right, data, loss, accuracy
from gradaudit.tape import Tensor, functions


class Cut(type(right())):
    def __call__(self, x):
        hidden = functions.tanh(self.hidden(x))
        return self.output(Tensor(hidden.data))


def cut():
    model = right()
    model.__class__ = Cut
    return model


def broken():
    raise RuntimeError("out of weights")
"""

SPEC: dict[str, Any] = {
    "op": "xor",
    "kind": "learning",
    "model": "parts:right",
    "loss": "parts:loss",
    "data": "parts:data",
    "accuracy": "parts:accuracy",
    "optimiser": {"name": "adam", "lr": 0.1},
    "epochs": 40,
}


@pytest.fixture
def explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Called with changes of the spec and options, it returns what explain says."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts.py").write_text(MODEL)
    (tmp_path / "specs").mkdir()

    def explain(*options: str, **changes: Any) -> Result:
        (tmp_path / "specs" / "xor.yaml").write_text(yaml.safe_dump(SPEC | changes, sort_keys=False))
        return CliRunner().invoke(app, ["explain", "xor", "-j", "0", "--all", *options])

    return explain


def test_a_right_model(explained: Any) -> None:
    result = explained("--format", "markdown")
    assert result.exit_code == 0
    assert "- **training**: 40 epochs by adam(lr=0.1)" in result.stdout
    graph = result.stdout.partition("## The graph")[2].partition("## ")[0]
    lines = [line.split() for line in graph.partition("```text")[2].splitlines()]
    assert ["BinaryCrossEntropyWithLogitsBackward", "←", "LinearBackward"] in lines
    assert [line[0] for line in lines if "rms" in line] == [
        "output.weight",
        "output.bias",
        "hidden.weight",
        "hidden.bias",
    ]
    assert "✂" not in graph.partition("```text")[2]
    assert "loss over all data" in result.stdout.partition("## Training")[2]


def test_a_cut_is_marked_and_explained(explained: Any) -> None:
    result = explained(model="parts:cut")
    assert result.exit_code == 1
    graph = result.stdout.partition("The graph (")[2].partition("Training (")[0]
    text = " ".join(graph.split())
    assert "a tensor [4, 8] is on no tape, made at parts.py:10" in text
    assert text.count("gets no gradient") == 2
    assert "unreached-parameter: the loss depends on hidden.weight and no gradient reaches it" in text


def rows(said: str) -> dict[str, str]:
    """Return what is said of the norm of each parameter's gradient."""
    lines = said.partition("norms of gradients")[2].partition("\n\n")[0].splitlines()[1:]
    return {line.split()[0]: line.strip() for line in lines}


def test_the_norm_of_each_gradient_is_drawn_step_by_step(explained: Any) -> None:
    whole, cut = (rows(explained(model=f"parts:{model}").stdout) for model in ("right", "cut"))
    assert whole.keys() == cut.keys() == {"hidden.weight", "hidden.bias", "output.weight", "output.bias"}
    assert {name for name, said in cut.items() if said.endswith("zero at every step")} == {
        "hidden.weight",
        "hidden.bias",
    }
    assert not any("zero" in said for said in whole.values())


def test_loss_and_gradients_are_small_pictures_on_a_page(explained: Any, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    page = tmp_path / "xor.html"
    assert explained("--html", str(page), model="parts:cut").exit_code == 1
    picture = page.read_text().partition("How loss and gradients went")[2].partition("</figure>")[0]
    assert re.findall(r"<title>(\S+):", picture) == ["loss", *rows(explained(model="parts:cut").stdout)]
    assert picture.count('class="trend"') == 3
    assert picture.count(">zero at every step<") == 2


def test_a_model_that_cannot_be_made(explained: Any) -> None:
    result = explained(model="parts:broken")
    assert result.exit_code == 1
    text = " ".join(result.stdout.split())
    assert "There is none: the factory parts:broken raised RuntimeError: out of weights" in text


def test_a_flow_spec_has_a_graph_and_no_training(explained: Any) -> None:
    flow = {key: value for key, value in SPEC.items() if key in ("op", "model", "loss", "data")}
    Path("specs/flow.yaml").write_text(yaml.safe_dump({**flow, "op": "flow", "kind": "flow"}))
    explained()
    result = CliRunner().invoke(app, ["explain", "flow", "-j", "0", "--all"])
    assert result.exit_code == 0
    assert "The graph (" in result.stdout
    assert "Training" not in result.stdout


def test_the_same_as_json(explained: Any) -> None:
    found = json.loads(explained("--format", "json", model="parts:cut").stdout)
    (view,) = found["graphs"]
    assert [leaf["name"] for leaf in view["graph"]["unreached"]] == ["hidden.weight", "hidden.bias"]
    (training,) = found["trainings"]
    assert training["measured"][0]["epoch"] == 0
    assert training["measured"][-1]["epoch"] == 40
    norms = training["gradient_norms"]
    assert {len(each) for each in norms.values()} == {40}
    assert [name for name, each in norms.items() if not any(each)] == ["hidden.weight", "hidden.bias"]


def test_a_model_s_plot_is_written_as_svg(explained: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "xor.svg"
    assert explained("--plot", str(picture), model="parts:cut").exit_code == 1
    text = picture.read_text()
    assert text.startswith("<?xml")
    assert picture.stat().st_size > 10_000


def test_few_parameters_of_a_model_are_looked_at_closely(explained: Any) -> None:
    found = json.loads(explained("--format", "json").stdout)
    assert len(found["results"]) == 5
    (study,) = found["studies"]
    assert study["curve"]
