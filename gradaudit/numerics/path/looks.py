"""What several paths show of each block, and of an error that all elements share."""

from __future__ import annotations

from dataclasses import dataclass

from gradaudit.numerics.arrays import Array


@dataclass(frozen=True)
class Looks:
    """What was seen of each block; vectors of float64 and of bool with one entry a block, in units of the loss.

    Attributes:
        seen: root mean square of the slopes, or of all low degrees where that is more.
        bound: what noise, quadrature and the claim's own rounding may feign of that.
        error: standard error of one path's slope.
        rounding: standard deviation of what the claim's own rounding adds to it.
        freedom: its degrees of freedom.
        trend: what was seen beyond noise, 0 where that is nothing.
        slack: what errors within the tolerance add up to with random signs.
        dirty: where a trend exceeds the bound that is no error which all elements share and may have.
        shared: where one exceeds it that is.
        failing: where it exceeds what noise may feign and slack, but for an error that all elements share and may have.
            An element that moves alone may meet the same rounding on every path to one side: these count once here.

    """

    seen: Array
    bound: Array
    error: Array
    rounding: Array
    freedom: float
    trend: Array
    slack: Array
    dirty: Array
    shared: Array
    failing: Array


@dataclass(frozen=True)
class CommonError:
    """A relative error that all elements of an input share.

    Attributes:
        error: as above.
        bound: what noise may feign of it.
        allowed: what is no error.
        feigned: what noise may feign where some paths meet the rounding of others again.

    """

    error: float
    bound: float
    allowed: float
    feigned: float

    @property
    def resolution(self) -> float:
        """The smallest error of this kind that would surely have been seen."""
        return self.bound + self.allowed

    @property
    def fails(self) -> bool:
        """Whether it is surely more than is allowed."""
        return abs(self.error) > self.feigned + self.allowed

    def is_compatible(self, other: CommonError) -> bool:
        """Whether both may be the same error."""
        return abs(self.error - other.error) <= self.resolution + other.resolution

    def hides(self, goal: float) -> float:
        """Return how many times as large noise may be as it takes to see an error of this size.

        Or one half above what is tolerated. Twice an error that is seen must be less, too: of few elements that may be
        tolerated, for as much as their rounding comes to.
        """
        seen = 2 * abs(self.error) if abs(self.error) > self.bound else 0.0
        return max(self.bound / max(goal - self.allowed, self.allowed / 2), seen / goal)
