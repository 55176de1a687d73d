"""The JSON Schema that editors check specs with: it takes what loads and refuses what its words can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gradaudit.spec.errors import SpecError
from gradaudit.spec.load import load_specs
from gradaudit.spec.schema import json_schema
from gradaudit.spec.source import read_documents

SHIPPED = sorted((Path(__file__).parents[2] / "specs").rglob("*.yaml"))
VALIDATOR = jsonschema.Draft202012Validator(json_schema())

RIGHT: dict[str, Any] = {
    "op": "a",
    "target": {"forward": "m:f", "backward": "m:g"},
    "inputs": {"x": {"shape": [3]}},
}


def loads(folder: Path, document: Any) -> bool:
    file = folder / "spec.yaml"
    file.write_text(yaml.safe_dump(document))
    try:
        load_specs([file])
    except SpecError:
        return False
    return True


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert json_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_there_are_specs_to_check() -> None:
    assert len(SHIPPED) >= 65


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_every_shipped_spec_is_valid(file: Path) -> None:
    documents, problems = read_documents(file)
    assert not problems
    for document in documents:
        VALIDATOR.validate(document.data)


def test_every_shipped_spec_loads_and_is_one_op_of_its_name() -> None:
    specs = load_specs([SHIPPED[0].parents[1]])
    assert len(specs.documents) >= 65
    assert len(specs.cases) >= 300


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"dtype": "float32"},
        {"dtype": ["float32", "bfloat16"]},
        {"upstream": "ones"},
        {"upstream": [[1, 2.5], [3, 4]]},
        {"upstream": 2},
        {"step": "auto"},
        {"step": 1e-3},
        {"inputs": {"x": {"values": [[1, 2]], "layout": "strided"}}},
        {"inputs": {"x": {"values": 3.5}}},
        {"inputs": {"x": {"shape": [], "avoid": {"points": [0], "margin": 0.1}}}},
        {"target": {"forward": "m:f", "backward": {"call": "m:g", "args": ["upstream"], "returns": ["x"]}}},
        {"target": {"forward": "m:f", "backward": "m:g", "outputs": {"differentiable": [0]}}},
        {"cases": [{"name": "a", "inputs": {"x": {"shape": [0]}}}]},
        {"cases": [{"name": "a", "target": {"backward": {"args": ["upstream", "x"]}}}]},
        {"cases": [{"name": "a", "inputs": {"x": {"avoid": None}}}]},
        {"params": {"anything": {"goes": [None, True, "x"]}}, "notes": "n", "seed": 3, "module": "m"},
        {"expect": "fail", "findings": ["sign-flipped"]},
        {"tolerance": {"rtol": 0, "atol": 1.5, "reason": "r"}, "method": "search"},
    ],
)
def test_what_loads_is_valid(tmp_path: Path, more: dict[str, Any]) -> None:
    assert loads(tmp_path, RIGHT | more)
    VALIDATOR.validate(RIGHT | more)


@pytest.mark.parametrize(
    "more",
    [
        {"opp": "a"},
        {"op": 3},
        {"op": "a b"},
        {"module": ""},
        {"target": "m:f"},
        {"target": {"forward": "m.f", "backward": "m:g"}},
        {"target": {"forward": "m:f", "backward": "g"}},
        {"target": {"forward": "m:f", "backward": {"call": "m:g", "arg": []}}},
        {"inputs": {"x": {"shape": [-1]}}},
        {"inputs": {"x": {"shape": [1.5]}}},
        {"inputs": {"x": {"shape": 3}}},
        {"inputs": {"x": {"shape": [1] * 65}}},
        {"inputs": {"x": {"shape": [3], "range": [1]}}},
        {"inputs": {"x": {"shape": [3], "range": [1, 2, 3]}}},
        {"inputs": {"x": {"shape": [3], "rnge": [1, 2]}}},
        {"inputs": {"x": {"shape": [3], "dtype": "float8"}}},
        {"inputs": {"x": {"shape": [3], "layout": "fortran"}}},
        {"inputs": {"x": {"shape": [3], "distribution": "gauss"}}},
        {"inputs": {"x": {"shape": [3], "gap": 0}}},
        {"inputs": {"x": {"shape": [3], "avoid": {"points": [], "margin": 1}}}},
        {"inputs": {"x": {"values": "one"}}},
        {"dtype": "int64"},
        {"dtype": []},
        {"dtype": ["float32", "float31"]},
        {"tolerance": {"rtol": -1}},
        {"tolerance": {"rtoll": 1}},
        {"upstream": "zeros"},
        {"step": 0},
        {"step": "small"},
        {"method": "all"},
        {"seed": -1},
        {"seed": "0"},
        {"expect": "maybe"},
        {"findings": ["sign-fliped"]},
        {"cases": [{}]},
        {"cases": [{"name": "a b"}]},
        {"cases": [{"name": "a", "cases": []}]},
        {"cases": [{"name": "a", "inputs": {"x": {"shpe": [3]}}}]},
    ],
)
def test_what_is_written_wrongly_is_invalid_and_does_not_load(tmp_path: Path, more: dict[str, Any]) -> None:
    assert not loads(tmp_path, RIGHT | more)
    assert not VALIDATOR.is_valid(RIGHT | more)


def test_an_op_is_required() -> None:
    assert not VALIDATOR.is_valid({key: value for key, value in RIGHT.items() if key != "op"})


def test_every_key_explains_itself_to_the_editor() -> None:
    definitions = json_schema()["$defs"]
    inputs = definitions["InputModel"]["properties"]
    assert {name for name, entry in inputs.items() if "description" not in entry} == set()
