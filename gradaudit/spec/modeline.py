"""The first line of a spec, by which editors know its schema."""

from __future__ import annotations

import os
from pathlib import Path

SCHEMA_FILE = "gradaudit.schema.json"
"""What the file is called that ``gradaudit schema`` is written to, beside specs or in a folder above them."""


def modeline(spec: Path, top: Path) -> str:
    """Return the line for a spec, as the language server for YAML reads it; nothing where no schema was written.

    Args:
        spec: the spec's file.
        top: the folder of the project: no schema is looked for above it.

    """
    folder, top = spec.resolve().parent, top.resolve()
    for holder in (folder, *folder.parents):
        if (holder / SCHEMA_FILE).is_file():
            path = Path(os.path.relpath(holder / SCHEMA_FILE, folder)).as_posix()
            return f"# yaml-language-server: $schema={path}\n"
        if holder == top:
            break
    return ""
