"""What a command imports, and that the first look at its arguments says what the parser says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from typer.testing import CliRunner

from gradaudit.cli.app import app
from gradaudit.cli.first_look import COMPLETION, plain_run
from gradaudit.cli.running import RunOptions

SPEC = """\
op: square
target:
  forward: squares:forward
  backward: squares:backward
inputs:
  x: {shape: [3]}
"""

SQUARES = """\
def forward(x):
    return x * x


def backward(upstream, x):
    return upstream * 2 * x
"""

HEAVY = {
    "coverage",
    "distributed",
    "gradaudit.diagnosis",
    "gradaudit.drafts",
    "gradaudit.explain",
    "gradaudit.models",
    "gradaudit.mutation",
    "gradaudit.record",
    "gradaudit.relations",
    "gradaudit.repair",
    "jinja2",
    "matplotlib",
    "multiprocessing",
    "numpy.ma",
    "pebble",
    "pydantic",
    "rich.markdown",
    "rich.progress",
    "scipy",
    "torch",
}
"""What neither help nor the audit of a right op has any use for."""

IN_HELP = {"gradaudit.checks", "gradaudit.numerics", "gradaudit.spec", "gradaudit.store", "numpy", "yaml"}


def imported(code: str, folder: Path, *arguments: str) -> set[str]:
    """Return the modules that a fresh process has when it ends."""
    told = folder / "modules.json"
    program = (
        "import atexit, json, pathlib, sys\n"
        f"atexit.register(lambda: pathlib.Path({str(told)!r}).write_text(json.dumps(sorted(sys.modules))))\n{code}"
    )
    subprocess.run([sys.executable, "-c", program, *arguments], cwd=folder, check=True, capture_output=True)
    return set(json.loads(told.read_text()))


COMMAND = "from gradaudit.cli import main; main()"


def test_the_package_imports_nothing_but_python(tmp_path: Path) -> None:
    found = {name for name in imported("import gradaudit", tmp_path) if name.startswith("gradaudit")}
    assert found == {"gradaudit"}
    assert not {"rich", "typer", "numpy"} & imported("import gradaudit", tmp_path)


def test_checking_an_op_from_python_needs_no_terminal(tmp_path: Path) -> None:
    code = (
        "import gradaudit, numpy as np\n"
        "gradaudit.check(gradaudit.op(np.square, lambda g, x: 2 * g * x), {'x': np.arange(3.0)}).assert_ok()"
    )
    assert (({"rich", "typer"} | HEAVY) & imported(code, tmp_path)) == set()


def test_help_imports_no_numbers(tmp_path: Path) -> None:
    assert ((HEAVY | IN_HELP | {"rich"}) & imported(COMMAND, tmp_path, "--help")) == set()


def test_the_audit_of_a_right_op_imports_what_it_uses(tmp_path: Path) -> None:
    (tmp_path / "square.yaml").write_text(SPEC)
    (tmp_path / "squares.py").write_text(SQUARES)
    found = imported(COMMAND, tmp_path, "run", "square.yaml", "-j", "0", "--no-store")
    assert "gradaudit.checks.gradient.check" in found
    assert ((HEAVY | {"typer"}) & found) == set()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.yaml"],
        ["a.yaml", "-j", "0", "b", "-q"],
        ["--jobs", "12", "--no-store", "--allow-inconclusive", "-v", "--table", "a"],
        ["-j", "1", "-j", "2", "-v", "-v", "./a b.yaml"],
    ],
)
def test_a_plain_run_is_read_as_the_parser_reads_it(arguments: list[str]) -> None:
    parsed: list[RunOptions] = []
    with patch("gradaudit.cli.run.run_audits", lambda options, began: parsed.append(options)):
        assert CliRunner().invoke(app, ["run", *arguments]).exit_code == 0
    assert [plain_run(["run", *arguments])] == parsed


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["lint"],
        ["run", "--help"],
        ["run", "-h"],
        ["run", "-j"],
        ["run", "-j", "x"],
        ["run", "-j", "-1"],
        ["run", "-j", "²"],
        ["run", "-j0"],
        ["run", "-qv"],
        ["run", "--jobs=0"],
        ["run", "--", "-q"],
        ["run", ""],
        ["run", "a", "-k", "b"],
        ["run", "--quite"],
    ],
)
def test_whatever_else_is_left_to_the_parser(arguments: list[str]) -> None:
    assert plain_run(arguments) is None


def test_a_shell_that_completes_words_is_answered_by_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COMPLETION, "complete_bash")
    assert plain_run(["run", "a"]) is None
