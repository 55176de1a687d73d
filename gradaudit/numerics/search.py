"""Every index of a million in a handful of forwards: root tests of everything, and halving where one fails."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np

from gradaudit.numerics.arrays import Array, on_host
from gradaudit.numerics.calibration import Calibrated, Calibration, TooMuchError
from gradaudit.numerics.gauge import THRESHOLDS, Gauge
from gradaudit.numerics.judging import Judgement
from gradaudit.numerics.margins import (
    CONFIRMATIONS,
    MAX_ATTEMPTS,
    MAX_LISTED,
    MAX_UNSEEN,
    NEGLIGIBLE,
    QUARTER,
    SAMPLE,
    SMALL_SAMPLE,
)
from gradaudit.numerics.root_test import RootTest, RootTester

MAX_SETTLED = SMALL_SAMPLE * MAX_LISTED
"""Leaves that halving may visit before it counts as much."""


Judge = Callable[[int, Calibrated | None], Judgement]
"""Decides about one index by itself, given what is known of forward by then."""


def _is_right(made: Judgement) -> bool:
    return made in (Judgement.RIGHT, Judgement.KINK)


@dataclass
class Outcome:
    """What a search found.

    Attributes:
        settled: the indices that were looked at one by one.
        miss_probability: bound on the chance that a wrong index is among those not settled; 1 where the search gave up.
        floor: error, times the scale of its input, below which a wrong index may have gone unseen; infinite where the
            search gave up.
        retested: for some elements that were tested by themselves, a mask, and the same for them.
        kinked: whether forward turns at the point itself, though all tests passed.
        flat: whether forward did not change at the steps of the tests, though it does further away.
        sample: those of the settled indices that were drawn at random because much was wrong.
        kinks: indices at which the op is not differentiable and the claim lies between the one-sided derivatives.

    """

    settled: dict[int, Judgement] = field(default_factory=dict)
    miss_probability: float = 0.0
    floor: float = 0.0
    retested: list[tuple[Array, float]] = field(default_factory=list)
    flat: bool = False
    kinked: bool = False
    sample: list[int] = field(default_factory=list)
    kinks: int = 0

    @property
    def flawless(self) -> bool:
        """Whether every index that was looked at is right."""
        return all(map(_is_right, self.settled.values()))


@dataclass
class Search:
    """A search for wrong indices.

    Attributes:
        tester: draws and measures root tests.
        calibration: chooses their steps.
        judge: decides about one index by itself.
        repeats: whether forward answers the same once more; asked where no test of many is to be had, as where it does
            not, no look at one says anything either.
        below_noise: returns those of the elements, and the least magnitude of theirs, that were not tested finely
            enough for their own magnitude, given the floor that they were tested with; None for none.
        stream: returns the random stream for samples, where one is to be drawn.
        locate: whether to look for the indices that make a test fail, and to judge them one by one.
        calls_left: returns how many calls are left to judge elements one by one, at kinks where the claims are no
            one-sided derivatives.
        outcome: what is known by now, should anything end the search early.
        failing: the test of the smallest part that failed and of which nothing more is known; None for none.

    """

    tester: RootTester
    calibration: Calibration
    judge: Judge
    repeats: Callable[[], bool]
    below_noise: Callable[[list[tuple[Array | None, float]]], tuple[Array, float] | None]
    stream: Callable[[], np.random.Generator]
    locate: bool
    calls_left: Callable[[], float] = lambda: 0.0
    outcome: Outcome = field(default_factory=Outcome)
    failing: tuple[RootTest, Gauge] | None = None

    @cached_property
    def _rng(self) -> np.random.Generator:
        return self.stream()

    def run(self) -> Outcome:
        """Search all indices and return what was found."""
        try:
            self._test_everything()
            self._look_at_unclaimed()
            self._retest_small()
            if self.calibration.moved < MAX_UNSEEN:
                self.outcome.flat = self._is_flat()
            self.outcome.kinked = self.calibration.kinked
        except TooMuchError as reason:
            if not self.locate or not self.repeats():
                self._give_up()
                return self.outcome
            self._survey()
            if self.outcome.flawless:
                self._test_again(reason)
            else:
                self._give_up()
        return self.outcome

    def _test_everything(self) -> None:
        """Test all elements, those that a step hardly moves at a wider one."""
        self.tester.tested.begin()
        self._clear_block(0, self.tester.line.size)
        while self.tester.tested.waiting is not None:
            self._clear_block(0, self.tester.line.size, self.calibration.next_step())

    def _look_at_unclaimed(self) -> None:
        """Look where forward has a slope though nothing is claimed: beside the others a small one is not heard."""
        zeros = self.tester.line.claims == 0.0
        if not bool(zeros.any()) or bool(zeros.all()) or self.outcome.floor <= self.tester.atol:
            return
        found = self.calibration.slope_of_unclaimed(zeros)
        if found is None:
            return
        known = len(self.outcome.settled)
        with suppress(TooMuchError):
            self._halve(*found, most=SMALL_SAMPLE)
        if not all(map(_is_right, list(self.outcome.settled.values())[known:])):
            raise TooMuchError(found[1].step)
        self.failing = None

    def _retest_small(self) -> None:
        """Test by themselves elements whose gradient is below the noise of the others."""
        calibration, outcome = self.calibration, self.outcome
        typical, floors = calibration.typical, [(None, outcome.floor)]
        for _ in range(MAX_ATTEMPTS):
            found = self.below_noise(floors)
            if found is None or int(found[0].sum()) < NEGLIGIBLE**2 * self.tester.line.size:
                break  # so few are told of and not tested: in a million there are always some
            elements, calibration.typical = found
            self.tester.tested.turn_to(elements)
            whole, outcome.floor = outcome.floor, 0.0
            locate, self.locate = self.locate, False
            try:
                self._clear_block(0, self.tester.line.size, splits=0)
            except TooMuchError:
                if self._has_culprit(elements):
                    raise
                outcome.floor = whole
                break  # they stay below the noise, and the result says so
            finally:
                outcome.floor, new = whole, outcome.floor
                self.locate = locate
                calibration.typical = typical
            if not new < whole:
                break
            floors.append((elements, new))
        outcome.retested = [(elements, floor) for elements, floor in floors if elements is not None]

    def _has_culprit(self, elements: Array) -> bool:
        """Whether one of some elements, drawn at random, is wrong."""
        places = np.flatnonzero(on_host(elements))
        for index in self._rng.choice(places, min(CONFIRMATIONS, len(places)), replace=False):
            if int(index) not in self.outcome.settled:
                self._settle(int(index))
        return not self.outcome.flawless

    def _is_flat(self) -> bool:
        """Whether forward stands on a stair: it changes further away, and did not at the step of the tests."""
        self.tester.tested.begin()
        return self.tester.moves_further_away(max(QUARTER, self.calibration.moved), self.calibration.typical)

    def _clear_block(self, start: int, stop: int, step: float | None = None, splits: int = SMALL_SAMPLE) -> None:
        """Test a block, or the parts of one that is too noisy as a whole, with a gauge for each."""
        try:
            gauge, first = self.calibration.calibrate(start, stop, self._culprits, step)
            step, parts = gauge.step, self.calibration.parts(start, stop, gauge) if splits else 1
            if parts == 1:
                self._clear(start, stop, gauge, first)
                return
        except TooMuchError:
            if not splits or splits == SMALL_SAMPLE or not self.outcome.flawless:
                raise
            parts = 2
        edges = np.linspace(start, stop, parts + 1).astype(int)
        for low, high in pairwise(map(int, edges)):
            self._clear_block(low, high, step, splits - 1)

    def _test_again(self, reason: TooMuchError) -> None:
        """Test once more where all that was looked at is right: without kinks, or with errors that add up."""
        kinks = [index for index, made in self.outcome.settled.items() if made is Judgement.KINK]
        try:
            between = [kink for kink in kinks if not self._set_aside(self.tester.line.alike(kink), reason)]
            if kinks:
                self._test_everything()
            else:
                self._test_sums(reason)
            self._look_at_unclaimed()
            if between and not self._are_right(between):
                raise reason
        except TooMuchError:
            self._give_up()

    def _test_sums(self, reason: TooMuchError) -> None:
        """Test everything to what the errors that are allowed one by one added up to."""
        floor = reason.largest / THRESHOLDS[-1]
        if floor > MAX_UNSEEN * self.calibration.typical:
            raise reason
        gauge = Gauge(reason.step, floor, THRESHOLDS[-1])
        if not self.tester.moves_all(gauge):
            raise reason
        whole = 0, self.tester.line.size
        self._clear(*whole, gauge, self.tester.test(*whole, gauge))

    def _set_aside(self, kinks: Array, reason: TooMuchError) -> bool:
        """Exclude elements at which forward has the same kink; return whether the claims are one-sided derivatives."""
        if self.tester.tested.is_excluded(kinks):
            return True
        one_sided = self.calibration.matches_one_side(kinks, reason.step)
        if not one_sided and not self.calls_left():
            raise reason
        self.outcome.kinks += int(kinks.sum())
        self.tester.tested.exclude(kinks)
        return one_sided

    def _are_right(self, kinks: list[int]) -> bool:
        """Judge by itself each element that has a kink in common with one of some, as long as calls last for all."""
        alike = {place for kink in kinks for place in np.flatnonzero(on_host(self.tester.line.alike(kink))).tolist()}
        left = self._rng.permutation(sorted(alike - self.outcome.settled.keys())).tolist()
        before = self.calls_left()
        for done, place in enumerate(left):
            spent = before - self.calls_left()
            if done >= MAX_LISTED and spent * len(left) > done * before:
                return False
            if not _is_right(self._settle(place)):
                return False
        return True

    def _give_up(self) -> None:
        self.outcome.floor, self.outcome.miss_probability = math.inf, 1.0

    def _culprits(self, test: RootTest, gauge: Gauge) -> Judgement:
        """Return what a few elements are that make a root test fail, before its step is known to be good."""
        found: list[Judgement] = []
        with suppress(TooMuchError):
            found = self._halve(test, gauge, most=CONFIRMATIONS) if self.locate else []
        if not found:
            return Judgement.UNDECIDED
        return Judgement.RIGHT if all(made is Judgement.RIGHT for made in found) else Judgement.WRONG

    def _clear(self, start: int, stop: int, gauge: Gauge, first: RootTest) -> None:
        """Test a block until enough rounds in a row find nothing; settle what they find."""
        outcome = self.outcome
        passed, fruitless, largest, test = 0, 0, 0.0, first
        while True:
            longer = gauge if abs(test.result) <= gauge.threshold else gauge.with_more_rounds()
            if abs(test.result) <= longer.threshold:
                gauge = longer
                passed += 1
            elif not self.locate:
                self.failing = test, longer
                raise TooMuchError(gauge.step)
            elif self._halve(test, longer):
                passed = fruitless = 0
            else:  # many errors that are allowed one by one add up: nothing to be found by halving
                fruitless += 1
                largest = max(largest, abs(test.result) * test.unit)
                if fruitless == CONFIRMATIONS:
                    raise TooMuchError(gauge.step, largest)
            if passed == gauge.rounds:
                break
            test = self.tester.test(start, stop, gauge)
        outcome.floor = max(outcome.floor, gauge.floor)
        outcome.miss_probability = max(outcome.miss_probability, gauge.miss_probability)

    def _halve(self, test: RootTest, gauge: Gauge, most: int = MAX_SETTLED) -> list[Judgement]:
        """Settle the elements that make a root test fail, at most so many, and return what they are.

        The halves of a block share its result, so only one of them is measured.
        """
        pending = [test]
        forks = 0
        found: list[Judgement] = []
        while pending and len(found) < most:
            block = pending.pop()
            self.failing = block, gauge
            if block.direction.size == 1:
                place = block.direction.start
                if place not in self.outcome.settled:  # what several do together no single one is to blame for
                    found.append(self._settle(place))
                continue
            left, right = (RootTest(half, block.unit) for half in block.direction.halves())
            left.result = self.tester.measure(left, gauge.step)
            right.result = block.result - left.result
            suspicious = [half for half in (left, right) if not abs(half.result) <= gauge.threshold]
            pending += sorted(suspicious, key=lambda half: abs(half.result))  # the worst is looked at first
            forks += len(suspicious) == 2 and not found
            if forks >= MAX_ATTEMPTS:
                if most == CONFIRMATIONS:
                    raise TooMuchError(gauge.step)
                pending = pending[-1:]  # one culprit all the same: a sample may miss what is wrong in one of a hundred
            if len(self.outcome.settled) >= MAX_SETTLED:
                raise TooMuchError(gauge.step, abs(test.result) * test.unit)
        if forks >= MAX_ATTEMPTS:
            raise TooMuchError(gauge.step, abs(test.result) * test.unit)
        self.failing = None
        return found

    def _settle(self, index: int) -> Judgement:
        self.tester.tested.exclude(index)
        self.outcome.settled[index] = self.judge(index, self.calibration.calibrated)
        return self.outcome.settled[index]

    def _survey(self) -> None:
        """Judge a random sample of indices one by one."""
        outcome, size = self.outcome, self.tester.line.size
        for index in map(int, self._rng.choice(size, min(SAMPLE, size), replace=False)):
            if index not in outcome.settled:
                self._settle(index)
            outcome.sample.append(index)
