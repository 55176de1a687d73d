"""Flow specs written and audited in a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from gradaudit.audit.conclusion import Audit
from gradaudit.engine.audit import audit_case
from gradaudit.results import Result
from gradaudit.spec.case import Case
from gradaudit.spec.load import load_specs


def loaded(folder: Path, **document: Any) -> Case:
    file = folder / "model.yaml"
    file.write_text(yaml.safe_dump({"op": "model", "kind": "flow", **document}, sort_keys=False))
    (case,) = load_specs([file]).cases
    return case


def audit(folder: Path, **document: Any) -> Audit:
    return audit_case(loaded(folder, **document))


def of(audited: Audit, name: str) -> Result:
    return next(result for result in audited.results if result.input == name)


def codes(audited: Audit) -> dict[str, set[str]]:
    found = {result.input: {finding.code for finding in result.findings} for result in audited.results}
    return {name: made for name, made in found.items() if made}


def said(audited: Audit) -> str:
    lines = [f"{r.input}: {r.message} {[f.message for f in r.findings]}" for r in audited.results]
    return "\n".join(lines)
