"""What a project says of itself: ``[tool.gradaudit]`` in the nearest ``pyproject.toml``."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradaudit.spec.case import Location
from gradaudit.spec.errors import Problem, SpecError, nearest

KEYS = ("specs",)
DEFAULT_SPECS = Path("specs")


@dataclass(frozen=True)
class Project:
    """Settings of a project; ``specs`` are the paths audited where none are given."""

    specs: tuple[Path, ...] = (DEFAULT_SPECS,)


def find_project(folder: Path) -> Project:
    """Return the settings in the nearest ``pyproject.toml`` at or above a folder, the defaults where there are none.

    Raises:
        SpecError: where the file is not TOML, or the settings are not what is expected.

    """
    for parent in (folder, *folder.parents):
        file = parent / "pyproject.toml"
        if file.is_file():
            return _read(file, folder)
    return Project()


def _read(file: Path, folder: Path) -> Project:
    try:
        text = file.read_text(encoding="utf-8")
        settings: Any = tomllib.loads(text).get("tool", {}).get("gradaudit", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        found = re.search(r"line (\d+), column (\d+)", str(error))
        where = Location(file, int(found[1]), int(found[2])) if found else Location(file, 1, 1)
        raise SpecError([Problem(where, f"is not valid TOML: {error}")]) from None
    line = next((k for k, row in enumerate(text.splitlines(), 1) if row.strip() == "[tool.gradaudit]"), 1)
    where = Location(file, line, 1)
    problems = [
        Problem(where, f"tool.gradaudit: unknown key '{key}'{nearest(key, KEYS) or '; expected specs'}")
        for key in settings
        if key not in KEYS
    ]
    given = settings.get("specs", [str(DEFAULT_SPECS)])
    if not isinstance(given, list) or not all(isinstance(path, str) for path in given):
        problems.append(Problem(where, f"tool.gradaudit.specs: expected a list of paths, found {given!r}"))
    if problems:
        raise SpecError(problems)
    return Project(specs=tuple(_relative(file.parent / path, folder) for path in given))


def _relative(path: Path, folder: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else path
