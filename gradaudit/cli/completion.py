"""What a shell completes: the names of guides, of finding codes, and of the ops of a project's specs."""

from __future__ import annotations

import os
import re
from pathlib import Path

OP = re.compile(r"""^op:\s*["']?([\w.-]+)""", re.MULTILINE)
"""How a spec names its op; completion has no time to read more of it."""


def guides(incomplete: str) -> list[str]:
    """Return the guides that begin so."""
    from gradaudit.guides import guide_names

    return [name for name in guide_names() if name.startswith(incomplete)]


def ops(incomplete: str) -> list[str]:
    """Return the ops of the project's specs that begin so; none where its settings are wrong."""
    from gradaudit.spec.errors import SpecError
    from gradaudit.spec.project import find_project

    try:
        paths = find_project(Path.cwd()).specs
    except SpecError:
        return []
    texts = (file.read_text(encoding="utf-8", errors="replace") for path in paths for file in _yaml(path))
    return sorted({name for text in texts for name in OP.findall(text) if name.startswith(incomplete)})


def ops_and_codes(incomplete: str) -> list[str]:
    """Return the ops and the codes of findings that begin so."""
    from gradaudit.guides import finding_names

    return [*ops(incomplete), *(code for code in finding_names() if code.startswith(incomplete))]


def _yaml(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    walked = os.walk(path)
    return [Path(folder, name) for folder, _, names in walked for name in names if name.endswith((".yaml", ".yml"))]
