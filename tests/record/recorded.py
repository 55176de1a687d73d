"""Scripts that are recorded in processes of their own, and what their specs say of them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner, Result

from gradaudit.cli.app import app
from gradaudit.engine.audit import audit_case
from gradaudit.results import worst
from gradaudit.spec.case import Case
from gradaudit.spec.load import load_specs

SCRIPTS = Path(__file__).parent / "scripts"
Recorded = Callable[[str], Result]
"""Records a script by its name, and returns what the command said."""

REPOSITORIES = Path(__file__).parents[1] / "drafts" / "repositories"


def record(*words: str) -> Result:
    """Record a command that is run by this Python."""
    return CliRunner().invoke(app, ["record", "--", sys.executable, *words])


def copied(style: str, folder: Path) -> None:
    """Put a repository and the script that trains with it into a folder."""
    if (REPOSITORIES / style).is_dir() and style not in ("script", "clib"):
        shutil.copytree(REPOSITORIES / style, folder, dirs_exist_ok=True)
    shutil.copy(SCRIPTS / f"{style}.py", folder / "train.py")


def cases(folder: Path = Path()) -> dict[str, list[Case]]:
    """Return the cases of the specs that were written, by op."""
    found: dict[str, list[Case]] = {}
    for case in load_specs([folder / "specs"]).cases:
        found.setdefault(case.op, []).append(case)
    return found


def verdict(case: Case) -> str:
    """Return the worst verdict of a case."""
    return str(worst([result.verdict for result in audit_case(case).results]))
