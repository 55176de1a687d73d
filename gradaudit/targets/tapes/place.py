"""Where in a model's source something happens: the innermost line that is neither ours nor a library's."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from types import FrameType

_OURS = tuple(f"{Path(__file__).parents[2] / name}/" for name in ("flow", "targets", "engine", "checks", "numerics"))
_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))


def model_line() -> tuple[str, str]:
    """Return ``file:line`` of the line that called, and the function that it is in."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((*_OURS, *_LIBRARIES, "<")):
            return f"{_shown(file)}:{frame.f_lineno}", frame.f_code.co_qualname
        frame = frame.f_back
    return "", ""


def _shown(file: str) -> str:
    """Return a file as seen from the current folder, where it lies below."""
    try:
        return str(Path(file).relative_to(Path.cwd()))
    except ValueError:
        return file
