"""What is asked of a path test: tolerances, goals, calls, and how far it goes."""

from __future__ import annotations

from dataclasses import dataclass

from gradaudit.numerics.margins import MAX_LISTED, MAX_ROUNDINGS, QUARTER

SHARE = QUARTER
"""Length of the longest displacement at first, as a part of the domain's width."""

SECOND_SHARE = SHARE / MAX_LISTED
"""Length of the paths on which only they move, unless forward has few digits: it is a staircase on short ones."""


@dataclass(frozen=True)
class Settings:
    """What is asked of a path test.

    Attributes:
        rtol: error allowed at an index, relative to the gradient there.
        floor: likewise, relative to the input's rms gradient; both are allowed together.
        common: relative error that all elements of a block may share: of constants that are rounded, say.
        goal: resolution wanted at every index.
        whole: likewise for an error that all elements of an input share.
        together: whether to move all inputs together first, as is enough where forward has many digits.
        calls: forwards, and backwards, for the test; what localising takes comes on top, as many again.

    """

    rtol: float = 1e-2
    floor: float = 1e-3
    common: float = 1e-3
    goal: float = 0.05
    whole: float = 0.05
    together: bool = True
    calls: int = 150

    @classmethod
    def half(cls, unit: float) -> Settings:
        """Return what is asked where forward computes in half precision, with such a unit roundoff."""
        floor, common = MAX_ROUNDINGS * unit, 2 * unit
        return cls(rtol=2.5e-2, floor=floor, common=common, goal=0.25, whole=0.02, together=False)
