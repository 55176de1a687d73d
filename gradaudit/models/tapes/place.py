"""Where in a model's source something happens: the innermost line that is neither ours nor a library's.

A model that is installed is a library itself: of that, the outermost line is named, which the audit calls.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from types import FrameType

_PACKAGE = Path(__file__).parents[2]
_OURS = tuple(f"{_PACKAGE / name}/" for name in ("audit", "models", "targets", "engine", "checks", "numerics", "tape"))
_ADAPTERS = f"{_PACKAGE / 'models'}/"

_CALLER = str(_PACKAGE / "models" / "op.py")
"""Where models and losses are called from: what lies beyond is no line of theirs."""

_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))

_FRAMEWORKS = tuple(f"{folder}/{name}/" for folder in _LIBRARIES for name in ("torch", "tinygrad"))
"""Lines of these say nothing about a model that is installed beside them."""


def model_line() -> tuple[str, str]:
    """Return ``file:line`` of the line that called, and the function that it is in."""
    frame: FrameType | None = sys._getframe(1)
    outermost: FrameType | None = None
    while frame is not None and not (file := frame.f_code.co_filename).startswith(_CALLER):
        if not file.startswith((*_OURS, *_LIBRARIES, "<")):
            return _told(frame)
        if not file.startswith((*_OURS, *_FRAMEWORKS, "<")):
            outermost = frame
        frame = frame.f_back
    return ("", "") if outermost is None else _told(outermost)


def made_by_package_of(kind: type) -> bool:
    """Whether the line that called, beyond our own, is one of the framework that a class of tensors belongs to."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_ADAPTERS):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename.startswith(_files_of(kind))


def _files_of(kind: type) -> str:
    """Return the folder of a class's package, the file of its module where that is in none."""
    package, _, rest = kind.__module__.partition(".")
    ours = package == _PACKAGE.name
    name = kind.__module__.rpartition(".")[0] if ours else package
    module = sys.modules.get(name if rest else kind.__module__)
    file = getattr(module, "__file__", None) or "<nowhere>"
    return f"{Path(file).parent}/" if Path(file).name == "__init__.py" else file


def _told(frame: FrameType) -> tuple[str, str]:
    return f"{shown(frame.f_code.co_filename)}:{frame.f_lineno}", frame.f_code.co_qualname


def shown(file: str) -> str:
    """Return a file as seen from the current folder, where it lies below."""
    try:
        return str(Path(file).relative_to(Path.cwd()))
    except ValueError:
        return file
