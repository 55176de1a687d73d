"""Documents of the kind ``learning``: what they say, what is filled in, and what is refused where it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gradaudit.spec.errors import SpecError
from gradaudit.spec.load import load_specs
from gradaudit.spec.model_targets import Attainment, LearningTarget, Optimiser

LEAST: dict[str, Any] = {"op": "net", "kind": "learning", "model": "m:build", "loss": "m:loss", "data": "m:data"}


def targets(folder: Path, **changes: Any) -> list[LearningTarget]:
    file = folder / "net.yaml"
    file.write_text(yaml.safe_dump(LEAST | changes, sort_keys=False))
    found = [case.target for case in load_specs([file]).cases]
    assert all(isinstance(target, LearningTarget) for target in found)
    return found  # type: ignore[return-value]


def refused(folder: Path, **changes: Any) -> list[str]:
    with pytest.raises(SpecError) as error:
        targets(folder, **changes)
    return [str(problem).removeprefix(f"{folder}/net.yaml:") for problem in error.value.problems]


def test_the_least_that_a_spec_says(tmp_path: Path) -> None:
    (target,) = targets(tmp_path)
    assert (target.epochs, target.batch_size, target.accuracy) == (10, None, None)
    assert target.optimiser == Optimiser("sgd", 0.1)
    assert target.expected == Attainment()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("adam", Optimiser("adam", 0.01)),
        ({"name": "sgd", "lr": 0.5, "momentum": 0.9}, Optimiser("sgd", 0.5, 0.9)),
        ("m:make", Optimiser(call="m:make")),
        ({"call": "m:make", "params": {"lr": 0.5}}, Optimiser(call="m:make", params={"lr": 0.5})),
    ],
    ids=["name", "settings", "factory", "factory-with-params"],
)
def test_ways_to_name_an_optimiser(tmp_path: Path, said: object, meant: Optimiser) -> None:
    assert targets(tmp_path, optimiser=said)[0].optimiser == meant


def test_cases_override_part_by_part(tmp_path: Path) -> None:
    cases = [{"name": "slow", "optimiser": {"lr": 0.001}}, {"name": "strict", "expected": {"accuracy": 0.9}}]
    common = {"optimiser": {"name": "adam"}, "expected": {"parameters": 4}, "accuracy": "m:accuracy", "cases": cases}
    slow, strict = targets(tmp_path, **common)
    assert slow.optimiser == Optimiser("adam", 0.001)
    assert slow.expected == Attainment(parameters=4)
    assert strict.expected == Attainment(parameters=4, accuracy=0.9)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimizer": "adam"}, "unknown key 'optimizer'; did you mean 'optimiser'?"),
        ({"optimiser": {"name": "adagrad"}}, "adagrad"),
        ({"optimiser": {"rate": 0.1}}, "optimiser.rate: unknown key 'rate'"),
        ({"optimiser": {"name": "adam", "momentum": 0.9}}, "adam has none"),
        ({"optimiser": {"call": "m:make", "lr": 0.1}}, "found 'lr' beside 'call'"),
        ({"optimiser": {"name": "sgd", "params": {"lr": 0.1}}}, "found without 'call'"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"expected": {"accuracy": 97}, "accuracy": "m:accuracy"}, "expected.accuracy"),
        ({"expected": {"accuracy": 0.9}}, "expected 'accuracy: module:function' to measure it with"),
        ({"expected": {"acuracy": 0.9}}, "did you mean 'accuracy'?"),
        ({"data": None}, "data"),
        ({"kind": "lerning"}, "did you mean 'learning'?"),
        ({"inputs": {"x": {"shape": [2]}}}, "unknown key 'inputs'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    (problem,) = refused(tmp_path, **changes)
    assert said in problem
    assert problem.split(":")[0].isdigit()


def test_what_is_missing_is_named_all_at_once(tmp_path: Path) -> None:
    file = tmp_path / "net.yaml"
    file.write_text("{op: net, kind: learning}\n")
    with pytest.raises(SpecError) as error:
        load_specs([file])
    said = " ".join(problem.message for problem in error.value.problems)
    assert all(f"expected '{key}: module:function', found none" in said for key in ("model", "loss", "data"))
