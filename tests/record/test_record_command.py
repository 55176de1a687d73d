"""``gradaudit record``: what runs, what is told, what is refused."""

from __future__ import annotations

from pathlib import Path

from recorded import cases, record, verdict
from typer.testing import CliRunner

from gradaudit.cli.app import app

SQUARE = "def square(x): return x * x\ndef square_backward(upstream, x): return 2 * x * upstream\n"
CALL = (
    "import numpy as np\nx = np.linspace(-1, 1, 6).reshape(2, 3)\ny = square(x)\nsquare_backward(np.ones((2, 3)), x)\n"
)


def test_the_script_sees_what_it_always_sees(folder: Path) -> None:
    (folder / "train.py").write_text(
        "import sys, pathlib\n"
        + SQUARE
        + CALL
        + "pathlib.Path('seen').write_text(repr((sys.argv, __name__, __file__, sys.path[0], square.__name__)))\n"
    )
    assert record("train.py", "--epochs", "3").exit_code == 0
    seen = (folder / "seen").read_text()
    assert seen == repr((["train.py", "--epochs", "3"], "__main__", "train.py", str(folder), "square"))


def test_a_module_is_run_by_its_name(folder: Path) -> None:
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("")
    (folder / "package" / "ops.py").write_text(SQUARE)
    (folder / "package" / "train.py").write_text("from .ops import square, square_backward\n" + CALL)
    assert record("-m", "package.train").exit_code == 0
    assert [verdict(case) for case in cases(folder)["square"]] == ["pass", "pass"]


def test_what_a_failing_script_did_before_is_used(folder: Path) -> None:
    (folder / "train.py").write_text(SQUARE + CALL + "raise ValueError('no more data')\n")
    ran = record("train.py")
    assert ran.exit_code == 1
    assert "the script ended with exit status 1; the calls recorded until then are used" in ran.output
    assert len(cases(folder)["square"]) == 2


def test_what_was_not_called_or_does_not_run_again_is_told_and_not_written(folder: Path) -> None:
    (folder / "train.py").write_text(
        SQUARE
        + "class Mesh:\n    def area(self): return 2.0\n"
        + "def flux(x, mesh): return x * mesh.area()\n"
        + "def flux_backward(upstream, x, mesh): return upstream * mesh.area()\n"
        + "def idle(x): return x\ndef idle_backward(upstream, x): return upstream\n"
        + CALL
        + "flux(x, Mesh())\n"
    )
    ran = record("train.py")
    assert ran.exit_code == 1
    assert "not called: idle_backward (train.py:8)" in ran.output
    assert "flux_backward: forward is given mesh, an object of type Mesh, which a spec cannot express" in ran.output
    assert sorted(file.name for file in (folder / "specs" / "train").iterdir()) == ["square.npz", "square.yaml"]


def test_no_spec_is_overwritten(folder: Path) -> None:
    (folder / "train.py").write_text(SQUARE + CALL)
    (folder / "specs" / "train").mkdir(parents=True)
    (folder / "specs" / "train" / "square.yaml").write_text("mine\n")
    ran = record("train.py")
    assert ran.exit_code == 1
    assert "square.yaml exists already" in ran.output
    assert [file.read_text() for file in (folder / "specs" / "train").iterdir()] == ["mine\n"]


def test_commands_that_run_no_script_are_refused(folder: Path) -> None:
    said = {
        ("python", "nowhere.py"): "there is no script 'nowhere.py'",
        ("python", "-c", "pass"): "code that is given as text (python -c) has no file",
        ("python",): "names no script",
        ("no-such-program",): "there is no script and no program 'no-such-program'",
    }
    for words, message in said.items():
        ran = CliRunner().invoke(app, ["record", "--", *words])
        assert ran.exit_code == 2
        assert message in ran.output


def test_a_script_without_backward_passes_is_told_of(folder: Path) -> None:
    (folder / "train.py").write_text("print('nothing')\n")
    ran = record("train.py")
    assert ran.exit_code == 2
    assert "no backward pass was found in the modules that the script imported" in ran.output


def test_a_function_that_is_called_a_million_times_is_no_longer_looked_at(folder: Path) -> None:
    (folder / "train.py").write_text(
        SQUARE + CALL + "for _ in range(200): square(x)\nfor k in range(2, 60): square(np.ones((k, 2)))\n"
    )
    assert record("train.py").exit_code == 0
    assert len(cases(folder)["square"]) == 6  # of three shapes, with two cases each


def test_values_of_calls_come_from_later_ones_where_the_first_are_zeros(folder: Path) -> None:
    (folder / "train.py").write_text(
        SQUARE + "import numpy as np\nx = np.zeros(4)\nfor _ in range(10):\n    square(x)\n    x = x + 1.0\n"
    )
    assert record("train.py").exit_code == 0
    assert cases(folder)["square"][0].inputs[0].values.tolist() == [9.0] * 4


def test_bytecode_and_files_are_left_as_they_are(folder: Path) -> None:
    (folder / "ops.py").write_text(SQUARE)
    (folder / "train.py").write_text("from ops import *\n" + CALL)
    record("train.py")
    assert (folder / "ops.py").read_text() == SQUARE
    assert not (folder / "__pycache__").exists()
