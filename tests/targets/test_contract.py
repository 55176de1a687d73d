"""Every kind of target passes the contract: the same verdicts, findings and words for the same ops."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from contract import VARIANTS, Variant
from contract_frameworks import Rule, in_autograd, in_jax, in_tinygrad, in_torch

import gradaudit
from gradaudit.engine.audit import audit_case
from gradaudit.results import Result
from gradaudit.spec.case import Case
from gradaudit.spec.draw import draw_inputs
from gradaudit.spec.load import load_specs
from gradaudit.spec.op_targets import HeldTarget

Audited = Callable[[Variant, Path], Sequence[Result]]

CHILD = Path(__file__).with_name("contract_child.py")


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


def by_process(variant: Variant, folder: Path, *points: str) -> Sequence[Result]:
    command = [sys.executable, str(CHILD), json.dumps(list(variant.inputs)), json.dumps(variant.args), *points]
    target = {"process": {"command": command, "op": f"{variant.forward}/{variant.backward}"}}
    return audit_case(specified(variant, target, folder)).results


def by_process_of_many(variant: Variant, folder: Path) -> Sequence[Result]:
    return by_process(variant, folder, "64")


def by_api(variant: Variant, folder: Path) -> Sequence[Result]:
    """Audit the very arrays that the spec of the variant draws."""
    return by_op(gradaudit.op(*variant.functions, args=variant.args), variant, folder)


def by_op(op: HeldTarget, variant: Variant, folder: Path) -> Sequence[Result]:
    case = specified(variant, of_functions(variant, folder), folder)
    fixed = {name for name, made in variant.inputs.items() if made.get("differentiable") is False}
    return gradaudit.check(
        op,
        draw_inputs(case),
        params=variant.params,
        differentiable=set(variant.inputs) - fixed,
        **variant.tolerance,
    ).results


def by_framework(make: Callable[..., HeldTarget], written: Callable[[Rule], Any]) -> Audited:
    return lambda variant, folder: by_op(make(written(Rule(variant)), name=variant.forward), variant, folder)


@dataclass(frozen=True)
class Kind:
    """A kind of target.

    Attributes:
        audit: audits a variant.
        raw: whether what backward returns is seen as it stands.
        needs: the module that it needs.
        slow: whether a call takes so long that one dtype has to do.

    """

    audit: Audited
    raw: bool = True
    needs: str = "numpy"
    slow: bool = False

    def takes(self, variant: Variant) -> bool:
        return (self.raw or not variant.raw) and not (self.slow and variant.dtype != "float64")


KINDS = {
    "functions": Kind(by_functions),
    "process": Kind(by_process),
    "process of many": Kind(by_process_of_many),
    "api": Kind(by_api),
    "torch": Kind(by_framework(gradaudit.torch_op, in_torch), raw=False, needs="torch"),
    "jax": Kind(by_framework(gradaudit.jax_op, in_jax), raw=False, needs="jax"),
    "autograd": Kind(by_framework(gradaudit.autograd_op, in_autograd), raw=False, needs="autograd"),
    "tinygrad": Kind(by_framework(gradaudit.tinygrad_op, in_tinygrad), raw=False, needs="tinygrad", slow=True),
}
"""A new kind of target is a line here; one that needs a framework is skipped, visibly, where that is not installed."""

TESTS = [(name, variant) for name, kind in KINDS.items() for variant in VARIANTS if kind.takes(variant)]


@pytest.mark.parametrize(("kind", "variant"), TESTS, ids=str)
def test_each_kind_of_target_gives_the_same_verdicts_and_findings(kind: str, variant: Variant, tmp_path: Path) -> None:
    pytest.importorskip(KINDS[kind].needs)
    results = KINDS[kind].audit(variant, tmp_path)
    assert {result.input: str(result.verdict) for result in results} == variant.verdicts
    findings = [finding for result in results for finding in result.findings]
    assert {finding.code for finding in findings} == variant.codes
    said = [result.message for result in results] + [finding.message for finding in findings]
    assert any(variant.says in text for text in said)
