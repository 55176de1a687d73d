"""Learning specs written by a test, audited in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from gradaudit.engine.audit import audit_case
from gradaudit.results import Finding, Result
from gradaudit.spec.case import Case
from gradaudit.spec.load import load_specs


def milestone(name: str) -> dict[str, Any]:
    """Return the parts that specs of a milestone have in common."""
    parts = {part: f"gradaudit.milestones.{name}:{part}" for part in ("loss", "data", "accuracy")}
    return {"op": name, "kind": "learning", "model": f"gradaudit.milestones.{name}:build", **parts}


PERCEPTRON = {**milestone("perceptron"), "optimiser": {"name": "sgd", "lr": 0.5}, "epochs": 5}
CNN = {**milestone("cnn"), "optimiser": {"name": "adam", "lr": 0.02}, "epochs": 8, "batch_size": 50}
TRANSFORMER = {
    **milestone("transformer"),
    "optimiser": {"name": "adam", "lr": 0.01},
    "epochs": 3,
    "batch_size": 16,
}


def cases(folder: Path, **spec: Any) -> tuple[Case, ...]:
    """Write a spec and return its cases."""
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    return load_specs([folder / "spec.yaml"]).cases


def audited(folder: Path, **spec: Any) -> dict[str, Result]:
    """Write a spec of one case, audit it, and return its results by what they are about."""
    (case,) = cases(folder, **spec)
    return {result.input: result for result in audit_case(case).results}


def findings(results: dict[str, Result], code: str) -> dict[str, Finding]:
    """Return the findings of one code, by what the results are about that have them."""
    return {name: one for name, result in results.items() for one in result.findings if one.code == code}


def failing(results: dict[str, Result]) -> set[str]:
    """Return the codes of all findings that fail a case."""
    return {finding.code for result in results.values() for finding in result.findings if finding.fails}
