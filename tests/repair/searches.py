"""Searches for repairs of ops that stand beside the tests."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from gradaudit.engine.audit import audit_case
from gradaudit.repair.repair import repair
from gradaudit.repair.repairs import Repairs
from gradaudit.spec.load import load_specs

HERE = Path(__file__).parent


def searched(folder: Path, op: str, inputs: dict[str, Any], target: dict[str, Any] | None = None) -> Repairs:
    """Search in a copy of ``mistaken_ops`` in a folder, under a name of its own."""
    module = f"wrong_{op}_{abs(hash(str(folder))) % 10**8}"
    (folder / f"{module}.py").write_text((HERE / "mistaken_ops.py").read_text())
    named = {"forward": f"{module}:{op}", "backward": f"{module}:{op}_backward"}
    if target:
        named = {key: value.replace("mistaken_ops", module) for key, value in target.items()}
    spec = {"op": op, "target": named, "inputs": inputs, "dtype": "float64"}
    file = folder / f"{op}.yaml"
    file.write_text(yaml.safe_dump(spec, sort_keys=False))
    cases = load_specs([file]).cases
    ended = {(case.id, made.input): made for case in cases for made in audit_case(case).results}
    return repair(cases, ended, 30.0)


def mended(found: Repairs, op: str, name: str) -> Any:
    """Return a function of the module with the first repair made."""
    (best, *_) = found.repairs
    best.path.with_name(f"mended_{name}.py").write_text(best.after)
    return getattr(importlib.import_module(f"mended_{name}"), op)


def drawn(*shapes: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(5)
    return [rng.uniform(0.3, 1.5, shape) for shape in shapes]
