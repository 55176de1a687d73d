"""``run --changed``: what differs from a commit is audited, and nothing else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import spec, write_project
from typer.testing import Result

Command = Callable[..., Result]

SHARED = """
SCALE = 2.0


def scaled(x):
    return SCALE * x


def scaled_backward(u, x):
    return factor() * u


def factor():
    return SCALE
"""


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def committed(project: Path) -> Path:
    """A repository of three ops, all of it committed."""
    write_project(project, spec("right"), spec("again", dtype=["float32", "float64"]), SCALED)
    (project / "shared.py").write_text(SHARED)
    (project / ".gitignore").write_text("imported\nout.json\n__pycache__\n")
    git(project, "init", "-q", "-b", "main")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "begun")
    return project


SCALED = spec("scaled") | {"target": {"forward": "shared:scaled", "backward": "shared:scaled_backward"}}


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.fixture
def audited(gradaudit: Command) -> Callable[..., list[str]]:
    """Return the ids of the cases that a run audits."""

    def ids(*options: str) -> list[str]:
        ended = gradaudit("run", *options, "-q", "--json", "out.json")
        assert ended.exit_code == 0, ended.output
        found = json.loads(Path("out.json").read_text())["results"]
        return [f"{result['op']}[{result['dtype']}]" for result in found]

    return ids


def test_nothing_where_nothing_changed(gradaudit: Command, committed: Path) -> None:
    ended = gradaudit("run", "--changed")
    assert ended.exit_code == 0
    assert ended.stderr.startswith("0 of 3 ops differ from commit ")
    assert ended.stdout.startswith("0 gradients, 0 ops, 0 cases: nothing was audited")


def test_an_op_whose_function_changed(audited, committed: Path) -> None:
    edit(committed / "shared.py", "return factor() * u", "return u * factor()")
    assert audited("--changed") == ["scaled[float64]"]


def test_an_op_that_reaches_what_changed(audited, committed: Path) -> None:
    edit(committed / "shared.py", "SCALE = 2.0", "SCALE = 3.0")
    assert audited("--changed") == ["scaled[float64]"]


def test_comments_and_neighbours_are_no_change(audited, committed: Path) -> None:
    edit(committed / "shared.py", "def factor", "# by how much\ndef another():\n    return 1\n\n\ndef factor")
    assert audited("--changed") == []


def test_cases_whose_spec_changed(audited, committed: Path) -> None:
    cases = [{"name": "default"}, {"name": "wide", "inputs": {"x": {"shape": [3, 4]}}}]
    write_project(committed, spec("right", cases=cases), spec("again", dtype=["float32", "float64"], seed=1), SCALED)
    assert audited("--changed") == ["right[float64]", "again[float32]", "again[float64]"]


def test_a_spec_that_git_does_not_know(audited, committed: Path) -> None:
    write_project(committed, spec("young"), name="more")
    assert audited("--changed", "specs", "more") == ["young[float64]"]


def test_what_a_branch_changed(audited, committed: Path, gradaudit: Command) -> None:
    git(committed, "checkout", "-q", "-b", "work")
    edit(committed / "shared.py", "return factor() * u", "return u * factor()")
    git(committed, "commit", "-q", "-am", "on the branch")
    git(committed, "checkout", "-q", "main")
    edit(committed / "kernels.py", "return 2 * x * u", "return x * 2 * u")
    git(committed, "commit", "-q", "-am", "elsewhere")
    git(committed, "checkout", "-q", "work")
    assert audited("--changed") == []
    assert audited("--since", "main") == ["scaled[float64]"]
    told = gradaudit("run", "--since", "mian")
    assert told.exit_code == 2
    assert told.stderr.startswith("--since: ")
    assert "mian" in told.stderr


def test_a_source_that_is_audited_without_a_spec(audited, committed: Path) -> None:
    assert audited("--changed", "shared.py") == []
    edit(committed / "shared.py", "return factor() * u", "return u * factor()")
    assert len(audited("--changed", "shared.py")) > 0


def test_from_a_folder_of_the_repository(audited, committed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(committed / "shared.py", "SCALE = 2.0", "SCALE = 3.0")
    monkeypatch.chdir(committed / "specs")
    (committed / "shared.py").rename(committed / "specs" / "shared.py")
    (committed / "kernels.py").rename(committed / "specs" / "kernels.py")
    assert set(audited("--changed", "ops.yaml")) >= {"scaled[float64]"}


def test_where_the_last_commit_cannot_be_loaded_everything_is_audited(audited, committed: Path) -> None:
    file = committed / "specs" / "ops.yaml"
    text = file.read_text()
    file.write_text(text + "steps: 3\n")
    git(committed, "commit", "-q", "-am", "broken")
    file.write_text(text)
    assert len(audited("--changed")) == 4


def test_where_there_is_no_repository_that_is_said(
    gradaudit: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    write_project(project, spec("right"))
    told = gradaudit("run", "--changed")
    assert told.exit_code == 2
    assert told.stderr.startswith("--changed: not a git repository")


def test_before_the_first_commit_everything_is_audited(gradaudit: Command, project: Path) -> None:
    write_project(project, spec("right"))
    git(project, "init", "-q")
    ended = gradaudit("run", "--changed", "-q")
    assert (ended.exit_code, ended.stderr) == (0, "1 of 1 ops differ from the last commit: there is none yet\n")
