"""Every kind of target passes the contract: the same verdicts, findings and words for the same ops."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from contract import VARIANTS, Variant

import gradaudit
from gradaudit.engine.audit import audit_case
from gradaudit.results import Result
from gradaudit.spec.case import Case
from gradaudit.spec.draw import draw_inputs
from gradaudit.spec.load import load_specs

CHILD = Path(__file__).with_name("contract_child.py")


@pytest.fixture(autouse=True)
def _path_restored() -> Iterator[None]:
    path = list(sys.path)
    yield
    sys.path[:] = path


def specified(variant: Variant, target: Mapping[str, Any], folder: Path) -> Case:
    """Return the case of a spec with this target."""
    document = {
        "op": variant.backward,
        "target": target,
        "inputs": variant.inputs,
        "params": variant.params,
        "tolerance": variant.tolerance,
        "dtype": variant.dtype,
    }
    file = folder / "op.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    (case,) = load_specs([file]).cases
    return case


def of_functions(variant: Variant, folder: Path) -> dict[str, Any]:
    backward: dict[str, Any] = {"call": f"contract_ops:{variant.backward}"}
    if variant.args is not None:
        backward["args"] = list(variant.args)
    return {"forward": f"contract_ops:{variant.forward}", "backward": backward}


def by_functions(variant: Variant, folder: Path) -> Sequence[Result]:
    return audit_case(specified(variant, of_functions(variant, folder), folder)).results


def by_process(variant: Variant, folder: Path) -> Sequence[Result]:
    command = [sys.executable, str(CHILD), json.dumps(list(variant.inputs)), json.dumps(variant.args)]
    target = {"process": {"command": command, "op": f"{variant.forward}/{variant.backward}"}}
    return audit_case(specified(variant, target, folder)).results


def by_api(variant: Variant, folder: Path) -> Sequence[Result]:
    """Audit the very arrays that the spec of the variant draws."""
    case = specified(variant, of_functions(variant, folder), folder)
    op = gradaudit.op(*variant.functions, args=variant.args)
    fixed = {name for name, made in variant.inputs.items() if made.get("differentiable") is False}
    return gradaudit.check(
        op,
        draw_inputs(case),
        params=variant.params,
        differentiable=set(variant.inputs) - fixed,
        **variant.tolerance,
    ).results


@dataclass(frozen=True)
class Kind:
    """A kind of target: how a variant is audited, and whether what backward returns is seen as it stands."""

    audit: Callable[[Variant, Path], Sequence[Result]]
    raw: bool = True


KINDS = {"functions": Kind(by_functions), "process": Kind(by_process), "api": Kind(by_api)}

TESTS = [(name, variant) for name, kind in KINDS.items() for variant in VARIANTS if kind.raw or not variant.raw]


@pytest.mark.parametrize(("kind", "variant"), TESTS, ids=str)
def test_the_contract(kind: str, variant: Variant, tmp_path: Path) -> None:
    results = KINDS[kind].audit(variant, tmp_path)
    assert {result.input: str(result.verdict) for result in results} == variant.verdicts
    findings = [finding for result in results for finding in result.findings]
    assert {finding.code for finding in findings} == variant.codes
    said = [result.message for result in results] + [finding.message for finding in findings]
    assert any(variant.says in text for text in said)
