"""Specs of frameworks on the command line: audited where the framework is there, passed over where it is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import spec, write_project
from typer.testing import Result

from gradaudit.targets import frameworks

Command = Callable[..., Result]

INPUT = {"inputs": {"x": {"shape": [3]}}}
SINE = {"op": "sine", "target": {"torch": "torch:sin"}, "dtype": ["float32", "float64"], **INPUT}
COSINE = {"op": "cosine", "target": {"jax": "jax.numpy:cos"}, **INPUT}


@pytest.fixture
def without_frameworks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frameworks, "find_spec", lambda name: None)


@pytest.mark.usefixtures("without_frameworks")
class TestMissing:
    def test_the_others_are_audited_and_a_line_tells_of_each(self, gradaudit: Command, project: Path) -> None:
        write_project(project, spec("good"), SINE, COSINE)
        found = gradaudit("run", "specs")
        assert found.exit_code == 0
        assert found.stdout.splitlines()[:2] == [
            "skipped: torch is not installed (2 cases; pip install 'gradaudit[torch]')",
            "skipped: jax is not installed (1 case; pip install 'gradaudit[jax]')",
        ]
        assert "1 gradient, 1 op, 1 case: 1 pass, 3 skipped" in found.stdout

    def test_a_run_of_nothing_else_does_not_look_like_success(self, gradaudit: Command, project: Path) -> None:
        write_project(project, SINE)
        found = gradaudit("run", "specs")
        assert found.exit_code == 1
        assert "nothing was audited, 2 skipped" in found.stdout

    def test_json_counts_what_was_audited(self, gradaudit: Command, project: Path) -> None:
        write_project(project, spec("good"), SINE)
        gradaudit("run", "specs", "--json", "results.json")
        assert [row["op"] for row in json.loads((project / "results.json").read_text())["results"]] == ["good"]

    def test_mutate_passes_them_over(self, gradaudit: Command, project: Path) -> None:
        ops = "import no_such_framework\n\n\ndef sine(x):\n    return no_such_framework.sin(x)\n"
        (project / "in_torch.py").write_text(ops)
        write_project(project, spec("good"), {**SINE, "target": {"torch": "in_torch:sine"}})
        found = gradaudit("mutate", "--specs", "specs", "-j", "1", "--no-store")
        assert found.exit_code in (0, 1), found.output
        assert "no_such_framework" not in found.output
        assert "good" in found.output

    def test_explain_says_how_to_install_it(self, gradaudit: Command, project: Path) -> None:
        write_project(project, SINE)
        found = gradaudit("explain", "sine", "--specs", "specs")
        assert found.exit_code == 2
        assert "target.torch: torch is not installed: pip install 'gradaudit[torch]'" in found.stderr


def test_a_folder_of_the_name_is_no_framework(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "tinygrad").mkdir()
    monkeypatch.setattr("sys.path", [str(project)])
    monkeypatch.delitem(__import__("sys").modules, "tinygrad", raising=False)
    assert not frameworks.is_installed("tinygrad")


@pytest.mark.parametrize(("framework", "document"), [("torch", SINE), ("jax", COSINE)])
def test_functions_of_a_framework_itself_can_be_named(
    gradaudit: Command, project: Path, framework: str, document: dict[str, object]
) -> None:
    pytest.importorskip(framework)
    write_project(project, document)
    found = gradaudit("run", "specs")
    assert (found.exit_code, "fail" in found.stdout) == (0, False)


def test_a_module_is_explained_with_its_parameters(gradaudit: Command, project: Path) -> None:
    pytest.importorskip("torch")
    source = "from torch import nn\n\n\ndef layer():\n    return nn.Linear(3, 2)\n"
    (project / "layers.py").write_text(source)
    inputs = {"x": {"shape": [4, 3]}}
    write_project(project, {"op": "layer", "target": {"torch": "layers:layer"}, "inputs": inputs})
    found = gradaudit("explain", "layer", "--specs", "specs", "--all")
    assert found.exit_code == 0
    assert "3 gradients in 1 case: 3 pass" in found.stdout
    assert "at.gradient('x')" in found.stdout


def test_the_second_order_is_explained_with_a_curve_for_the_upstream(gradaudit: Command, project: Path) -> None:
    pytest.importorskip("torch")
    write_project(project, {**SINE, "dtype": "float64", "modes": ["reverse", "second"]})
    found = gradaudit("explain", "sine", "--specs", "specs", "--case", "default+second", "--all")
    assert found.exit_code == 0
    assert "Gradient w.r.t. upstream[0]: pass (case default+second, float64)" in found.stdout
    assert "There is no step-size curve" not in found.stdout


def test_what_is_not_there_is_refused_with_the_nearest_name(gradaudit: Command, project: Path) -> None:
    pytest.importorskip("torch")
    write_project(project, {**SINE, "target": {"torch": "torch:sinn"}})
    found = gradaudit("run", "specs")
    assert found.exit_code == 2
    assert "target.torch: module 'torch' has no 'sinn'; did you mean 'sin'?" in found.stderr
