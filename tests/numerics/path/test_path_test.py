"""Right kernels in low precision pass at their real size, and what is wrong with others is named."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from kernels import Gradients, Kernel, layer_norm, matmul, mean_loss, relu, running_sum, scan, tanh

from gradaudit.numerics.path.claim import PathClaim
from gradaudit.numerics.path.path_test import path_test
from gradaudit.numerics.path.report import PathReport
from gradaudit.numerics.path.settings import Settings

BFLOAT16 = Settings.half(2.0**-8)


def _tested(kernel: Kernel, settings: Settings, broken: Any = None, seed: int = 1) -> PathReport:
    return path_test(kernel.claim(broken), np.random.default_rng(seed), settings)


@pytest.mark.parametrize(
    "kernel", [layer_norm(64, 256), matmul(48, 64, 32), relu((40, 50)), tanh((30, 40), np.float32)]
)
def test_right_float32_kernels_pass_in_few_calls(kernel: Kernel) -> None:
    report = _tested(kernel, Settings())
    assert report.passes, report.unexplained
    assert report.forwards <= 100
    assert report.backwards <= 100
    assert all(found.resolution.index <= 0.05 for found in report.inputs.values())
    assert all(found.resolution.whole <= 1e-5 for found in report.inputs.values())


@pytest.mark.parametrize("kernel", [layer_norm(32, 48, "bfloat16"), matmul(48, 16, 32, "bfloat16"), tanh((30, 40))])
def test_right_bfloat16_kernels_pass_in_few_calls(kernel: Kernel) -> None:
    report = _tested(kernel, BFLOAT16)
    assert report.passes, report.unexplained
    assert report.forwards <= 150
    assert report.backwards <= 150
    assert all(found.resolution.index <= 0.35 for found in report.inputs.values())


@pytest.mark.parametrize("calls", [60, 101, 150])
def test_paths_keep_to_the_calls_that_they_are_given(calls: int) -> None:
    """Whatever spends them: kinks that paths are shortened for, inputs that move apart, what upstreams of others do."""
    products = (matmul(32, 32, 32, dtype, rectified=True) for dtype in ("bfloat16", "float32"))
    for kernel, seed in itertools.product((relu((40, 50), "bfloat16"), *products), range(3)):
        half = kernel.inputs["x"].dtype != np.float32
        report = _tested(kernel, replace(BFLOAT16 if half else Settings(), calls=calls), seed=seed)
        assert not report.culprits
        assert max(report.forwards, report.backwards) <= calls


@pytest.mark.parametrize("seed", range(3))
def test_kinks_that_inputs_mix_are_told_apart_by_blocks(seed: int) -> None:
    """All inputs together meet the kinks of all outputs; a row of them meets few, and on short paths none."""
    kernel = matmul(60, 80, 70, rectified=True, seed=seed)
    right = _tested(kernel, Settings(), seed=seed)
    assert right.passes, right.unexplained
    assert max(right.forwards, right.backwards) <= 130
    for broken in (_at((7, 9), 0.8), lambda gradients, inputs: {**gradients, "w": gradients["w"] * 1.02}):
        wrong = _tested(kernel, Settings(), broken, seed)
        assert not wrong.passes


def test_paths_whose_outputs_round_least_tell_most() -> None:
    """Displacements of one sign make a running sum large: what it is rounded by then hides nothing of other paths."""
    kernel = running_sum(32, 512)
    right = _tested(kernel, BFLOAT16)
    assert right.passes, right.unexplained
    assert right.forwards <= 100
    wrong = _tested(kernel, BFLOAT16, _at((7, 9), 0.0))
    assert [(culprit.kind, list(culprit.places)) for culprit in wrong.culprits] == [("index", [7 * 512 + 9])]
    assert _tested(kernel, BFLOAT16, lambda gradients, inputs: {"x": gradients["x"] * 1.02}).culprits


def test_a_loss_of_one_block_is_followed_as_far_as_calls_last() -> None:
    kernel = mean_loss(256, 1000)
    right = _tested(kernel, Settings())
    assert right.passes, right.unexplained
    assert right.forwards <= 150
    assert not _tested(kernel, Settings(), _at((7, 0), 0.0)).passes


def _at(place: tuple[int, ...], factor: float) -> Any:
    def broken(gradients: Gradients, inputs: Gradients) -> Gradients:
        x = gradients["x"].copy()
        x[place] = x[place] * factor
        return {**gradients, "x": x}

    return broken


@pytest.mark.parametrize(
    "make", [lambda: layer_norm(64, 256), lambda: relu((64, 256)), lambda: tanh((64, 256), "float32")]
)
def test_one_wrong_index_in_float32_is_named(make: Any) -> None:
    kernel = make()
    gradient = kernel.claim().gradients(kernel.inputs, kernel.claim().values(kernel.inputs))["x"].reshape(64, 256)
    row = 17
    column = int(abs(gradient[row]).argmax())
    report = _tested(kernel, Settings(), _at((row, column), 1.2))
    (culprit,) = report.culprits
    assert (culprit.input, culprit.kind) == ("x", "index")
    assert list(culprit.places) == [row * 256 + column]
    truth = gradient[row, column]
    assert abs(culprit.error) == pytest.approx(0.2 * abs(truth), rel=0.5)


def test_one_wrong_index_in_bfloat16_is_named() -> None:
    report = _tested(tanh((30, 40)), BFLOAT16, _at((7, 9), 0.0))
    (culprit,) = report.culprits
    assert (culprit.kind, list(culprit.places)) == ("index", [7 * 40 + 9])


def test_an_index_that_is_off_by_three_times_the_resolution_does_not_pass() -> None:
    """Its block shows a trend, within what all elements of it may add up to; all blocks together show none."""
    kernel, settings = scan(63, 5, np.float16), Settings.half(2.0**-11)
    right = _tested(kernel, settings)
    assert right.passes
    claim = kernel.claim()
    a = np.asarray(kernel.backward(np.asarray(claim.upstream[0]), claim.inputs)["a"], np.float64)
    error = 3 * right.inputs["a"].resolution.index * np.maximum(abs(a), np.sqrt((a**2).mean()))
    for place in ((8, 4), (40, 1), (62, 2)):

        def broken(gradients: Gradients, inputs: Gradients, place: tuple[int, int] = place) -> Gradients:
            a = gradients["a"].copy()
            a[place] += np.float16(error[place])
            return {**gradients, "a": a}

        (culprit,) = _tested(kernel, settings, broken).culprits
        assert (culprit.input, list(culprit.places)) == ("a", [place[0] * 5 + place[1]])


@pytest.mark.parametrize("seed", [5, 17, 24])
def test_what_short_paths_show_is_not_buried_by_kinks_of_longer_ones(seed: int) -> None:
    """Maxima of two: the gradient of one number is off by a tenth of the typical one, which three paths show."""
    rows = [[0.2878, 0.5347], [-1.453, 1.92], [1.615, -0.3442], [-0.02884, -0.8315]]
    rows += [[-0.1765, -0.3015], [-1.458, 1.041], [-1.949, -0.473], [-1.871, -1.669]]
    upstream = np.array([-0.6636, 0.514, -0.836, 0.8535, -1.223, 1.162, -0.739, -1.472], np.float16)

    def reported(error: float) -> PathReport:
        def backward(upstream: Any, inputs: Gradients, outputs: Any) -> Gradients:
            made = np.zeros((8, 2), np.float16)
            np.put_along_axis(made, inputs["x"].argmax(1)[:, None], upstream[0][:, None], 1)
            made[4, 1] -= error * max(abs(float(made[4, 1])), np.sqrt((made.astype(float) ** 2).mean()))
            return {"x": made}

        def forward(inputs: Gradients) -> Any:
            return (inputs["x"].max(1),)

        inputs = {"x": np.array(rows, np.float16)}
        claim = PathClaim(forward, backward, inputs, (upstream,), domains={"x": (-2.0, 2.0)}, unit=2.0**-11)
        return path_test(claim, np.random.default_rng(seed), Settings.half(2.0**-11))

    assert reported(0.0).passes
    assert [culprit.places.tolist() for culprit in reported(0.105).culprits] == [[9]]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_row_that_is_lost_is_named(dtype: str) -> None:
    report = _tested(layer_norm(32, 48, dtype), Settings() if dtype == "float32" else BFLOAT16, _at((5,), 0.0))
    assert report.culprits
    assert {culprit.input for culprit in report.culprits} == {"x"}
    places = np.concatenate([culprit.places for culprit in report.culprits])
    assert set(places // 48) == {5}
    assert report.culprits[0].error == pytest.approx(-1.0, abs=0.2)


@pytest.mark.parametrize("name", ["x", "w", "b"])
def test_a_common_factor_is_laid_to_the_input_that_has_it(name: str) -> None:
    def broken(gradients: Gradients, inputs: Gradients) -> Gradients:
        return {**gradients, name: gradients[name] * np.float32(1.02)}

    report = _tested(layer_norm(64, 96), Settings(), broken)
    assert {culprit.input for culprit in report.culprits} == {name}
    assert report.culprits[0].error == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize("columns", [6, 12])
@pytest.mark.parametrize("name", ["w", "b"])
def test_a_common_factor_on_few_weights_does_not_pass_in_bfloat16(columns: int, name: str) -> None:
    """Their rounding is measured: what upstreams of other scales change of the gradient."""

    def broken(gradients: Gradients, inputs: Gradients) -> Gradients:
        return {**gradients, name: (gradients[name].astype(np.float32) * 1.02).astype(gradients[name].dtype)}

    kernel = layer_norm(64, columns, "bfloat16")
    assert _tested(kernel, BFLOAT16).passes
    report = _tested(kernel, BFLOAT16, broken)
    assert not report.passes
    assert {culprit.input for culprit in report.culprits} == {name} or (columns == 6 and report.unexplained)


@pytest.mark.parametrize("seed", range(3))
def test_a_common_factor_on_two_weights_does_not_pass_that_may_be_their_rounding(seed: int) -> None:
    """Rounding of two numbers comes to as much as one percent in sum; two percent that are seen are not nothing."""

    def broken(gradients: Gradients, inputs: Gradients) -> Gradients:
        return {**gradients, "w": (gradients["w"].astype(np.float32) * 1.02).astype(gradients["w"].dtype)}

    kernel = matmul(1024, 1, 2, "bfloat16", seed)
    assert _tested(kernel, BFLOAT16, seed=seed).passes
    assert not _tested(kernel, BFLOAT16, broken, seed).passes


def test_what_is_added_up_in_bfloat16_is_not_accused() -> None:
    """Each element is off by many roundings, which no other scale of the upstream repeats."""

    def added_up(gradients: Gradients, inputs: Gradients) -> Gradients:
        u, x = added_up.upstream, inputs["x"].astype(np.float32)  # type: ignore[attr-defined]
        h = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
        terms = {"w": u * h, "b": u}
        sums = {name: np.zeros(x.shape[1], gradients[name].dtype) for name in terms}
        for name, each in terms.items():
            for row in each:
                sums[name] = (sums[name].astype(np.float32) + row).astype(sums[name].dtype)
        return {**gradients, **sums}

    kernel = layer_norm(600, 8, "bfloat16")

    def backward(upstream: Any, inputs: Gradients) -> Gradients:
        added_up.upstream = upstream.astype(np.float32)  # type: ignore[attr-defined]
        return kernel.backward(upstream, inputs)

    summing = Kernel(kernel.inputs, kernel.domains, kernel.forward, backward)
    assert not _tested(summing, BFLOAT16, added_up).culprits


def test_errors_of_many_elements_fail_together_that_are_each_within_their_tolerance() -> None:
    off = 1 + 0.06 * np.random.default_rng(0).choice([-1.0, 1.0], 96)

    def broken(gradients: Gradients, inputs: Gradients) -> Gradients:
        return {**gradients, "w": (gradients["w"].astype(np.float32) * off).astype(gradients["w"].dtype)}

    report = _tested(layer_norm(64, 96, "bfloat16"), BFLOAT16, broken)
    assert {culprit.input for culprit in report.culprits} == {"w"}


def test_inputs_that_no_block_tells_apart_are_tested_together() -> None:
    """A gram matrix mixes everything; a scalar loss has one output."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (9, 7)).astype(np.float32)

    def forward(inputs: Gradients) -> tuple[Any, ...]:
        return (((inputs["x"].T @ inputs["x"]) ** 2).sum(dtype=np.float32).reshape(()),)

    def backward(factor: float) -> Any:
        def claimed(upstream: Any, inputs: Gradients, outputs: Any) -> Gradients:
            x = inputs["x"]
            made = 4 * x @ (x.T @ x) * upstream[0]
            made[3, 2] *= np.float32(factor)
            return {"x": made}

        return claimed

    for factor, passes in ((1.0, True), (1.5, False)):
        claim = PathClaim(forward, backward(factor), {"x": x}, (np.float32(1.5).reshape(()),), domains={"x": (-1, 1)})
        report = path_test(claim, np.random.default_rng(0))
        assert report.passes is passes
        if not passes:
            assert [list(culprit.places) for culprit in report.culprits] == [[3 * 7 + 2]]


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16])
def test_a_mean_whose_elements_are_all_rounded_alike_is_not_accused(dtype: Any) -> None:
    """In float16 they are subnormal, too: there are few numbers around zero."""
    x = np.random.default_rng(0).uniform(-1, 1, (30, 100)).astype(dtype)

    def backward(factor: float) -> Any:
        def claimed(upstream: Any, inputs: Gradients, outputs: Any) -> Gradients:
            size = factor * float(upstream[0]) / x.size / 8
            return {"x": np.full(x.shape, size, np.float32).astype(dtype)}

        return claimed

    settings = Settings.half(float(ml_dtypes.finfo(dtype).eps) / 2)
    for seed in range(3):
        for factor, wrong in ((1.0, False), (1.02, True)):
            claim = PathClaim(
                lambda inputs: (np.float32(inputs["x"].astype(np.float64).mean() / 8).reshape(()),),
                backward(factor),
                {"x": x},
                (np.float32(0.7 + 0.1 * seed).reshape(()),),
                domains={"x": (-1, 1)},
                unit=float(ml_dtypes.finfo(dtype).eps) / 2,
            )
            report = path_test(claim, np.random.default_rng(seed), settings)
            assert bool(report.culprits) is wrong, (seed, factor)


def test_what_noise_hides_is_said_with_the_paths_that_would_show_it() -> None:
    """The sum of many bfloat16 outputs hides an element; the report says so and what more paths would do."""
    report = _tested(layer_norm(8, 2048, "bfloat16"), replace(BFLOAT16, calls=60))
    assert not report.passes
    assert not report.culprits
    assert report.inputs["x"].undecided > 0
    assert report.inputs["x"].resolution.index > 0.25
    needed = report.paths_needed["x"]
    assert needed is None or needed > report.paths["x"]


def test_scale_changes_nothing() -> None:
    plain = _tested(tanh((20, 30), "float32"), Settings())
    kernel = tanh((20, 30), "float32")
    scaled = Kernel(
        kernel.inputs,
        kernel.domains,
        lambda inputs: kernel.forward(inputs) * np.float32(2.0**30),
        lambda upstream, inputs: {"x": kernel.backward(upstream, inputs)["x"] * np.float32(2.0**30)},
    )
    large = _tested(scaled, Settings())
    assert large.passes == plain.passes
    assert large.forwards == plain.forwards
    assert large.inputs["x"].resolution == plain.inputs["x"].resolution


def test_the_noise_of_a_forward_that_jumps_is_told() -> None:
    """A claim that is right nearly everywhere does not account for jumps on the way; the noise shows them."""
    kernel = tanh((30, 40), "float32")
    stairs = Kernel(
        kernel.inputs,
        kernel.domains,
        lambda inputs: np.round(16 * inputs["x"]) / np.float32(16),
        lambda upstream, inputs: {"x": 0 * upstream},
    )
    assert _tested(stairs, Settings()).noise > 1e4 * _tested(kernel, Settings()).noise


def test_a_point_where_nothing_can_be_evaluated_is_reported() -> None:
    claim = PathClaim(
        lambda inputs: (np.full(3, np.nan, np.float32),),
        lambda upstream, inputs, outputs: {"x": upstream[0]},
        {"x": np.ones(3, np.float32)},
        (np.ones(3, np.float32),),
    )
    report = path_test(claim, np.random.default_rng(0))
    assert not report.passes
    assert not report.culprits
    assert "not finite" in report.unexplained[0]


def _placed(kernel: Kernel, made: Any, kind: Any) -> PathClaim:
    """Return a kernel's claim with all arrays a framework's; the kernel itself sees NumPy's."""

    def host(arrays: Any) -> Gradients:
        assert all(isinstance(array, kind) for array in arrays.values())
        return {name: np.asarray(array) for name, array in arrays.items()}

    return PathClaim(
        lambda inputs: (made(kernel.forward(host(inputs))),),
        lambda upstream, inputs, outputs: {
            name: made(gradient) for name, gradient in kernel.backward(np.asarray(upstream[0]), host(inputs)).items()
        },
        {name: made(array) for name, array in kernel.inputs.items()},
        tuple(made(array) for array in kernel.claim().upstream),
        domains=kernel.domains,
    )


def _assert_same_as_numpys(kernel: Kernel, claim: PathClaim) -> None:
    report, same = (path_test(each, np.random.default_rng(1)) for each in (claim, kernel.claim()))
    assert report.passes
    assert same.passes
    assert report.forwards == same.forwards
    assert report.inputs["x"].resolution.whole == pytest.approx(same.inputs["x"].resolution.whole, rel=1e-3)


def test_torch_arrays_are_tested_as_they_are() -> None:
    torch = pytest.importorskip("torch")
    kernel = layer_norm(16, 24)
    _assert_same_as_numpys(kernel, _placed(kernel, torch.from_numpy, torch.Tensor))


def test_jax_arrays_are_tested_as_they_are() -> None:
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        kernel = tanh((6, 8), "float32")
        _assert_same_as_numpys(kernel, _placed(kernel, jax.numpy.asarray, jax.Array))
