"""Specs that 'gradaudit init' writes of sources: they load, and judge as the sources themselves are judged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from test_repositories import REPOSITORIES, WRONG
from typer.testing import CliRunner

from gradaudit.cli.app import app
from gradaudit.engine.audit import audit_case
from gradaudit.results import worst
from gradaudit.spec.load import load_specs


@pytest.mark.parametrize("style", ["course", "network", "script", "tape"])
def test_specs_of_a_folder_judge_as_the_folder_is_judged(folder: Path, style: str) -> None:
    shutil.copytree(REPOSITORIES / style, folder / style)
    ran = CliRunner().invoke(app, ["init", style])
    assert ran.exit_code == 0, ran.output
    assert ran.output.count("wrote specs/") == 8
    cases = load_specs([folder / "specs"]).cases
    verdicts = {case.op: str(worst([result.verdict for result in audit_case(case).results])) for case in cases}
    assert {op for op, verdict in verdicts.items() if verdict == "fail"} == WRONG[style]
    assert len(verdicts) == 8
    assert not (folder / "weights.txt").exists()  # which the script would write


def test_a_spec_of_c_functions_says_how_to_build_the_library(folder: Path) -> None:
    shutil.copytree(REPOSITORIES / "clib", folder / "clib")
    assert CliRunner().invoke(app, ["init", "clib"]).exit_code == 0
    text = (folder / "specs" / "layers" / "linear.yaml").read_text()
    assert "cc -O2 -shared -fPIC layers.c -o liblayers.so -lm" in text
    assert "path: ../../clib/liblayers.so" in text
    assert "dout: out" in text


def test_what_cannot_be_called_is_told_of_and_does_not_stop_the_others(folder: Path) -> None:
    (folder / "ops.py").write_text(
        "def square(x): return x * x\n"
        "def square_backward(upstream, x): return 2 * x * upstream\n"
        "def lost_backward(upstream, x): return upstream\n"
    )
    ran = CliRunner().invoke(app, ["init", "ops.py"])
    assert ran.exit_code == 1
    assert "wrote specs/ops/square.yaml: square_backward(upstream, x) gives x" in ran.output
    assert "not written: ops.py:3 lost_backward: how is it called? there is no forward beside" in ran.output
    assert [path.name for path in (folder / "specs" / "ops").iterdir()] == ["square.yaml"]


def test_no_spec_is_overwritten(folder: Path) -> None:
    (folder / "ops.py").write_text("def sq(x): return x * x\ndef sq_backward(u, x): return 2 * x * u\n")
    (folder / "specs" / "ops").mkdir(parents=True)
    (folder / "specs" / "ops" / "sq.yaml").write_text("mine\n")
    ran = CliRunner().invoke(app, ["init", "ops.py"])
    assert ran.exit_code == 1
    assert "specs/ops/sq.yaml exists already" in ran.output
    assert (folder / "specs" / "ops" / "sq.yaml").read_text() == "mine\n"
