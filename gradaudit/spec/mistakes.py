"""Mistakes that only a merged case can show, collected so that one does not hide the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from gradaudit.spec.source import KeyPath


class InvalidCaseError(Exception):
    """A mistake at a path of the merged case."""

    def __init__(self, path: KeyPath, message: str, *, key: bool = False) -> None:
        super().__init__(message)
        self.path = path
        self.key = key


P = ParamSpec("P")
T = TypeVar("T")


class Mistakes(list[InvalidCaseError]):
    """The mistakes of one case: a part that is wrong does not keep the others from being looked at."""

    def noting(self, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return what is made, None where a mistake prevents it."""
        try:
            return make(*args, **kwargs)
        except InvalidCaseError as mistake:
            self.append(mistake)
            return None
