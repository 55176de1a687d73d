"""Attributes by the names that a description has for them; what is there instead where there is none."""

from __future__ import annotations

import linecache
import re
import sys
from typing import Any

from gradaudit.models.tapes.tape import TapeError
from gradaudit.spec.errors import nearest


def read(owner: Any, name: str, what: str, *, call: bool = True) -> Any:
    """Return what a dotted name leads to; a method is called without arguments where ``call`` is said.

    Raises:
        TapeError: where there is no such attribute: ``what`` is what the name was given for.

    """
    found = owner
    for part in name.split("."):
        if not hasattr(found, part):
            known = sorted({one for one in (*dir(found), *getattr(found, "__dict__", {})) if not one.startswith("__")})
            has = f"it has {', '.join(known)}" if known else "it has no attributes"
            raise TapeError(f"{what}: {type(found).__name__} has no '{part}'{nearest(part, known)}; {has}")
        found = getattr(found, part)
        if call and _is_method(found):
            found = found()
    return found


def write(owner: Any, name: str, value: Any) -> None:
    """Set what a dotted name leads to.

    Raises:
        TapeError: where it cannot be set.

    """
    *above, last = name.split(".")
    for part in above:
        owner = getattr(owner, part)
    try:
        setattr(owner, last, value)
    except AttributeError as error:
        raise TapeError(f"tape: {last} of {type(owner).__name__} cannot be set: {error}") from None


def is_mentioned(name: str, kind: type) -> bool:
    """Whether the package of a class names an attribute anywhere in its source: its tensors may get it later."""
    top = kind.__module__.partition(".")[0]
    word = re.compile(rf"\b{re.escape(name)}\b")
    modules = [module for key, module in list(sys.modules.items()) if key.partition(".")[0] == top]
    files = {str(module.__file__) for module in modules if getattr(module, "__file__", None)}
    return any(word.search("".join(linecache.getlines(file))) for file in files)


def _is_method(value: Any) -> bool:
    return callable(value) and hasattr(value, "__self__") and not isinstance(value, type)
