"""Repositories as people write them: every backward pass is found, called and judged, with nothing said about it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gradaudit.drafts.plan import Plan, plan_of
from gradaudit.engine.audit import audit_case
from gradaudit.results import worst
from gradaudit.spec.errors import SpecError

REPOSITORIES = Path(__file__).parent / "repositories"

WRONG = {
    "course": {"batchnorm", "svm_loss"},
    "network": {"Tanh", "Dropout"},
    "script": {"softplus", "ridge_loss"},
    "tape": {"matmul", "exp"},
    "clib": {"gelu", "residual"},
}


def audited(plan: Plan) -> dict[str, str]:
    """Return the worst verdict of each op."""
    results = [result for case in plan.cases for result in audit_case(case).results]
    return {case.op: str(worst([one.verdict for one in results if one.op == case.op])) for case in plan.cases}


@pytest.mark.parametrize("style", WRONG)
def test_all_eight_passes_are_audited_and_the_two_wrong_ones_caught(folder: Path, style: str) -> None:
    shutil.copytree(REPOSITORIES / style, folder / style)
    verdicts = audited(plan_of([folder / style], jobs=0))
    assert len(verdicts) == 8
    assert {op for op, verdict in verdicts.items() if verdict == "fail"} == WRONG[style]
    assert {verdict for op, verdict in verdicts.items() if op not in WRONG[style]} == {"pass"}


def test_what_a_script_runs_is_not_run(folder: Path) -> None:
    shutil.copytree(REPOSITORIES / "script", folder / "script")
    plan_of([folder / "script"], jobs=0)
    assert not (folder / "weights.txt").exists()


def test_cases_point_at_the_lines_of_the_passes(folder: Path) -> None:
    shutil.copytree(REPOSITORIES / "network", folder / "network")
    plan = plan_of([folder / "network"], jobs=0)
    lines = (folder / "network" / "layers.py").read_text().splitlines()
    assert all(lines[case.location.line - 1].startswith(f"class {case.op}") for case in plan.cases)


UNCALLABLE = """
class Solver:
    def __init__(self, mesh): self.cells = mesh.cells()
    def forward(self, x): return x * self.cells
    def backward(self, upstream): return upstream * self.cells

def interpolate(x, table): return table.at(x)
def interpolate_backward(upstream, x, table): return table.slope(x) * upstream

def alone_backward(upstream, x): return upstream
"""


def test_where_no_guess_fits_the_op_is_undecided_and_the_reason_told(folder: Path) -> None:
    (folder / "solver.py").write_text(UNCALLABLE)
    plan = plan_of([folder / "solver.py"], jobs=0)
    assert {drafted.found.name for drafted in plan.drafts} == {"Solver", "interpolate_backward", "alone_backward"}
    assert set(audited(plan).values()) == {"inconclusive"}
    assert all(drafted.said.startswith("how is it called? ") for drafted in plan.drafts)
    said = {drafted.found.name: drafted.said for drafted in plan.drafts}
    assert "has no attribute 'cells'" in said["Solver"]
    assert "no forward beside alone_backward" in said["alone_backward"]


def test_a_source_without_backward_passes_is_told_of(folder: Path) -> None:
    (folder / "plain.py").write_text("def add(a, b): return a + b\n")
    with pytest.raises(SpecError, match=r"plain\.py:1:1: holds no specs, and no backward pass was found"):
        plan_of([folder / "plain.py"], jobs=0)


def test_one_command_reports_three_bugs_at_their_lines(folder: Path) -> None:
    source = (REPOSITORIES / "network" / "layers.py").read_text()
    right = 'self.grads["b"] = grad_output.sum(axis=0)'
    assert right in source
    lines = source.replace(right, 'self.grads["b"] = grad_output.mean(axis=0)  # wrong', 1).splitlines()
    (folder / "layers.py").write_text("\n".join(lines))
    command = [sys.executable, "-m", "gradaudit", "run", "layers.py", "--no-store"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "100"})
    assert ran.returncode == 1, ran.stderr
    for name in ("Linear", "Tanh", "Dropout"):
        begins = lines.index(f"class {name}:")
        line = next(k for k, text in enumerate(lines[begins:], begins + 1) if "def backward" in text)
        assert re.search(rf"  {name} w.r.t. \w at layers.py:{line}: ", ran.stdout)
    assert "Linear(in_features=4, out_features=5).backward(upstream) gives x" in ran.stdout
    assert {path.name for path in folder.iterdir()} <= {"layers.py", "__pycache__"}
    assert (folder / "layers.py").read_text().splitlines() == lines
