"""Without PATHS: what ``[tool.gradaudit]`` in the nearest pyproject.toml names, else ``specs/``."""

from __future__ import annotations

import pytest
from commands import spec, write_project


def test_the_default_is_the_folder_specs(gradaudit, project) -> None:
    write_project(project, spec("right"))
    assert gradaudit("run", "-q").stdout.startswith("1 gradient, 1 op")


def test_the_paths_of_the_project(gradaudit, project) -> None:
    write_project(project, spec("first"), name="audits")
    write_project(project, spec("second"), name="more/audits")
    write_project(project, spec("third"), name="specs")
    (project / "pyproject.toml").write_text('[tool.gradaudit]\nspecs = ["audits", "more"]\n')
    assert gradaudit("run", "-q").stdout.startswith("2 gradients, 2 ops")


def test_paths_on_the_command_line_win(gradaudit, project) -> None:
    write_project(project, spec("first"), name="audits")
    write_project(project, spec("second"), spec("third"), name="specs")
    (project / "pyproject.toml").write_text('[tool.gradaudit]\nspecs = ["audits"]\n')
    assert gradaudit("run", "-q", "specs").stdout.startswith("2 gradients, 2 ops")
    assert gradaudit("run", "-q", "--specs", "specs").stdout.startswith("2 gradients, 2 ops")


def test_a_folder_below_the_project(gradaudit, project, monkeypatch) -> None:
    write_project(project, spec("first"), name="audits")
    (project / "audits" / "kernels.py").write_text((project / "kernels.py").read_text())
    (project / "pyproject.toml").write_text('[tool.gradaudit]\nspecs = ["audits"]\n')
    (project / "deep" / "down").mkdir(parents=True)
    monkeypatch.chdir(project / "deep" / "down")
    assert gradaudit("run", "-q").stdout.startswith("1 gradient, 1 op")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.gradaudit]\nspec = ['x']\n", "pyproject.toml:2:1: tool.gradaudit: unknown key 'spec'; did you mean"),
        ("\n[tool.gradaudit]\n  specs = 'x'\n", "pyproject.toml:3:3: tool.gradaudit.specs: expected a list of paths"),
        ("[tool.gradaudit]\nspecs = [3]\n", "pyproject.toml:2:1: tool.gradaudit.specs: expected a list of paths"),
        (
            "[tool.gradaudit]\n  budget = true\n",
            "pyproject.toml:2:3: tool.gradaudit.budget: expected a whole number of calls, 1 or more, found True",
        ),
        ("[tool]\ngradaudit = 3\n", "pyproject.toml:2:1: tool.gradaudit: expected a table, found 3"),
        (
            "[tool.gradaudit]\n\n[tool.gradaudit.tolerance]\nfloat64 = {rtol = 1}\nfloat63 = {rtol = 1}\n",
            "pyproject.toml:5:1: tool.gradaudit.tolerance: unknown dtype 'float63'; did you mean 'float64'?",
        ),
        (
            "[tool.other]\ntolerance = 1\n[tool.gradaudit]\ntolerance = {float64 = 3}\n",
            "pyproject.toml:4:1: tool.gradaudit.tolerance.float64: expected rtol, atol or both, found 3",
        ),
        (
            "[tool.gradaudit]\ntolerance.float64.rtol = -1  # [tool.gradaudit]\n",
            "pyproject.toml:2:1: tool.gradaudit.tolerance.float64: expected finite numbers",
        ),
        (
            "[tool.gradaudit]\nlint.select = ['a']\n'lint'.\"ignored\" = []\n",
            "pyproject.toml:3:1: tool.gradaudit.lint: unknown key 'ignored'; did you mean 'ignore'?",
        ),
        ("[tool.gradaudit]\nignore = 'x'\n", "tool.gradaudit.ignore: expected a list of patterns"),
        ("[tool.gradaudit]\nsources = ['']\n", "tool.gradaudit.sources: expected a list of paths"),
        ("[tool.gradaudit]\nstore = 1\n", "tool.gradaudit.store: expected a path"),
        ("[tool.gradaudit]\npatterns = {'*.x' = 1}\n", "tool.gradaudit.patterns: expected a table of file patterns"),
        ("[tool\n", "pyproject.toml:1:6: is not valid TOML"),
        ("[tool.gradaudit]\nspecs = ['audits']\n", "audits:1:1: does not exist"),
    ],
)
def test_mistakes_in_it(gradaudit, project, text: str, said: str) -> None:
    (project / "pyproject.toml").write_text(text)
    found = gradaudit("run")
    assert found.exit_code == 2
    assert said in found.stderr
    assert "Traceback" not in found.output


def test_mistakes_in_it_do_not_matter_where_paths_are_given(gradaudit, project) -> None:
    write_project(project, spec("right"))
    (project / "pyproject.toml").write_text("[tool.gradaudit]\nspec = 3\n")
    assert gradaudit("run", "specs").exit_code == 0


def test_explain_audits_with_its_tolerances(gradaudit, project) -> None:
    write_project(project, spec("right"))
    (project / "pyproject.toml").write_text("[tool.gradaudit.tolerance]\nfloat64 = {rtol = 3e-6}\n")
    found = gradaudit("explain", "right", "-j", "0", "--all")
    assert found.exit_code == 0
    assert "rtol=3e-6, atol=1e-9: from the spec or the project" in " ".join(found.stdout.split())


def test_a_file_with_nothing_for_us(gradaudit, project) -> None:
    write_project(project, spec("right"))
    for text in ("tool = 3\n", "[tool.other]\n", ""):
        (project / "pyproject.toml").write_text(text)
        assert gradaudit("run", "-q").exit_code == 0
    assert not (project / "reports").exists()


def test_no_specs_at_all(gradaudit, project) -> None:
    found = gradaudit("run")
    assert found.exit_code == 2
    assert "specs:1:1: does not exist: give files or folders with --specs" in found.stderr
