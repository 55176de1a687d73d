"""Frameworks that are known by a description only: read rightly, or told in words where the description is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import guide_teaching
import numpy as np
import pytest
import tiny
from flow_audits import audit, codes, loaded, of, said
from teaching import Value

from gradaudit.audit.conclusion import Audit
from gradaudit.models.graph import walk
from gradaudit.models.tapes.described import described
from gradaudit.models.tapes.tape import Node, TapeError
from gradaudit.results import Verdict
from gradaudit.spec.errors import SpecError
from gradaudit.spec.tape import TapeDescription

TINY = {"tensor": "tiny:Tensor", "parents": "saved_tensors", "targets": "tensors", "setup": "tiny:enable_autograd"}
SCALAR = {
    "tensor": "scalar_tape:Value",
    "requires_grad": None,
    "node": "self",
    "name": "_op",
    "parents": "_prev",
    "cleared": "zeros",
}


def teaching(folder: Path, **tape: Any) -> Audit:
    return audit(
        folder,
        model="guide_teaching:build",
        loss="guide_teaching:loss",
        tape=guide_teaching.TAPE | tape,
        inputs={"tokens": {"shape": [4, 3], "distribution": "integers", "range": [0, 4]}},
        targets={"wanted": {"shape": [4, 3]}},
    )


def tiny_layers(folder: Path, **more: Any) -> Audit:
    document = {"model": "tiny:Model", "loss": "tiny:mse", "tape": TINY, "backward": "AddBackward"}
    document |= {"inputs": {"x": {"shape": [5, 3]}}, "targets": {"wanted": {"shape": [5, 2]}}}
    return audit(folder, **document | more)


class TestFloat32Framework:
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("seed", range(4))
    def test_that_is_right_is_audited_in_double_precision(self, tmp_path: Path, seed: int, dtype: str) -> None:
        made = tiny_layers(tmp_path, seed=seed, dtype=dtype)
        assert {result.verdict for result in made.results} == {Verdict.PASS}, said(made)
        assert max(result.resolution for result in made.results if result.size > 5) < 1e-2
        assert codes(made) == {}

    def test_is_itself_again_afterwards(self, tmp_path: Path) -> None:
        tiny_layers(tmp_path)
        assert tiny.Tensor(np.zeros(3)).data.dtype == np.float32
        assert tiny.Tensor.__init__.__qualname__ == "Tensor.__init__"

    def test_that_is_wrong_is_told_with_the_step(self, tmp_path: Path) -> None:
        made = tiny_layers(tmp_path, params={"wrong": True})
        wrong = {result.input for result in made.results if result.verdict is Verdict.FAIL}
        assert wrong == {"x", "layers[0].weight", "layers[0].bias"}
        assert "; ReLUBackward at " in of(made, "x").message
        assert "in Tensor.relu: its backward is wrong" in of(made, "x").message

    def test_that_is_cut_is_found(self, tmp_path: Path) -> None:
        made = tiny_layers(tmp_path, params={"broken": True})
        assert codes(made) == {name: {"unreached-parameter"} for name in ("x", "layers[0].weight", "layers[0].bias")}
        assert "Tensor(hidden.data)" in Path(tiny.__file__).read_text().splitlines()[_line(made, "x") - 1]


def _line(made: Audit, name: str) -> int:
    return int(of(made, name).findings[0].evidence["place"].rpartition(":")[2])


class TestTapeWhoseTensorsAreItsSteps:
    def scalar(self, folder: Path, **more: Any) -> Audit:
        document = {"model": "scalar_tape:Neuron", "loss": "scalar_tape:loss", "tape": SCALAR}
        return audit(folder, **document | {"inputs": {"x": {"shape": [], "range": [0.5, 1.0]}}} | more)

    def test_is_read(self, tmp_path: Path) -> None:
        made = self.scalar(tmp_path, backward="*")
        assert {r.input: r.verdict for r in made.results} == dict.fromkeys(["x", "w", "b", "v"], Verdict.PASS), said(
            made
        )
        assert codes(made) == {}

    def test_is_cut(self, tmp_path: Path) -> None:
        made = self.scalar(tmp_path, params={"broken": True})
        assert codes(made) == {name: {"unreached-parameter"} for name in ("x", "w", "b")}
        assert "the last step that still leads to it is tanh" in said(made)


WRONG = {
    "data": (
        "number",
        "tape.data: Value has no 'number'; did you mean 'numbers'?; it has differentiate",
    ),
    "grad": ("slopes", "tape.grad: Value has no 'slopes'; did you mean 'slope'?"),
    "node": ("orign", "tape.node: Value has no 'orign'; did you mean 'origin'?"),
    "name": ("titel", "tape.name: Step has no 'titel'; did you mean 'title'?; it has before, operands, pull, title"),
    "parents": ("befor", "tape.parents: Step has no 'befor'; did you mean 'before'?"),
    "saved": ("operand", "tape.saved: Step has no 'operand'; did you mean 'operands'?"),
    "backward": ("differentiat", "tape.backward: Value has no 'differentiat'; did you mean 'differentiate'?"),
    "zero_grad": ("clear", "tape.zero_grad: Value has no 'clear'"),
    "requires_grad": ("requires_grad", "tape.requires_grad: Value has no 'requires_grad'"),
    "call": ("forwards", "tape.call: tuple has no 'forwards'"),
}


@pytest.mark.parametrize("key", WRONG)
def test_a_wrong_name_is_told_with_what_is_there_instead(tmp_path: Path, key: str) -> None:
    name, words = WRONG[key]
    made = teaching(tmp_path, **{key: name})
    assert {result.verdict for result in made.results} == {Verdict.ERROR}
    assert words in said(made)


def test_a_name_that_leads_to_something_else_is_told(tmp_path: Path) -> None:
    assert "origin holds NoneType; expected an array of numbers" in said(teaching(tmp_path, data="origin"))


def test_what_is_no_class_is_told(tmp_path: Path) -> None:
    assert "tape.tensor: 'teaching:not_a_class' is no class" in said(teaching(tmp_path, tensor="teaching:not_a_class"))


def test_a_graph_is_walked_to_its_leaves_without_recursion() -> None:
    tape = described(TapeDescription(**guide_teaching.TAPE), lambda name: Value)
    first = made = Value(1.0)
    for _ in range(3000):
        made = guide_teaching.teaching.tanh(made)
    found = walk(tape, made)
    assert (len(found.nodes), found.depths[id(first)], found.reaches(first)) == (3000, 3000, True)


def test_a_cycle_is_refused() -> None:
    class Loop:
        def node(self, tensor: Any) -> Node:
            return Node("first", lambda: (Node("second", lambda: (self.node(tensor),), 2),), 1)

    with pytest.raises(TapeError, match="first <- second <- first"):
        walk(Loop(), object())  # type: ignore[arg-type]


SPECS: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown key of the tape": (
        {"tape": {"tensor": "m:T", "nod": "x"}},
        "tape.nod: unknown key 'nod'; did you mean",
    ),
    "an unknown preset": ({"tape": "toch"}, "tape.preset: found 'toch', expected 'gradaudit', 'torch' or 'tinygrad'"),
    "a preset that is code and more": ({"tape": {"preset": "torch", "data": "x"}}, "which is no description"),
    "no class": ({"tape": {"data": "x"}}, "tape: expected 'tensor: module:Class' or a preset, found neither"),
    "no model": ({"model": None}, "model: expected 'model: module:function', found none"),
    "no inputs": ({"inputs": {}}, "inputs: expected inputs, or data, found neither"),
    "inputs and data": ({"data": "m:d"}, "inputs: found 'inputs' beside 'data', which gives them"),
    "a target called as an input": ({"targets": {"x": {"shape": [2]}}}, "targets.x: an input has this name already"),
    "an op's key": ({"upstream": "ones"}, "upstream: unknown key 'upstream'"),
    "an unknown kind": ({"kind": "flwo"}, "kind: found 'flwo', expected op or flow"),
    "a target that cannot be": ({"targets": {"y": {"shape": [-1]}}}, "targets.y.shape.0: expected"),
}


@pytest.mark.parametrize("mistake", SPECS)
def test_a_wrong_spec_is_refused_where_it_is_wrong(tmp_path: Path, mistake: str) -> None:
    more, words = SPECS[mistake]
    document = {"model": "m:f", "loss": "m:g", "inputs": {"x": {"shape": [2]}}} | more
    with pytest.raises(SpecError) as error:
        loaded(tmp_path, **document)
    assert words in str(error.value)
    assert len(error.value.problems) == 1


def test_cases_override_the_document(tmp_path: Path) -> None:
    case = loaded(
        tmp_path,
        model="m:f",
        loss="m:g",
        tape={"preset": "gradaudit", "grad": "slope"},
        inputs={"x": {"shape": [2]}},
        targets={"y": {"shape": [2]}},
        cases=[{"name": "wide", "tape": {"data": "numbers"}, "targets": {"y": {"shape": [3]}}, "backward": "B"}],
    )
    assert (case.name, [made.shape for made in case.inputs], case.target.backward) == ("wide", [(2,), (3,)], "B")
    assert (case.target.tape.grad, case.target.tape.data, case.target.tape.tensor) == (
        "slope",
        "numbers",
        "gradaudit.tape:Tensor",
    )
    assert not case.inputs[1].differentiable


SPENDING = {"tensor": "spending:Tensor", "node": "ctx", "name": "op.__name__", "parents": "args", "cleared": "zeros"}


def spending(folder: Path, **params: Any) -> Audit:
    named = {"model": "spending:Model", "loss": "spending:loss", "tape": SPENDING, "params": params}
    return audit(folder, inputs={"x": {"shape": [3], "differentiable": False}}, **named)


def test_a_tape_that_lets_go_of_its_graph_in_reverse_mode_is_read_before(tmp_path: Path) -> None:
    made = spending(tmp_path)
    assert {result.verdict for result in made.results} == {Verdict.PASS}, said(made)
    assert codes(made) == {}


def test_its_wrong_step_is_named(tmp_path: Path) -> None:
    made = spending(tmp_path, wrong=True)
    assert of(made, "table").verdict is Verdict.PASS
    assert of(made, "scale").verdict is Verdict.FAIL
    assert re.findall(r"(\w+) (?:at |\()\S*spending.py", of(made, "scale").message) == ["HalfTimes"]
