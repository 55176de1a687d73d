"""``explain --fix`` and ``run --repair``, as people call them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

OPS = """\
import numpy as np


def cubed(x):
    return x**3


def cubed_backward(upstream, x):
    return 2 * upstream * x**2
"""

SPEC = """\
op: cubed
target: {forward: 'cubed_ops:cubed', backward: 'cubed_ops:cubed_backward'}
inputs:
  x: {shape: [2, 3], range: [0.5, 2.0]}
"""


@pytest.fixture(autouse=True)
def _files(project: Path) -> None:
    (project / "cubed_ops.py").write_text(OPS)
    (project / "cubed.yaml").write_text(SPEC)


EXPLAIN = ("explain", "cubed", "--specs", "cubed.yaml", "-j", "0", "--fix", "--fix-seconds", "5")


def test_the_diff_is_shown(gradaudit) -> None:
    found = gradaudit(*EXPLAIN)
    assert found.exit_code == 1
    assert "Likely repair: cubed_ops.py:9" in found.stdout
    assert "-    return 2 * upstream * x**2\n+    return 3 * upstream * x**2" in found.stdout


def test_the_diff_is_in_json(gradaudit) -> None:
    record = json.loads(gradaudit(*EXPLAIN, "--format", "json").stdout)
    (repair,) = record["repairs"]
    assert {key: repair[key] for key in ("applicability", "file", "line", "inputs")} == {
        "applicability": "verified",
        "file": "cubed_ops.py",
        "line": 9,
        "inputs": ["x"],
    }
    assert repair["confirmed"]["draws"] > 0
    assert repair["diff"].startswith("--- cubed_ops.py\n+++ cubed_ops.py\n@@ ")


def test_it_is_written_after_asking(gradaudit, project: Path) -> None:
    kept = gradaudit(*EXPLAIN, "--write")  # nobody answers
    assert (project / "cubed_ops.py").read_text() == OPS, kept.output
    written = gradaudit(*EXPLAIN, "--write", "--yes")
    assert "written into cubed_ops.py" in written.stderr
    assert (project / "cubed_ops.py").read_text() == OPS.replace("2 * upstream", "3 * upstream")


def test_writing_needs_a_search(gradaudit) -> None:
    found = gradaudit("explain", "cubed", "--specs", "cubed.yaml", "-j", "0", "--write")
    assert found.exit_code == 2
    assert "--fix" in found.stderr


def test_a_run_searches_for_all_that_failed(gradaudit) -> None:
    found = gradaudit("run", "cubed.yaml", "--repair", "--json", "made.json")
    assert "Repair of cubed" in found.stdout
    assert "+    return 3 * upstream * x**2" in found.stdout
    (entry,) = json.loads(Path("made.json").read_text())["repairs"]
    assert entry["op"] == "cubed"
    assert [made["applicability"] for made in entry["repairs"]] == ["verified"]
