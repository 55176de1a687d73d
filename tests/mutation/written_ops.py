"""Ops written into a folder of their own, with a spec, and their mutants."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import yaml

from gradaudit.mutation.mutants import Backward, Mutant, backward_of, mutants_of
from gradaudit.results import Verdict
from gradaudit.source.reach import reach_finder
from gradaudit.spec.case import Case
from gradaudit.spec.load import load_specs

ENDINGS_AS_EXPECTED: dict[str, Verdict] = {}
"""How a case ends for an op as it is, where nothing is unexpected."""


def write_op(folder: Path, module: str, source: str, **spec: Any) -> tuple[Case, ...]:
    """Write a module and the spec of the op that its ``forward`` and ``backward`` are; return the cases."""
    (folder / f"{module}.py").write_text(textwrap.dedent(source))
    target = {"forward": f"{module}:forward", "backward": spec.pop("backward", f"{module}:backward")}
    written = {"op": module, "target": target, "inputs": {"x": {"shape": [3, 2]}}, "dtype": "float64"} | spec
    (folder / f"{module}.yaml").write_text(yaml.safe_dump(written, sort_keys=False))
    return load_specs([folder / f"{module}.yaml"]).cases


def source_of(cases: tuple[Case, ...], folder: Path) -> Backward:
    found = backward_of(cases[0].target, reach_finder([folder]))
    assert found is not None
    return found


def changes(cases: tuple[Case, ...], folder: Path) -> dict[str, list[Mutant]]:
    """Return the mutants of an op by the changed line, stripped."""
    found: dict[str, list[Mutant]] = {}
    for mutant in mutants_of(source_of(cases, folder), folder):
        added = [line[1:].strip() for line in mutant.diff.splitlines()[3:] if line.startswith("+")]
        found.setdefault(" / ".join(added), []).append(mutant)
    return found
