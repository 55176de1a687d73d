"""What other packages add: checks, kinds of targets and formats of reports, found by their entry points.

What a package adds is an object of the class that the tables of this package hold. It is imported when it is used.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

CHECKS = "gradaudit.checks"
TARGETS = "gradaudit.targets"
REPORTS = "gradaudit.reports"

WORDS = {CHECKS: "check", TARGETS: "target kind", REPORTS: "report format"}
"""What an entry point of each group adds."""

Added = TypeVar("Added")


class ExtensionError(Exception):
    """What a package adds cannot be imported, or is something else than its group is for."""


@dataclass(frozen=True)
class Extension:
    """What a package adds, as its entry point names it.

    Attributes:
        group: the entry point's group.
        name: what it is asked for by; of a check, the code of its finding.
        value: what is imported, ``module:attribute``.
        package: the name of the package and its version.

    """

    group: str
    name: str
    value: str
    package: str

    @property
    def module(self) -> str:
        """The module that is imported."""
        return self.value.partition(":")[0].strip()

    def __str__(self) -> str:
        return f"{WORDS[self.group]} '{self.name}' of package {self.package}"

    def load(self, kind: type[Added]) -> Added:
        """Import it.

        Raises:
            ExtensionError: where that is not possible, or what is found is not of this kind.

        """
        from importlib.metadata import EntryPoint

        try:
            found = EntryPoint(self.name, self.value, self.group).load()
        except (Exception, SystemExit) as error:
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ExtensionError(f"the {self} cannot be imported from {self.value}: {said}") from None
        if not isinstance(found, kind):
            said = f"found {type(found).__name__}, expected {kind.__module__}.{kind.__qualname__}"
            raise ExtensionError(f"the {self} is of the wrong type: {self.value}: {said}")
        return found


def extensions(group: str, allow: Sequence[str] | None = None) -> tuple[Extension, ...]:
    """Return what the installed packages add to a group, by package and name; nothing is imported.

    Args:
        group: one of ``CHECKS``, ``TARGETS`` and ``REPORTS``.
        allow: the only modules, each with all below it, that it may be imported from; None for any.

    """
    return tuple(one for one in _found(group, tuple(sys.path)) if allow is None or is_below(one.module, allow))


def is_below(module: str, allow: Sequence[str]) -> bool:
    """Return whether a module is one of these, or below one."""
    return any(module == known or module.startswith(f"{known}.") for known in allow)


@cache
def _found(group: str, path: tuple[str, ...]) -> tuple[Extension, ...]:
    """Search the folders of ``path``, which is ``sys.path``, once."""
    from importlib.metadata import entry_points

    found = [
        Extension(group, point.name, point.value, f"{point.dist.name} {point.dist.version}" if point.dist else "?")
        for point in entry_points(group=group)
    ]
    return tuple(sorted(found, key=lambda one: (one.package, one.name)))
