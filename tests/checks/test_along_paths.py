"""Kernels that compute in low precision only are followed along paths where differences see but their rounding."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from pairs import array, audit

import gradaudit
from gradaudit.results import Verdict

Array = NDArray[Any]


def _only(dtype: Any, forward: Callable[..., Array]) -> Callable[..., Array]:
    """Return a forward that refuses every other dtype, as a compiled kernel does."""

    def checked(*arrays: Array) -> Array:
        if any(array.dtype != dtype for array in arrays):
            raise TypeError(f"{np.dtype(dtype)} only")
        return forward(*arrays)

    return checked


def _parts(x: Array) -> tuple[Array, Array]:
    wide = x.astype(np.float32)
    centred = wide - wide.mean(1, keepdims=True)
    scale = 1 / np.sqrt((centred**2).mean(1, keepdims=True) + np.float32(1e-5))
    return centred * scale, scale


def _norm(dtype: Any) -> Callable[..., Array]:
    return _only(dtype, lambda x, w: (_parts(x)[0] * w.astype(np.float32)).astype(dtype))


def _norm_backward(change: Callable[[Array, Array], None] | None = None) -> Callable[..., tuple[Array, Array]]:
    def backward(upstream: Array, x: Array, w: Array) -> tuple[Array, Array]:
        h, scale = _parts(x)
        u = upstream.astype(np.float32)
        g = u * w.astype(np.float32)
        dx = scale * (g - g.mean(1, keepdims=True) - h * (g * h).mean(1, keepdims=True))
        dw = (u * h).sum(0)
        if change is not None:
            change(dx, dw)
        return dx.astype(x.dtype), dw.astype(w.dtype)

    return backward


def _audited(dtype: Any, shape: tuple[int, int], change: Any = None) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    inputs = {"x": rng.uniform(-2, 2, shape).astype(dtype), "w": rng.uniform(0.5, 1.5, shape[1]).astype(dtype)}
    op = gradaudit.op(_norm(dtype), _norm_backward(change))
    audit = gradaudit.check(op, inputs)
    return {result.input: result for result in audit.results}


def _lost_row(dx: Array, dw: Array) -> None:
    dx[3] = 0


def _one_index(dx: Array, dw: Array) -> None:
    dx[5, 7] += 1


def _common_factor(dx: Array, dw: Array) -> None:
    dw *= np.float32(1.02)


def test_a_right_float32_kernel_passes_in_few_forwards() -> None:
    results = _audited(np.float32, (64, 256))
    assert {result.verdict for result in results.values()} == {Verdict.PASS}
    assert sum(result.evaluations for result in results.values()) < 200
    assert all(result.resolution <= 0.05 for result in results.values())


def test_a_right_bfloat16_kernel_passes_and_says_what_it_could_have_seen() -> None:
    results = _audited(ml_dtypes.bfloat16, (64, 32))
    assert {result.verdict for result in results.values()} == {Verdict.PASS}
    assert all(0.01 < result.resolution <= 0.25 for result in results.values())


@pytest.mark.parametrize(
    ("change", "wrong"), [(_lost_row, "x"), (_one_index, "x"), (_common_factor, "w")], ids=["row", "index", "factor"]
)
def test_what_is_wrong_with_a_float32_kernel_is_laid_to_its_input(change: Any, wrong: str) -> None:
    results = _audited(np.float32, (64, 256), change)
    assert results[wrong].verdict is Verdict.FAIL
    assert all(result.verdict is Verdict.PASS for name, result in results.items() if name != wrong)
    assert "along paths" in results[wrong].message


def test_a_wrong_index_is_shown_with_both_gradients() -> None:
    (mismatch,) = _audited(np.float32, (64, 256), _one_index)["x"].mismatches
    assert mismatch.index == (5, 7)
    assert mismatch.difference == pytest.approx(1.0, rel=1e-3)


def _sort_backward(factor: float) -> Callable[[Array, Array], Array]:
    def backward(upstream: Array, x: Array) -> Array:
        dx = np.zeros_like(x)
        np.put_along_axis(dx, np.argsort(x, -1, kind="stable"), upstream, -1)
        dx[3, 7] *= np.float32(factor)
        return dx

    return backward


@pytest.mark.parametrize("seed", [1, 2])
def test_paths_get_so_short_that_the_kinks_of_mixtures_are_left_behind(seed: int) -> None:
    """Whichever way the elements of a row turn, some pass each other in a sort."""
    x = np.random.default_rng(seed).uniform(-2, 2, (20, 40)).astype(np.float32)
    right, wrong = (
        gradaudit.check(gradaudit.op(_only(np.float32, lambda x: np.sort(x, -1)), _sort_backward(factor)), {"x": x})
        for factor in (1.0, 1.2)
    )
    assert right.verdict is Verdict.PASS
    assert wrong.verdict is Verdict.FAIL


def _five_percent(dx: Array, dw: Array) -> None:
    dw *= np.float32(1.05)


def _last_columns(dx: Array, dw: Array) -> None:
    dx[:, -2:] = 0


def test_a_small_half_precision_kernel_passes_in_few_calls_and_with_a_common_factor_it_fails() -> None:
    """Each element is within its tolerance of rounding then, and all together are not."""
    right, wrong = (_audited(ml_dtypes.bfloat16, (16, 20), change) for change in (None, _five_percent))
    assert {result.verdict for result in right.values()} == {Verdict.PASS}
    assert all(result.forwards <= 150 and result.backwards <= 150 for result in right.values())
    assert [wrong[name].verdict for name in "xw"] == [Verdict.PASS, Verdict.FAIL]


def test_a_block_whose_first_element_is_right_is_not_acquitted_for_that() -> None:
    """Differences look at the element that paths suspect most."""
    assert _audited(np.float32, (40, 20), _last_columns)["x"].verdict is Verdict.FAIL


@pytest.mark.parametrize("seed", [0, 2])
def test_a_row_in_which_single_elements_are_right_is_not_acquitted_for_these(seed: int) -> None:
    """The mean of a layer norm's gradient is taken across rows: it cancels, and is next to right at some elements."""

    def parts(x: Array) -> tuple[Array, Array]:
        centred = x.astype(np.float32) - x.astype(np.float32).mean(1, keepdims=True)
        scale = 1 / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
        return centred * scale, scale

    def forward(x: Array, w: Array) -> Array:
        return (parts(x)[0] * w.astype(np.float32)).astype(np.float16)

    def backward(upstream: Array, x: Array, w: Array) -> tuple[Array, Array]:
        h, scale = parts(x)
        g = upstream.astype(np.float32) * w.astype(np.float32)
        dx = scale * (g - g.mean(0, keepdims=True) - h * (g * h).mean(1, keepdims=True))
        return dx.astype(np.float16), (upstream.astype(np.float32) * h).sum(0).astype(np.float16)

    rng = np.random.default_rng(seed)
    x, w = rng.uniform(-2, 2, (64, 256)).astype(np.float16), rng.uniform(0.5, 1.5, 256).astype(np.float16)
    results = gradaudit.check(gradaudit.op(forward, backward), {"x": x, "w": w}).results
    assert [result.verdict for result in results] == [Verdict.FAIL, Verdict.PASS]


def test_a_forward_that_moves_by_less_than_a_rounding_of_its_outputs_accuses_nobody() -> None:
    """A norm of two columns is saturated: its outputs stand still, and its gradient is no more than rounding."""
    x = np.array([[1.328, 0.375], [-1.984, 0.103], [-1.953, 1.680]]).astype(ml_dtypes.bfloat16)
    w = np.array([0.957, 1.156]).astype(ml_dtypes.bfloat16)
    audit = gradaudit.check(gradaudit.op(_norm(ml_dtypes.bfloat16), _norm_backward()), {"x": x, "w": w})
    assert all(result.verdict is not Verdict.FAIL for result in audit.results)


def test_what_half_precision_hides_is_no_pass() -> None:
    results = _audited(ml_dtypes.bfloat16, (2, 8192))
    assert results["x"].verdict is Verdict.INCONCLUSIVE
    assert "could be hidden" in results["x"].message


def test_a_cast_inside_is_followed_after_differences_saw_its_steps() -> None:
    def forward(x: Array) -> Array:
        return np.tanh(x.astype(ml_dtypes.bfloat16).astype(x.dtype))

    x = np.random.default_rng(0).uniform(-2, 2, (20, 40))
    right = gradaudit.check(gradaudit.op(forward, lambda upstream, x: upstream * (1 - np.tanh(x) ** 2)), {"x": x})
    assert right.results[0].verdict is not Verdict.FAIL
    wrong = gradaudit.check(gradaudit.op(forward, lambda upstream, x: 1.5 * upstream * (1 - np.tanh(x) ** 2)), {"x": x})
    assert wrong.results[0].verdict is not Verdict.PASS


@pytest.mark.parametrize("seed", [0, 1])
def test_a_kernel_that_casts_what_it_is_given_is_decided_in_few_calls(seed: int) -> None:
    """It returns float64 for that, and stands still where inputs are displaced by as little as suits float64."""

    def cast(x: Array) -> Array:
        return x.astype(ml_dtypes.bfloat16).astype(np.float32)

    def forward(a: Array, b: Array) -> Array:
        return (cast(a) * np.tanh(cast(a)) * cast(b)).astype(a.dtype)

    def audited(factor: float) -> Any:
        def backward(upstream: Array, a: Array, b: Array) -> tuple[Array, Array]:
            u, wide, t = cast(upstream), cast(a), np.tanh(cast(a))
            return cast(factor * u * cast(b) * (t + wide * (1 - t**2))).astype(a.dtype), cast(u * wide * t).astype(
                a.dtype
            )

        return gradaudit.check(gradaudit.op(forward, backward), {"a": a, "b": b}).results

    rng = np.random.default_rng(seed)
    a, b = (cast(rng.uniform(-2, 2, (40, 50))) for _ in "ab")
    right = audited(1.0)
    assert all(result.verdict is Verdict.PASS for result in right)
    assert all(result.forwards <= 150 and result.backwards <= 150 for result in right)
    assert [result.verdict for result in audited(1.02)] == [Verdict.FAIL, Verdict.PASS]


def test_a_staircase_on_the_way_does_not_make_a_right_claim_wrong() -> None:
    """Forward jumps four times in every unit: differences at the accused elements do not bear the accusation out."""

    def forward(x: Array) -> Array:
        return (x * np.floor(x * 4) / 4).astype(np.float32)

    def backward(upstream: Array, x: Array) -> Array:
        return (upstream * np.floor(x * 4) / 4).astype(np.float32)

    x = np.random.default_rng(0).uniform(-2, 2, (30, 30)).astype(np.float32)
    (result,) = gradaudit.check(gradaudit.op(_only(np.float32, forward), backward), {"x": x}).results
    assert result.verdict is not Verdict.FAIL


def _largest_of_row(x: Array, w: Array) -> tuple[Array, Array, Array]:
    """Return the probability of each row's likeliest expert, its place, and all probabilities."""
    odds = x.astype(np.float32) @ w.astype(np.float32)
    odds = np.exp(odds - odds.max(1, keepdims=True))
    odds /= odds.sum(1, keepdims=True)
    place = odds.argmax(1)
    return odds[np.arange(len(x)), place], place, odds


EXPERTS = np.random.default_rng(9).normal(size=(4, 8)).astype(np.float32)


def _routed(x: Array, w: Array) -> Array:
    chance, place, _ = _largest_of_row(x, w)
    return (chance[:, None] * EXPERTS[place]).astype(x.dtype)


def _routed_backward(upstream: Array, x: Array, w: Array) -> tuple[Array, Array]:
    chance, place, odds = _largest_of_row(x, w)
    of_chance = (upstream.astype(np.float32) * EXPERTS[place]).sum(1)
    scores = -odds * chance[:, None]
    scores[np.arange(len(x)), place] += chance
    scores *= of_chance[:, None]
    return (scores @ w.astype(np.float32).T).astype(x.dtype), (x.astype(np.float32).T @ scores).astype(w.dtype)


@pytest.mark.parametrize("seed", [0, 2])
def test_a_hard_decision_on_the_way_does_not_make_a_right_claim_wrong(seed: int) -> None:
    """Rows are routed to one of four experts: on a long path many change theirs, and outputs jump."""
    rng = np.random.default_rng(seed)
    x, w = (rng.normal(size=shape).astype(ml_dtypes.bfloat16) for shape in ((24, 8), (8, 4)))
    op = gradaudit.op(_only(ml_dtypes.bfloat16, _routed), _routed_backward)
    audited = gradaudit.check(op, {"x": x, "w": w}, seed=seed)
    assert Verdict.FAIL not in {result.verdict for result in audited.results}


GOAL = np.random.default_rng(8).dirichlet(np.ones(50), 120).astype(np.float32)


def _log_softmax(z: Array) -> Array:
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def _divergence(z: Array) -> Array:
    """Return what GOAL diverges from a softmax by: one number, whose terms mostly cancel."""
    return np.float32((GOAL * (np.log(GOAL) - _log_softmax(z))).sum() / len(z))


def _divergence_backward(factor: float) -> Callable[..., Array]:
    return lambda upstream, z: (factor * upstream * (np.exp(_log_softmax(z)) - GOAL) / len(z)).astype(np.float32)


LABELS = np.where(np.arange(64) % 5, np.arange(64) * 7 % 100, -1)


def _entropy(z: Array) -> Array:
    """Return the mean cross entropy of the rows that have a label."""
    of_label = _log_softmax(z.astype(np.float32))[np.arange(64), LABELS]
    return np.float32(-(of_label * (LABELS >= 0)).sum() / (LABELS >= 0).sum())


def _entropy_backward(ignored: float, scale: float) -> Callable[..., Array]:
    def backward(upstream: Array, z: Array) -> Array:
        made = np.exp(_log_softmax(z.astype(np.float32)))
        made[np.arange(64), LABELS] -= 1.0
        made *= np.where(LABELS >= 0, 1.0, ignored)[:, None] * scale * upstream / (LABELS >= 0).sum()
        return made.astype(z.dtype)

    return backward


def _decided(dtype: Any, forward: Callable[..., Array], backward: Any, shape: tuple[int, ...], seed: int) -> Verdict:
    x = np.random.default_rng(seed).uniform(-3, 3, shape).astype(dtype)
    (result,) = gradaudit.check(gradaudit.op(_only(dtype, forward), backward), {"x": x}, seed=seed).results
    return result.verdict


@pytest.mark.parametrize("seed", range(3))
def test_no_jump_excuses_the_gradient_of_a_smooth_loss_in_float32(seed: int) -> None:
    """A mismatch scatters about its trend by far more than one number is rounded by, and differences see nothing."""
    shape = GOAL.shape
    assert _decided(np.float32, _divergence, _divergence_backward(1.0), shape, seed) is Verdict.PASS
    assert _decided(np.float32, _divergence, _divergence_backward(-1.0), shape, seed) is Verdict.FAIL
    assert _decided(np.float32, _divergence, _divergence_backward(0.02), shape, seed) is Verdict.FAIL


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
@pytest.mark.parametrize(("ignored", "scale"), [(1.0, 1.0), (0.0, 1024.0), (0.0, 0.8)])
def test_no_jump_excuses_the_gradient_of_a_smooth_loss_of_rows(dtype: Any, ignored: float, scale: float) -> None:
    """Rows without a label that get a gradient, the scale of the loss left in, a wrong number of rows."""
    shape = (64, 100)
    assert _decided(dtype, _entropy, _entropy_backward(0.0, 1.0), shape, 0) is not Verdict.FAIL
    assert _decided(dtype, _entropy, _entropy_backward(ignored, scale), shape, 0) is Verdict.FAIL


@pytest.mark.parametrize("seed", range(2))
def test_a_sum_of_staircases_does_not_make_a_right_claim_wrong(seed: int) -> None:
    """Hundreds of jumps, none of which is large beside what else happens to the one output meanwhile."""

    def forward(x: Array) -> Array:
        return np.float32((x * np.floor(x * 4) / 4).sum())

    def backward(upstream: Array, x: Array) -> Array:
        return (upstream * np.floor(x * 4) / 4).astype(np.float32)

    assert _decided(np.float32, forward, backward, (30, 30), seed) is not Verdict.FAIL


def _square(x: Array) -> Array:
    return np.maximum(x, 0) ** 2


def _kernel(factor: float) -> gradaudit.Op:
    def backward(upstream: Array, x: Array) -> Array:
        return np.float32(factor) * upstream * 2 * np.maximum(x, 0)

    return gradaudit.op(_only(np.float32, _square), backward)


@pytest.mark.parametrize("factor", [0.5, -1.0, 1024.0])
def test_a_gradient_is_told_to_be_so_many_times_the_true_one_and_its_rows_hold_at_the_point(factor: float) -> None:
    """Along a path the slope of a square changes: what is printed for an index is the derivative where it stands."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (60, 50)).astype(np.float32)
    upstream = (rng.uniform(0.5, 1.5, x.shape) * rng.choice([-1, 1], x.shape)).astype(np.float32)
    audit = gradaudit.check(_kernel(factor), {"x": x}, upstream=upstream)
    (result,) = audit.results
    told = [float(said) for said in re.findall(r"(-?[\d.]+) times what forward says", result.message)]
    assert told
    assert told == [pytest.approx(factor, rel=1e-2)] * len(told)
    assert result.mismatches
    for each in result.mismatches:
        true = 2 * max(float(x[each.index]), 0.0) * float(upstream[each.index])
        assert abs(complex(each.numerical).real - true) <= each.error_bound
    assert "at least" in str(audit.report)


def _zeros_claimed_for(forward: Callable[..., Array], seed: int) -> Verdict:
    x = np.random.default_rng(seed).uniform(-9, 9, 20)
    op = gradaudit.op(forward, lambda upstream, x: np.zeros_like(x))
    return gradaudit.check(op, {"x": x}).results[0].verdict


@pytest.mark.parametrize("digits", [3, 4])
@pytest.mark.parametrize("inner", [lambda x: x, np.sin], ids=["identity", "sine"])
def test_zeros_are_right_between_the_steps_of_a_quantisation_however_far_a_path_climbs(digits: int, inner: Any) -> None:
    for seed in range(3):
        assert _zeros_claimed_for(lambda x: np.round(inner(x), digits), seed) is not Verdict.FAIL


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("inner", [lambda x: x, np.sin], ids=["identity", "sine"])
def test_zeros_are_wrong_where_rounding_to_a_dtype_is_all_that_makes_forward_stand_still(
    dtype: str, inner: Any
) -> None:
    for seed in range(3):
        assert _zeros_claimed_for(lambda x: inner(x).astype(dtype).astype(np.float64), seed) is Verdict.FAIL


def _cut_off(x: Array) -> Array:
    """Return what a matrix unit reads of float32: the digits of TF32, the others dropped."""
    return (np.ascontiguousarray(x, np.float32).view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


@pytest.mark.parametrize("factor", [1.0, 1.02])
def test_an_op_that_drops_digits_of_what_it_is_given_is_followed_between_numbers_that_it_tells_apart(
    factor: float,
) -> None:
    def backward(upstream: Array, a: Array, b: Array) -> tuple[Array, Array]:
        upstream, a, b = map(_cut_off, (upstream, a, b))
        return upstream @ b.T, a.T @ upstream * np.float32(factor)

    op = gradaudit.op(_only(np.float32, lambda a, b: _cut_off(a) @ _cut_off(b)), backward)
    rng = np.random.default_rng(0)
    inputs = {"a": rng.uniform(-1, 1, (48, 64)).astype("f"), "b": rng.uniform(-1, 1, (64, 40)).astype("f")}
    found = {result.input: result for result in gradaudit.check(op, inputs).results}
    assert found["a"].verdict is Verdict.PASS, found["a"].message
    assert found["b"].verdict is (Verdict.PASS if factor == 1.0 else Verdict.FAIL), found["b"].message
    assert factor != 1.0 or (found["a"].forwards <= 150 and found["a"].backwards <= 150)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16])
def test_what_a_codebook_leaves_over_is_not_accused_for_the_jumps_between_codes(dtype: Any) -> None:
    """A row jumps by little, beside all outputs; of its own outputs that is far more than noise."""
    codes = np.random.default_rng(1).normal(size=(16, 8)).astype(np.float32)

    def forward(x: Array) -> Array:
        wide = x.astype(np.float32)
        return (wide - codes[((wide[:, None] - codes) ** 2).sum(-1).argmin(1)]).astype(dtype)

    x = np.random.default_rng(0).uniform(-2, 2, (200, 8)).astype(dtype)
    (result,) = gradaudit.check(gradaudit.op(_only(dtype, forward), lambda upstream, x: upstream), {"x": x}).results
    assert result.verdict is not Verdict.FAIL, result.message


@pytest.mark.parametrize("seed", [0, 1])
def test_kinks_on_all_paths_take_no_more_calls_than_an_audit_has(seed: int) -> None:
    """A rectified product in bfloat16 has some of its kinks on any path; what is left open is said in time."""
    wide = np.float32

    def forward(x: Array, w: Array) -> Array:
        return np.maximum(x.astype(wide) @ w.astype(wide), 0).astype(x.dtype)

    def backward(upstream: Array, x: Array, w: Array) -> tuple[Array, Array]:
        x, w = x.astype(wide), w.astype(wide)
        upstream = upstream.astype(wide) * (x @ w > 0)
        return (upstream @ w.T).astype(ml_dtypes.bfloat16), (x.T @ upstream).astype(ml_dtypes.bfloat16)

    rng = np.random.default_rng(seed)
    inputs = {name: rng.uniform(-1, 1, (32, 32)).astype(ml_dtypes.bfloat16) for name in "xw"}
    audit = gradaudit.check(gradaudit.op(_only(ml_dtypes.bfloat16, forward), backward), inputs)
    assert all(result.verdict is not Verdict.FAIL for result in audit.results)
    assert max(result.forwards for result in audit.results) <= 150
    assert max(result.backwards for result in audit.results) <= 150


def test_a_solver_that_stops_early_is_told_of_whether_a_seed_shows_its_jumps_or_not() -> None:
    """Between two numbers of iterations it is smooth: nothing tells it from a formula that is slightly wrong."""

    def solved(mean: Array, error: float) -> Array:
        anomaly = mean
        while np.abs((step := mean + 0.6 * np.sin(anomaly)) - anomaly).max() >= error:
            anomaly = step
        return step

    op = gradaudit.op(lambda x: solved(x, 1e-5), lambda u, x: u / (1 - 0.6 * np.cos(solved(x, 1e-15))))
    verdicts = set()
    for seed in (0, 7):
        mean = np.random.default_rng(seed).uniform(0.2, 3, 9)
        made = gradaudit.check(op, {"mean": mean}, seed=seed).results[0]
        (said,) = [found.message for found in made.findings if found.code == "approximate-forward"]
        verdicts.add(made.verdict)
        both = "backward's formula is slightly wrong" in said and "forward only approximates the function" in said
        assert both == (made.verdict is Verdict.FAIL)
    assert verdicts == {Verdict.PASS, Verdict.FAIL}


def test_where_any_error_could_be_hidden_no_size_is_told() -> None:
    """A parameter of units that are off, in a loss of one float16 number: nothing is claimed, and nothing is seen."""

    def square(x: Any, t: Any) -> Any:
        if x.dtype != np.float16:
            raise TypeError("float16 only")
        return np.maximum(x - np.float16(8), 0) * t[0] + x * x

    def forward(x: Any, t: Any) -> Any:
        return (square(x, t) ** 2).sum(dtype=np.float16)

    def backward(upstream: Any, x: Any, t: Any) -> tuple[Any, Any]:
        return (4 * upstream * square(x, t) * x).astype(np.float16), np.zeros(1, np.float16)

    inputs = array("x", (17, 2), dtype="float16"), array("t", (1,), dtype="float16")
    _, of_parameter = audit(forward, backward, *inputs, dtype="float16").results
    assert of_parameter.verdict is Verdict.INCONCLUSIVE
    assert "an error of any size could be hidden at an index (goal 0.25);" in of_parameter.message
