"""What a search costs, in calls of forward and backward and in memory, and what it finds for that."""

from __future__ import annotations

import math
import re
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from pairs import array, audit, audit_of, case_of, only

from gradaudit.audit.conclusion import Audit
from gradaudit.ops.activation import gelu, gelu_backward, softmax, softmax_backward
from gradaudit.ops.conv import conv2d, conv2d_backward
from gradaudit.ops.normalization import layer_norm, layer_norm_backward
from gradaudit.results import Result, Verdict
from gradaudit.spec.case import Input

Function = Callable[..., Any]


@dataclass(frozen=True)
class Problem:
    """An op whose first input is large, with the number of its elements to choose."""

    forward: Function
    backward: Function
    inputs: Callable[[int], tuple[Input, ...]]
    args: tuple[str, ...] | None = None

    def index(self, place: int, size: int) -> tuple[int, ...]:
        """Return the index of the first input's element at a place in C order; negative places count from the end."""
        shape = self.inputs(size)[0].shape
        return tuple(int(k) for k in np.unravel_index(place % math.prod(shape), shape))

    def audited(self, size: int, fault: Function = lambda gradient: None, seed: int = 0) -> Audit:
        """Audit with a fault done to the first gradient in place."""

        def backward(*arguments: Any) -> Any:
            gradients = self.backward(*arguments)
            fault((gradients[0] if isinstance(gradients, tuple) else gradients).reshape(-1))
            return gradients

        return audit(self.forward, backward, *self.inputs(size), args=self.args, seed=seed, method="search")


PROBLEMS = {
    "gelu": Problem(gelu, gelu_backward, lambda n: (array("x", (n,), -3, 3),)),
    "softmax": Problem(
        softmax, softmax_backward, lambda n: (array("x", (n // 250, 250), -3, 3),), ("upstream", "output")
    ),
    "layer_norm": Problem(
        layer_norm,
        layer_norm_backward,
        lambda n: (array("x", (n // 250, 250), -3, 3), array("gamma", (250,), 0.5, 1.5), array("beta", (250,))),
    ),
    "conv2d": Problem(
        conv2d,
        conv2d_backward,
        lambda n: (array("x", (n // 2500, 4, 25, 25)), array("weight", (4, 4, 3, 3)), array("bias", (4,))),
    ),
}

FACTOR = 1.5
"""What one index is off by: so much that no long path need be asked whether it is forward's fault."""

each_op = pytest.mark.parametrize("op", PROBLEMS)


def evaluations(audited: Audit) -> int:
    return sum(result.evaluations for result in audited.results)


def shares(message: str) -> float:
    """Return the wrong fraction that a message speaks of."""
    (found,) = re.findall(r"about (\d+)%", message)
    return float(found) / 100


def scaled(places: Any, factor: float = 1.01) -> Function:
    def fault(gradient: Any) -> None:
        gradient[places] *= factor

    return fault


@each_op
class TestRightGradient:
    def test_a_million_elements_take_a_dozen_forwards(self, op: str) -> None:
        audited = PROBLEMS[op].audited(10**6)
        assert {result.verdict for result in audited.results} == {Verdict.PASS}
        assert {result.method for result in audited.results} == {"search"}
        assert max(result.miss_probability for result in audited.results) <= 1e-6
        assert [result.checked for result in audited.results] == [result.size for result in audited.results]
        assert evaluations(audited) <= 12

    @pytest.mark.parametrize("seed", range(6))
    def test_no_seed_is_accused_or_dear(self, op: str, seed: int) -> None:
        audited = PROBLEMS[op].audited(10**4, seed=seed)
        assert {result.verdict for result in audited.results} == {Verdict.PASS}
        assert evaluations(audited) <= 12

    def test_a_pass_is_worth_what_its_resolution_says(self, op: str) -> None:
        for result in PROBLEMS[op].audited(10**5).results:
            assert result.rtol <= result.resolution <= 1e-4


class TestCallsThatAreMade:
    def test_every_forward_is_counted_and_backward_called_a_few_times(self) -> None:
        calls = {"forward": 0, "backward": 0}

        def counted(name: str, function: Function) -> Function:
            def counting(*arguments: Any) -> Any:
                calls[name] += 1
                return function(*arguments)

            return counting

        for dtype in ("float64", "float32"):
            calls.update(forward=0, backward=0)
            forward, backward = counted("forward", gelu), counted("backward", gelu_backward)
            audited = audit(forward, backward, array("x", (10**5,), -3, 3, dtype=dtype), dtype=dtype)
            assert evaluations(audited) + audited.check_evaluations == calls["forward"]
            assert calls["backward"] <= 10

    def test_forwards_for_a_wrong_index_are_counted_too(self) -> None:
        calls = [0]

        def forward(x: Any) -> Any:
            calls[0] += 1
            return np.sin(x)

        def backward(u: Any, x: Any) -> Any:
            return u * np.cos(x) * (1 + 0.01 * (np.arange(x.size) == 77))

        audited = audit(forward, backward, array("x", (10**4,)))
        assert only(audited).verdict is Verdict.FAIL
        assert evaluations(audited) + audited.check_evaluations == calls[0]

    def test_several_inputs_share_the_root_tests(self) -> None:
        def forward(x: Any, y: Any, z: Any) -> Any:
            return np.sin(x) * y + z

        def backward(u: Any, x: Any, y: Any, z: Any) -> Any:
            return u * np.cos(x) * y, u * np.sin(x), u

        audited = audit(forward, backward, *(array(name, (10**4,)) for name in "xyz"))
        assert [result.verdict for result in audited.results] == [Verdict.PASS] * 3
        assert evaluations(audited) <= 12


def test_evaluations_do_not_grow_with_the_input() -> None:
    def backward(u: Any, x: Any) -> Any:
        return u * x

    counts = []
    for size in (10**3, 10**5, 2 * 10**6):
        result = only(audit(lambda x: 0.5 * x * x, backward, array("x", (size,)), method="search"))
        assert (result.verdict, result.checked) == (Verdict.PASS, size)
        counts.append(result.evaluations)
    assert max(counts) <= 11  # four rounds and a step to calibrate with, and one to hear the faintest of many


@each_op
class TestOneWrongIndex:
    @pytest.mark.parametrize(("place", "seed"), [(0, 0), (-1, 1), (4_321, 2)])
    def test_it_is_found_alone_with_both_values(self, op: str, place: int, seed: int) -> None:
        truth: list[float] = []

        def fault(gradient: Any) -> None:
            truth.append(float(gradient[place]))
            gradient[place] *= FACTOR

        audited = PROBLEMS[op].audited(10_000, fault, seed)
        first, *others = audited.results
        assert_only_wrong_index(first, PROBLEMS[op].index(place, 10_000), truth[0])
        assert {result.verdict for result in others} <= {Verdict.PASS}
        assert evaluations(audited) <= 80


def assert_only_wrong_index(result: Result, index: tuple[int, ...], truth: float) -> None:
    assert (result.verdict, result.wrong) == (Verdict.FAIL, 1)
    (found,) = result.mismatches
    assert found.index == index
    assert found.analytical == pytest.approx(FACTOR * truth, rel=1e-12)
    assert abs(found.numerical - truth) <= found.error_bound + 1e-12 * abs(truth)
    assert found.error_bound < 0.001 * abs(truth)


def test_one_wrong_index_of_a_million_takes_eighty_forwards() -> None:
    place = 314_159
    truth: list[float] = []

    def fault(gradient: Any) -> None:
        truth.append(float(gradient[place]))
        gradient[place] *= FACTOR

    audited = PROBLEMS["gelu"].audited(10**6, fault)
    assert_only_wrong_index(only(audited), (place,), truth[0])
    assert evaluations(audited) <= 80


@pytest.mark.parametrize("rank", [290, 490, 770])
def test_an_error_that_is_small_beside_the_others_takes_two_long_paths(rank: int) -> None:
    claims: list[Any] = []
    PROBLEMS["gelu"].audited(3_000, lambda gradient: claims.append(gradient.copy()))
    place = int(np.argsort(abs(claims[0]))[rank])
    audited = PROBLEMS["gelu"].audited(3_000, scaled(place))
    assert (only(audited).verdict, [found.index for found in only(audited).mismatches]) == (Verdict.FAIL, [(place,)])
    assert evaluations(audited) <= 200


@each_op
def test_ten_wrong_indices_anywhere_take_six_hundred_forwards(op: str) -> None:
    places = np.random.default_rng(len(op)).choice(10_000, 10, replace=False)
    audited = PROBLEMS[op].audited(10_000, scaled(places))
    first, *others = audited.results
    assert (first.verdict, first.wrong, len(first.mismatches)) == (Verdict.FAIL, 10, 10)
    assert {found.index for found in first.mismatches} == {PROBLEMS[op].index(k, 10_000) for k in places}
    assert {result.verdict for result in others} <= {Verdict.PASS}
    assert evaluations(audited) <= 600


def test_ten_wrong_neighbours_take_less() -> None:
    audited = PROBLEMS["gelu"].audited(10**5, scaled(slice(70_000, 70_010)))
    assert {found.index for found in only(audited).mismatches} == {(k,) for k in range(70_000, 70_010)}
    assert evaluations(audited) <= 150


class TestMuchIsWrong:
    @each_op
    def test_every_entry_wrong_gives_an_exact_table_and_the_fraction(self, op: str) -> None:
        claims: list[Any] = []

        def fault(gradient: Any) -> None:
            gradient *= 1.01
            claims.append(gradient.copy())

        problem = PROBLEMS[op]
        audited = problem.audited(10_000, fault)
        result = audited.results[0]
        assert result.verdict is Verdict.FAIL
        assert evaluations(audited) <= 300
        assert len({found.index for found in result.mismatches}) >= 20
        table = claims[0].reshape(problem.inputs(10_000)[0].shape)
        for found in result.mismatches:
            claim = table[found.index]
            assert found.analytical == claim
            assert abs(found.numerical - claim / 1.01) <= found.error_bound + 1e-12 * abs(claim)
            assert found.difference > found.tolerance
        assert shares(result.message) == pytest.approx(1.0, abs=0.1)

    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("share", [0.5, 0.2])
    def test_the_fraction_is_that_of_a_fair_sample(self, share: float, seed: int) -> None:
        result = only(PROBLEMS["gelu"].audited(10**4, scaled(slice(None, None, round(1 / share))), seed))
        assert result.verdict is Verdict.FAIL
        (wrong, sampled) = map(int, re.findall(r"(\d+) of (\d+) sampled", result.message)[0])
        assert sampled >= 20
        assert shares(result.message) == pytest.approx(wrong / sampled, abs=0.01)
        # Four standard deviations: a right sample leaves them at one seed of 15,000.
        assert wrong / sampled == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / sampled))
        assert all(found.index[0] % round(1 / share) == 0 for found in result.mismatches)

    def test_what_is_said_of_one_input_is_not_diluted_by_another(self) -> None:
        def backward(u: Any, x: Any, y: Any) -> Any:
            return 1.01 * u * np.cos(x) * y, u * np.sin(x)

        x, y = array("x", (10**4,)), array("y", (10**4,), 0.5, 1.5)
        wrong, right = audit(lambda x, y: np.sin(x) * y, backward, x, y).results
        assert wrong.verdict is Verdict.FAIL
        assert shares(wrong.message) == pytest.approx(1.0, abs=0.1)
        assert right.verdict is not Verdict.FAIL

    @pytest.mark.parametrize("op", ["layer_norm", "conv2d"])
    def test_an_input_that_is_right_passes_beside_one_that_is_wrong(self, op: str) -> None:
        for result in PROBLEMS[op].audited(10**4, scaled(slice(None))).results[1:]:
            assert (result.verdict, result.checked) == (Verdict.PASS, result.size)

    def test_an_error_just_above_the_tolerance_everywhere_is_one_too(self) -> None:
        result = only(PROBLEMS["gelu"].audited(10**4, scaled(slice(None), 1 + 1e-6)))
        assert result.verdict is Verdict.FAIL


def test_memory_is_six_times_inputs_and_outputs() -> None:
    size = 10**6
    case = case_of(gelu, gelu_backward, array("x", (size,), -3, 3), method="search")
    PROBLEMS["gelu"].audited(10**3)  # what is imported on the way is not the audit's
    tracemalloc.start()
    try:
        result = only(audit_of(case))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.verdict is Verdict.PASS
    assert peak <= 6 * (8 * size + 8 * size)
