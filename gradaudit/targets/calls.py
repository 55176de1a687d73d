"""Calls of an op: how many there were, how many there may be, and until when.

A limit is kept at the one place that every call passes. What is to be told when one is reached still takes calls of its
own: some of the budget are held back for that, and the time limit is overrun by a little.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from gradaudit.spec.case import Case

DEFAULT_BUDGET = 50_000
"""Calls a gradient where nobody asks for a budget, nor for a table; the guide ``search`` says why so many."""

LAST_WORD = 16
"""Calls that are held back for what is told at the end: whether forward bears a failure out that was seen by then."""

LAST_WORD_OF_EACH = 8
"""The same for each gradient besides."""

LAST_SHARE = 1 / 3
"""Part of a budget that they may be at most."""

OVERTIME = 0.2
"""Part of the time limit by which what is told at the end may overrun it."""

RIGHT = 50
"""Calls that the audit of a right gradient takes, at most where forward is smooth."""

CLOSE_LOOK = 12
"""The same for a close look at one index."""

AN_INDEX = 4
"""The same for an index of a table, where the claim is right."""

FOR_ROUNDING = 28
"""Calls that measuring what rounding must cost takes, and an arbiter for what is left."""

PARTS_OF_A_PATH_TEST = 4
"""A path test takes so many times its calls: forwards and backwards, and both again to locate what fails."""


@dataclass(frozen=True)
class Limit:
    """What an audit was given: so many calls a gradient, or in all, or so many seconds for its case."""

    kind: Literal["budget", "time"]
    amount: float
    in_all: bool = False

    def __str__(self) -> str:
        """Say what it is, to follow "in" or "by"."""
        if self.in_all:
            return f"the {self.amount:,} calls of a model that this takes at most"
        if self.kind == "budget":
            return f"the budget given ({self.amount:,} {'call' if self.amount == 1 else 'calls'} a gradient)"
        return f"the time given ({self.amount:g} s)"


def budget_of(case: Case) -> int | None:
    """Return the calls that each gradient of a case may take; None for any number: nobody asks for half a table."""
    whole_table = case.method == "exhaustive" or case.step is not None
    return case.budget if case.budget is not None or whole_table else DEFAULT_BUDGET


class LimitReachedError(Exception):
    """No more calls are to be made; carries the limit that is reached."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(str(limit))
        self.limit = limit


@dataclass
class Calls:
    """How often an op was called, and how often it may be.

    Attributes:
        forwards: points that forward was evaluated at; several at a time are as many.
        backwards: calls of backward.

    """

    forwards: int = 0
    backwards: int = 0
    _budget: Limit | None = None
    _most: float = field(default=math.inf, repr=False)
    _held_back: int = field(default=0, repr=False)
    _time: Limit | None = None
    _until: float = field(default=math.inf, repr=False)

    @property
    def made(self) -> int:
        """All calls together."""
        return self.forwards + self.backwards

    @property
    def left(self) -> float:
        """How many more there may be at present; infinity for any number."""
        return max(0.0, self._most - self.made)

    def count(self, forwards: int = 0, backwards: int = 0) -> None:
        """Count calls that are about to be made.

        Raises:
            LimitReachedError: where they are too many, or it is too late.

        """
        if self._time is not None and time.monotonic() > self._until:
            raise LimitReachedError(self._time)
        if self._budget is not None and self.made + forwards + backwards > self._most:
            raise LimitReachedError(self._budget)
        self.forwards += forwards
        self.backwards += backwards

    @property
    def time(self) -> Limit | None:
        """The time limit, None where there is none."""
        return self._time

    def limit_time(self, seconds: float) -> None:
        """Let no call begin after so many seconds from now."""
        self._time, self._until = Limit("time", seconds), time.monotonic() + seconds

    def limit_number(self, budget: int | None, gradients: int) -> None:
        """Let there be at most so many calls for each of some gradients, those that were made already among them."""
        if budget is None:
            self._budget, self._most, self._held_back = None, math.inf, 0
            return
        total = budget * gradients
        self._budget, self._most = Limit("budget", budget), total
        self._held_back = min(LAST_WORD + LAST_WORD_OF_EACH * gradients, int(LAST_SHARE * total))

    def limit_further(self, calls: int) -> None:
        """Let there be at most so many more calls, whatever there were."""
        self._budget, self._most, self._held_back = Limit("budget", calls, in_all=True), self.made + calls, 0

    @contextmanager
    def holding_back(self) -> Iterator[None]:
        """Hold back what is told at the end will take."""
        self._most -= self._held_back
        try:
            yield
        finally:
            self._most += self._held_back

    @contextmanager
    def sharing(self, parts: int) -> Iterator[None]:
        """Keep to one of so many equal parts of the calls that are left."""
        before = self._most
        self._most = self.made + self.left / parts
        try:
            yield
        finally:
            self._most = before

    @contextmanager
    def overtime(self) -> Iterator[None]:
        """Overrun the time limit by what is told at the end."""
        before = self._until
        if self._time is not None:
            self._until += OVERTIME * self._time.amount
        try:
            yield
        finally:
            self._until = before
