"""What a shell completes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from commands import environment, spec, write_project


def completed(words: str, folder: Path) -> list[str]:
    asked = {"_GRADAUDIT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    call = [sys.executable, "-m", "gradaudit"]
    told = subprocess.run(call, capture_output=True, text=True, env=environment(**asked), cwd=folder, check=False)
    assert told.stderr == ""
    return told.stdout.split()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("gradaudit guide from", ["from-gradcheck"]),
        ("gradaudit explain swi", ["swish"]),
        ("gradaudit explain s", ["swish", "shape-mismatch", "shifted", "sign-flipped"]),
        ("gradaudit history sw", ["swish"]),
        ("gradaudit mutate sw", ["swish"]),
        ("gradaudit hist", ["history"]),
        ("gradaudit run --sar", ["--sarif"]),
    ],
)
def test_names_are_completed(project: Path, words: str, found: list[str]) -> None:
    write_project(project, spec("swish"), spec("tanh"))
    assert set(found) <= set(completed(words, project))
    assert "tanh" not in completed(words, project)


def test_nothing_where_there_are_no_specs(project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool.gradaudit]\nspecs = 3\n")
    assert completed("gradaudit history sw", project) == []
