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


def recorded_in(project: Project) -> Path:
    """Return where runs of the current folder are recorded where nobody names a file."""
    return project.store if project.folder is not None or project.store.exists() else store_of_folder()


def store_of_folder() -> Path:
    """Return a file in the user's cache, one for each current folder: for specs that belong to no project."""
    return _in_cache(".db")


def page_of_folder() -> Path:
    """Return a file in the user's cache, one for each current folder: for the page that is looked at there."""
    return _in_cache(".html")


def _in_cache(suffix: str) -> Path:
    import hashlib

    from platformdirs import user_cache_path

    folder = Path.cwd()
    digest = hashlib.sha256(bytes(folder)).hexdigest()[:8]
    return user_cache_path("gradaudit") / f"{folder.name or 'root'}-{digest}{suffix}"
