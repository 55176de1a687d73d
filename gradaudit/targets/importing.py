"""Importing the functions that specs name, from the current folder, the spec's own, and what is installed."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from gradaudit.spec.errors import nearest
from gradaudit.targets.op import OpError, raised


class UnknownNameError(OpError):
    """There is no module, or no function in it, of the name that was asked for."""


def import_function(name: str, folder: Path) -> Callable[..., Any]:
    """Return the function that ``module:function`` names.

    Modules are looked for in the current folder, then in ``folder``, then where Python looks. A module of the same
    name that was imported earlier from another folder is imported anew, unless it is of this package.

    Raises:
        UnknownNameError: saying what is missing, with the nearest name that exists.
        OpError: where importing the module raises.

    """
    module_name, _, attribute = name.partition(":")
    found: Any = import_module(module_name, folder)
    for part in attribute.split("."):
        if not hasattr(found, part):
            owner = getattr(found, "__name__", module_name)
            known = [known for known in dir(found) if not known.startswith("_")]
            raise UnknownNameError(f"module '{owner}' has no '{part}'{nearest(part, known)}")
        found = getattr(found, part)
    if not callable(found):
        raise UnknownNameError(f"'{name}' is not a function: found {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def import_module(name: str, folder: Path) -> Any:
    """Return the module of a dotted name, looked for as ``import_function`` does.

    Raises:
        OpError: where it cannot be imported.

    """
    _look_first_in(os.getcwd(), str(folder))
    _forget_namesake(name.partition(".")[0])
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise UnknownNameError(f"there is no module '{error.name}'{_nearest_module(error.name, folder)}") from None
        raise raised(f"importing '{name}'", error) from None
    except (Exception, SystemExit) as error:
        raise raised(f"importing '{name}'", error) from None


_OURS = __name__.partition(".")[0]

_brought: set[str] = set()
"""Folders that are on the path for the sake of specs only."""

_settled: dict[str, tuple[ModuleSpec, list[str]]] = {}
"""Modules that are those which Python finds, and the path on which it does."""


def _look_first_in(*places: str) -> None:
    """Put these folders first on the path; those of other specs leave it, with the modules imported from them.

    A module left behind would answer for its namesake in another spec's folder, and that op would not be the one
    that is audited.
    """
    stale = _brought.difference(places)
    for name, module in list(sys.modules.items()) if stale else ():
        origin = getattr(getattr(module, "__spec__", None), "origin", None) or ""
        homes = [entry for entry in sys.path if entry and origin.startswith(entry + os.sep)]
        if max(homes, key=len, default="") in stale:
            del sys.modules[name]
    _brought.difference_update(stale)
    _brought.update(place for place in places if place not in sys.path)
    sys.path[:] = [*dict.fromkeys(places), *(entry for entry in sys.path if entry not in {*places, *stale, ""})]


def _forget_namesake(top: str) -> None:
    """Drop a cached module that Python would find elsewhere now: two specs' folders may hold modules of one name.

    Never this package: in a checkout of it the current folder holds another copy, and a process with half of each would
    not know its own results.
    """
    cached = getattr(sys.modules.get(top), "__spec__", None)
    if top == _OURS or cached is None or not cached.has_location:
        return
    settled, path = _settled.get(top, (None, []))
    if settled is cached and path == sys.path:
        return
    current = PathFinder.find_spec(top)
    if current is None or current.origin == cached.origin:
        _settled[top] = cached, sys.path.copy()
    else:
        for known in [known for known in sys.modules if known == top or known.startswith(f"{top}.")]:
            del sys.modules[known]


def _nearest_module(name: str, folder: Path) -> str:
    parent, _, last = name.rpartition(".")
    places = [Path(place) for place in getattr(sys.modules.get(parent), "__path__", [Path.cwd(), folder])]
    siblings = {entry.stem for place in places if place.is_dir() for entry in place.iterdir() if _is_module(entry)} - {
        last
    }
    match = nearest(last, sorted(siblings))
    return match.replace("'", f"'{parent}.", 1) if match and parent else match


def _is_module(entry: Path) -> bool:
    return (entry.suffix == ".py" and entry.is_file()) or (entry.is_dir() and (entry / "__init__.py").exists())
