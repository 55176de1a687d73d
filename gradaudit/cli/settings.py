"""The settings of the project that a command is called in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gradaudit.cli.ending import leave

if TYPE_CHECKING:
    from gradaudit.spec.project import Project


def project_settings() -> Project:
    """Return the settings of the project around the current folder; leave where they are wrong."""
    from gradaudit.spec.errors import SpecError
    from gradaudit.spec.project import find_project

    try:
        return find_project(Path.cwd())
    except SpecError as error:
        leave(str(error))
