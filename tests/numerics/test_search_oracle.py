"""The search on its own, with a judge that knows the truth: what it may miss is what its probabilities say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradaudit.numerics.calibration import Calibration
from gradaudit.numerics.directional import Directional
from gradaudit.numerics.gauge import FEWEST, THRESHOLDS, Gauge
from gradaudit.numerics.root_test import RootTester, signed_magnitudes
from gradaudit.numerics.search import Judgement, Outcome, Search

RTOL, ATOL = 1e-6, 1e-8
STEP = 2.0**-10


class Planted:
    """``f(x) = a x`` elementwise, with claims that are off by so many tolerances at some elements."""

    def __init__(self, size: int, errors: dict[int, float], seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.slopes = rng.uniform(0.5, 1.5, size) * np.where(rng.random(size) < 0.5, -1.0, 1.0)
        self.x = rng.uniform(-1, 1, size)
        self.wrong = set(errors)
        claims = self.slopes.copy()
        for place, error in errors.items():
            claims[place] += error * (ATOL + RTOL * abs(claims[place]))
        self.looks: list[int] = []
        self.evaluations = 0
        scales = {"x": 1.0}
        self.line = Directional(self.forward, {"x": self.x}, {"x": claims}, np.ones(size), self.slopes * self.x, scales)
        self.tester = RootTester(
            self.line,
            rtol=RTOL,
            atol={"x": ATOL},
            scales=scales,
            rng=np.random.default_rng([seed, 1]),
        )
        self.calibration = Calibration(self.tester, typical=1.0, spacing=2.0**-52)
        self._samples = np.random.default_rng([seed, 2])

    def forward(self) -> Any:
        self.evaluations += 1
        return self.slopes * self.x

    def judge(self, place: int, _: Any) -> Judgement:
        self.looks.append(place)
        return Judgement.WRONG if place in self.wrong else Judgement.RIGHT

    def search(self) -> Outcome:
        ask = self.judge, lambda: True, lambda floors: None
        return Search(self.tester, self.calibration, *ask, lambda: self._samples, locate=True).run()

    def found(self) -> set[int]:
        return {place for place, made in self.search().settled.items() if made is Judgement.WRONG}


@pytest.mark.parametrize("size", [1, 2, 3, 100, 4096, 100_000])
def test_a_right_gradient_is_left_alone(size: int) -> None:
    planted = Planted(size, {}, size)
    outcome = planted.search()
    assert (outcome.settled, outcome.sample, outcome.kinks) == ({}, [], 0)
    assert outcome.miss_probability <= 1e-6
    assert planted.evaluations <= 10


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_a_single_wrong_index_is_always_found_and_nothing_else_is_looked_at(size: int) -> None:
    for seed in range(60):
        place = seed * 37 % size
        planted = Planted(size, {place: 30.0 * (-1) ** seed}, seed)
        outcome = planted.search()
        assert set(outcome.settled) == {place}, seed
        assert outcome.miss_probability <= 1e-6
        assert planted.evaluations <= 12 + 2 * math.ceil(math.log2(size)) + 2


@settings(deadline=None, max_examples=300, derandomize=True)
@given(
    size=st.sampled_from([2, 5, 100, 777, 3000]),
    number=st.integers(1, 12),
    error=st.floats(20.0, 1e5),
    cancelling=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_a_few_wrong_indices_are_all_found(size: int, number: int, error: float, cancelling: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = rng.choice(size, min(number, size), replace=False)
    signs = np.where(np.arange(len(places)) % 2 == 0, 1.0, -1.0 if cancelling else 1.0)
    planted = Planted(size, {int(place): error * sign for place, sign in zip(places, signs, strict=True)}, seed)
    assert planted.found() == set(places.tolist())


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("error", [20.0, 1e4])
def test_much_that_is_wrong_is_sampled_and_never_passes(share: float, error: float) -> None:
    size = 5_000
    for seed in range(20):
        places = np.random.default_rng(seed).choice(size, int(share * size), replace=False)
        planted = Planted(size, dict.fromkeys(map(int, places), error), seed)
        outcome = planted.search()
        assert Judgement.WRONG in outcome.settled.values(), seed
        assert planted.evaluations <= (200 if share >= 0.5 else 1_000)
        assert len(planted.looks) == len(set(planted.looks)) <= 120
        if outcome.sample:
            seen = np.mean([outcome.settled[place] is Judgement.WRONG for place in outcome.sample])
            assert abs(seen - share) <= 5 * math.sqrt(share * (1 - share) / len(outcome.sample)), seed
            assert outcome.miss_probability == 1.0


def results(planted: Planted, count: int, threshold: float = 0.25) -> Any:
    """Return the results of many independent root tests of all elements."""
    gauge = Gauge(STEP, 1e-30, threshold)
    size = planted.line.size
    return np.array([planted.tester.test(0, size, gauge).result for _ in range(count)])


@pytest.mark.parametrize("error", [2.0, 100.0, 1e3])
def test_one_error_contributes_between_half_and_one_and_a_half_of_itself(error: float) -> None:
    measured = results(Planted(300, {17: error}, 0), 1_000) / error
    slack = 1e-3 + RTOL * error  # tolerances go with the claim, and the claim with its error
    assert np.abs(measured).min() >= 0.5 - slack
    assert np.abs(measured).max() <= 1.5 + slack
    assert 400 < (measured > 0).sum() < 600  # fair signs


@pytest.mark.parametrize("threshold", [0.03, 0.1, 0.25])
@pytest.mark.parametrize(
    "errors",
    [[1.0, 1.0], [1.0, -1.0], [1.0, -1.0, 1.0], [1.0, 2.0], [1.0] * 50, [1.0, 0.5, 0.25, 0.125]],
    ids=lambda errors: f"{len(errors)} errors, the second {errors[1]}",
)
def test_any_set_is_missed_by_one_test_with_at_most_the_probability_of_its_threshold(
    threshold: float, errors: list[float]
) -> None:
    """The density of ``s a`` is at most 1/2: an interval of twice the threshold holds no more than the threshold."""
    count = 4_000
    scale = 1e3  # in tolerances, so that noise is nothing beside the errors; the threshold scales along
    planted = Planted(100, {7 * k % 100: scale * error for k, error in enumerate(errors, 1)}, 1)
    missed = (np.abs(results(planted, count, threshold)) <= threshold * scale).mean()
    assert missed <= threshold + 4 * math.sqrt(threshold / count)


def test_tests_are_independent_of_each_other() -> None:
    measured = results(Planted(100, {3: 1e3, 50: 1e3}, 2), 2_000)
    assert abs(np.corrcoef(measured[:-1], measured[1:])[0, 1]) < 0.1
    assert len(set(measured.tolist())) == len(measured)


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_enough_rounds_bound_the_miss_probability(threshold: float) -> None:
    gauge = Gauge(STEP, 0.0, threshold)
    assert threshold**gauge.rounds <= gauge.miss_probability <= 1e-6 < threshold ** (gauge.rounds - 1)


def test_the_rounds_that_follow_the_fewest_keep_the_bound_of_both() -> None:
    few = Gauge(STEP, 0.0, FEWEST)
    more = few.with_more_rounds()
    assert (few.rounds, more.rounds, more.with_more_rounds()) == (2, 4, more)
    assert few.threshold**few.rounds + more.threshold**more.rounds <= more.miss_probability <= 1e-6


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_no_interval_of_twice_the_threshold_holds_more_than_a_round_may_miss(threshold: float) -> None:
    """All 2^16 values that an element may be displaced by, each as likely as any other."""
    values = np.sort(signed_magnitudes(np.arange(-(2**15), 2**15).astype(np.int16)))
    assert (values == -values[::-1]).all()
    assert 0.5 < np.abs(values).min() < np.abs(values).max() < 1.5
    held = np.searchsorted(values, values + 2 * threshold, side="right") - np.arange(values.size)
    assert held.max() / values.size <= Gauge(STEP, 0.0, threshold).miss_probability ** (
        1 / Gauge(STEP, 0.0, threshold).rounds
    ) * (1 + 1e-12)


def test_the_same_seed_searches_the_same_way() -> None:
    outcomes = [Planted(1_000, {5: 50.0, 500: -50.0}, 3).search() for _ in range(2)]
    assert outcomes[0] == outcomes[1]
