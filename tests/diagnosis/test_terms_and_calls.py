"""Terms that are missing, and answers that belong to other calls."""

from __future__ import annotations

import numpy as np
import pytest
from made_evidence import codes, normal, only_cause, some_places

U = normal(8, 3, 10)
X = normal(8, 3, 10, seed=1)


@pytest.mark.parametrize("axes", [(0,), (2,), (0, 2), (0, 1, 2)])
def test_a_lost_mean(axes: tuple[int, ...]) -> None:
    found = only_cause(U, U - U.mean(axis=axes, keepdims=True))
    listed = ", ".join(map(str, axes))
    assert (found.code, found.evidence["coefficient"]) == ("missing-term", -1.0)
    assert f"- the mean of analytical over {'axis' if len(axes) == 1 else 'axes'} {listed}" in found.message


def test_two_thirds_of_a_mean_are_nothing_that_one_recognises() -> None:
    assert codes(U, U - 0.66 * U.mean(axis=2, keepdims=True)) == []


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x)
    return e / e.sum(axis=-1, keepdims=True)


def test_a_softmax_without_its_projection() -> None:
    y = softmax(X)
    found = only_cause(U * y, U * y - y * (U * y).sum(axis=-1, keepdims=True), outputs=(y,), upstream=(U,))
    assert found.message == "numerical = analytical - output times the sum of analytical over axis 2, at every index"


def test_a_log_softmax_without_its_sum_at_scattered_places() -> None:
    x, u = normal(60, 50), normal(60, 50, seed=1)
    truth = u - softmax(x) * u.sum(axis=-1, keepdims=True)
    found = only_cause(u, truth, some_places(x.shape), outputs=(np.log(softmax(x)),), upstream=(u,))
    assert (found.code, found.evidence["term"]) == (
        "missing-term",
        "exp(output) times the sum of analytical over axis 1",
    )


@pytest.mark.parametrize("lost", ["mean", "projection", "both"])
def test_a_batch_norm_that_forgets_its_statistics(lost: str) -> None:
    axes, eps = (0, 2), 1e-3
    std = np.sqrt(X.var(axis=axes, keepdims=True) + eps)
    z = (X - X.mean(axis=axes, keepdims=True)) / std
    mean, along = U.mean(axis=axes, keepdims=True), z * (U * z).mean(axis=axes, keepdims=True)
    kept = {"mean": U - along, "projection": U - mean, "both": U}[lost]
    found = only_cause(kept / std, (U - mean - along) / std, inputs={"x": X}, params={"eps": eps}, upstream=(U,))
    assert found.code == "missing-term"
    assert ("the mean of analytical over axes 0, 2" in found.message) == (lost != "projection")
    assert ("z the normalised x" in found.message) == (lost != "mean")


def test_a_lost_residual() -> None:
    found = only_cause(X * U, X * U + U, upstream=(U,), outputs=(X,))
    assert "numerical = analytical + upstream" in found.message


def test_weight_decay_that_slipped_in() -> None:
    found = only_cause(U + 0.01 * X, U, inputs={"x": X}, params={"decay": 0.01})
    assert found.evidence["term"] == "x"
    assert found.message.startswith("numerical = analytical - 0.01000 times x (0.01000 is decay (decay = 0.01))")


def test_an_unknown_term_is_not_named() -> None:
    assert codes(U, U + np.sin(3 * X), inputs={"x": X}, upstream=(U,)) == []


def test_what_an_earlier_call_left() -> None:
    left = normal(8, 3, 10, seed=4)
    assert codes(U + left, U, earlier=left) == ["accumulated"]
    assert codes(U + left, U, earlier=normal(8, 3, 10, seed=5)) == []


def test_a_buffer_that_grows_from_call_to_call() -> None:
    left = normal(8, 3, 10, seed=4)
    assert codes(left + U, U, again=left + 2 * U, doubled=left + 4 * U) == ["accumulated"]


def test_half_a_gradient_is_not_an_accumulated_one() -> None:
    assert codes(U / 2, U, again=U / 2, doubled=U) == ["constant-factor"]


def test_an_answer_that_is_right_the_next_time() -> None:
    other = normal(8, 3, 10, seed=4)
    assert codes(other, U, again=U, doubled=2 * U) == ["captured-state"]
    assert codes(other, U, again=other, doubled=2 * other) == []


def test_an_answer_that_does_not_follow_the_upstream() -> None:
    other = normal(8, 3, 10, seed=4)
    assert codes(other, U, again=other, doubled=other) == ["upstream-ignored"]
    partly = np.where(X > 0, other, 2 * other)
    assert codes(other, U, again=other, doubled=partly) == []


def test_values_that_repeat_are_one_piece_of_evidence() -> None:
    claimed, truth = np.full((2, 30), 0.2), np.full((2, 30), 0.25)
    claimed[1], truth[1] = 0.1, 0.0371
    assert codes(claimed, truth) == []
