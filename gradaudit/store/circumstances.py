"""What a run is made with: versions of what computes, and the commit that the project is at."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gradaudit.store.records import Circumstances

PACKAGES = ("gradaudit", "numpy", "scipy", "torch", "jax", "autograd", "tinygrad")
"""Whose versions are kept, where they are installed: what an op's numbers may depend on."""

GIT_PATIENCE = 2.0
"""Seconds that git may take to answer; a run does not wait longer to be recorded."""


def current_circumstances(folder: Path, *, narrowed: bool) -> Circumstances:
    """Return what a run in a folder is made with; ``narrowed`` tells whether it leaves cases out by choice."""
    commit = _git(folder, "rev-parse", "HEAD") or ""
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no") if commit else ""
    return Circumstances(_versions(), commit, dirty=bool(changed), narrowed=narrowed)


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git says, None where there is no git or no repository."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=GIT_PATIENCE, errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
