"""Whether claims for equal elements, each right by itself, are right together.

Where several elements attain a maximum, the derivative in each may be anything from nothing to the whole upstream
gradient, and what they come to may not: moved together they stay equal, and forward has a slope there. Claims that do
not add up to it are no subgradient, though no single index shows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gradaudit.checks.probe import Probe
from gradaudit.checks.trial import CONFIRMED, line_at, usual_step
from gradaudit.numerics.arrays import Array, cast, has_complex_dtype, joined, like
from gradaudit.numerics.directional import Directional
from gradaudit.numerics.displacing import Direction
from gradaudit.numerics.kink import hull
from gradaudit.numerics.magnitude import power_of_two, scale_of
from gradaudit.numerics.margins import MAX_LISTED, MAX_ROUNDINGS, QUARTER, SAFETY, SIGNIFICANT
from gradaudit.results import Finding, Result, Verdict
from gradaudit.spec.draw import generator


def ties_miscounted(probe: Probe) -> Iterator[Finding]:
    """Yield a finding for the first equal elements at a kink whose claims do not add up to the slope of all of them."""
    results = {result.input: result for result in probe.results if _may_be_right(probe, result)}
    kinks = {name: _kink_values(result) for name, result in results.items()}
    if not any(kinks.values()):
        return
    scale = max(scale_of(probe.inputs[name], 1.0) for name in results)  # one for all: what is equal stays equal
    line = line_at(probe, probe.base, {name: probe.gradients[name] for name in results}, scale)
    numbers = joined(tuple(probe.inputs[name] for name in results))
    allowed = joined(tuple(result.atol + result.rtol * abs(probe.gradients[name]) for name, result in results.items()))
    for value in sorted({value for values in kinks.values() for value in values}):
        tied = _Tied(probe, line, numbers, value, scale)
        if tied.elements > 1 and (off := tied.error(float(allowed[tied.equal].sum()))):
            yield _finding(next(name for name in kinks if value in kinks[name]), tied, off)
            return


def _may_be_right(probe: Probe, result: Result) -> bool:
    name = result.input
    undecided = result.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)
    return undecided and name in probe.claimed and not has_complex_dtype(probe.inputs[name])


def _kink_values(result: Result) -> list[float]:
    return [value for finding in result.findings if finding.code == "kink" for value in finding.evidence["values"]]


class _Off(NamedTuple):
    """How much more is claimed of a displacement than forward does: a step up, a step down, and between the two.

    With each, what is no error.
    """

    up: float
    down: float
    bound: float
    central: float
    central_bound: float

    def error(self, allowed: float) -> float:
        """Return by how much a claim is off where forward has a slope, or lies beyond both; 0 where it is right."""
        if abs(self.up - self.down) <= 2 * self.bound:
            off, bound = self.central, self.central_bound
        else:
            off, bound = min(self.up, self.down, key=abs), self.bound
            if self.up * self.down <= 0.0:
                return 0.0
        return off if abs(off) > allowed + bound else 0.0


class _Tied:
    """All elements that hold one value, moved together.

    Attributes:
        value: what they hold.
        equal: where the inputs do, as one vector.
        elements: how many there are.
        claimed: the sum of their claims.

    """

    def __init__(self, probe: Probe, line: Directional, numbers: Array, value: float, scale: float) -> None:
        self.value = value
        self.equal = numbers == value
        self.elements = int(self.equal.sum())
        self.claimed = float(line.claims[self.equal].sum())
        self._probe = probe
        self._line = line
        self._scale = scale
        others = abs(numbers[~self.equal] - value) / scale
        usual = usual_step(probe.rounding)
        self._step = min(usual, power_of_two(float(others.min()) / SAFETY) if len(others) else usual)

    def error(self, allowed: float) -> float:
        """Return by how much the claims are off together, as two steps show it; 0 where they are right.

        Kinks that have nothing to do with each other are no ties: each claim may be what it likes then.
        """
        off = self._off(self.equal, self._step).error(allowed)
        if not off:
            return 0.0
        closer = self._off(self.equal, self._step / SIGNIFICANT).error(allowed)
        if abs(off - closer) > CONFIRMED * abs(off) or self._may_be_of_outputs(allowed):
            return 0.0
        return off if self._depend_on_each_other(off) else 0.0

    def _may_be_of_outputs(self, allowed: float) -> bool:
        """Whether each output may have a subgradient of its own, so that the claims are the sum of these."""
        direction = Direction.of(cast(self.equal, "float64"))
        far, near = (self._line.slopes(direction, step) for step in (self._step, self._step / SIGNIFICANT))
        low, high = (end / self._scale for end in hull(far, near))
        return low - allowed <= self.claimed <= high + allowed

    def _off(self, elements: Array, step: float) -> _Off:
        direction = Direction.of(cast(elements, "float64"))
        distance = step * self._scale
        walked = self._line.walk(direction, step, (1, -1, 2, -2)) / distance
        rounding = MAX_ROUNDINGS * self._probe.rounding * self._line.signal / distance
        near, far = walked[:2] * (1, -1), walked[2:] * (0.5, -0.5)
        up, down = 2 * near - far
        between, wider = near.mean(), far.mean()
        bound, central_bound = abs(near - far).max() + rounding, abs(between - wider) + rounding
        return _Off(up, down, bound, (4 * between - wider) / 3, central_bound)

    def _depend_on_each_other(self, off: float) -> bool:
        """Whether forward changes more, or less, when all elements move than by what each half of them does."""
        rng = generator(self._probe.case, "ties")
        together = self._off(self.equal, self._step)
        for _ in range(MAX_LISTED):
            drawn = like(rng.random(len(self.equal)) < 1 / 2, self.equal)
            one, other = (self._off(half, self._step) for half in (self.equal & drawn, self.equal & ~drawn))
            tie = max(abs(one.up + other.up - together.up), abs(one.down + other.down - together.down))
            if tie > max(QUARTER * abs(off) / self.elements, one.bound + other.bound + together.bound):
                return True
        return False


def _finding(name: str, tied: _Tied, off: float) -> Finding:
    slope = tied.claimed - off
    message = (
        f"the gradients of the {tied.elements:,} elements that equal {tied.value:g} sum to {tied.claimed:.6g}, but "
        f"forward changes by {slope:.6g} if all of them move, though each lies between its one-sided slopes: "
        "backward counts the upstream more than once among ties, or not at all"
    )
    evidence = {"array": name, "value": tied.value, "elements": tied.elements, "claimed": tied.claimed, "slope": slope}
    return Finding("ties-miscounted", message, evidence)
