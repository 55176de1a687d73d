"""Signs and factors: named where they hold everywhere, not where they nearly do."""

from __future__ import annotations

import numpy as np
import pytest
from made_evidence import codes, normal, only_cause, some_places

G = normal(4, 6, 5)


def test_a_flipped_sign() -> None:
    found = only_cause(-G, G)
    assert found.code == "sign-flipped"
    assert found.message == "numerical = -analytical at every index"


def test_a_sign_that_is_nearly_flipped() -> None:
    assert codes(-1.001 * G, G) == ["constant-factor"]
    spoilt = -G
    spoilt[0] = normal(6, 5, seed=1)
    assert codes(spoilt, G) == []


def test_a_conjugated_gradient() -> None:
    z = normal(12) + 1j * normal(12, seed=1)
    assert only_cause(np.conj(z), z).message == "numerical = conj(analytical) at every index"


@pytest.mark.parametrize(
    ("factor", "params", "name"),
    [
        (1 / (1 - 0.3), {"p": 0.3}, "1/(1-p)"),
        (1 - 0.3, {"p": 0.3}, "1-p"),
        (0.01, {"slope": 0.01}, "slope"),
        (1 / 0.07, {"temperature": 0.07}, "1/temperature"),
        (120.0, {}, "N"),
        (1 / 120, {}, "1/N"),
        (1 / 30, {}, "1/N"),
        (4.0, {}, "N"),
        (6 / 5, {}, "N/(N-1)"),
        (np.sqrt(5), {}, "sqrt(d)"),
        (1 / np.sqrt(5), {}, "1/sqrt(d)"),
        (2.0, {}, "2"),
        (-0.5, {}, "-1/2"),
        (1 / np.log(10), {}, "1/ln(10)"),
    ],
)
def test_a_constant_is_named(factor: float, params: dict[str, float], name: str) -> None:
    found = only_cause(G / factor, G, params=params)
    assert found.code == "constant-factor"
    assert name in found.evidence["names"]
    assert found.evidence["factor"] == pytest.approx(factor)


def test_the_message_says_what_the_constant_is_of() -> None:
    assert only_cause(G * 0.7, G, params={"p": 0.3}).message == (
        "numerical = 1.429 x analytical at every index; 1.429 is 1/(1-p) (p = 0.3)"
    )
    assert only_cause(G / 4, G).message.endswith("4.000 is N (N = 4, the batch size, axis 0 of x)")


def test_a_number_near_a_constant_is_not_it() -> None:
    found = only_cause(G / 4.001, G)
    assert (found.code, found.evidence["names"]) == ("constant-factor", [])


def test_one_index_tells_a_plain_factor_and_no_other() -> None:
    truth = np.array(0.7316)
    assert codes(truth / 2, truth) == ["constant-factor"]
    assert codes(truth / 1.37, truth) == []


def test_a_factor_seen_at_scattered_places() -> None:
    truth = normal(300, 200)
    found = only_cause(truth / 200, truth, some_places(truth.shape))
    assert found.code == "constant-factor"
    assert "at each of 48 indices tested" in found.message
    assert "axis 1 of x" in found.message


def test_where_the_claim_is_zero_no_factor_helps() -> None:
    assert codes(np.zeros_like(G), G) == []


def test_a_truth_of_zero_is_not_explained_by_a_factor_of_zero() -> None:
    assert codes(G, np.zeros_like(G)) == []


def test_noise_around_a_factor_is_no_factor() -> None:
    assert codes(G * 2 * (1 + 1e-4 * normal(4, 6, 5, seed=1)), G) == []


def test_a_lost_gamma_is_named() -> None:
    gamma = np.random.default_rng(2).uniform(0.5, 1.5, 6)
    found = only_cause(G, G * gamma[:, None], inputs={"x": normal(4, 6, 5, seed=3), "gamma": gamma})
    assert (found.code, found.evidence["factor"], found.evidence["axes"]) == ("factor-per-axis", "gamma", [1])


def test_a_lost_deviation_is_named_at_scattered_places() -> None:
    x, truth = normal(64, 700, seed=3), normal(64, 700)
    std = np.sqrt(x.var(axis=1, keepdims=True) + 1e-3)
    found = only_cause(truth, truth / std, some_places(truth.shape), inputs={"x": x}, params={"eps": 1e-3})
    assert (found.code, found.evidence["factor"]) == ("factor-per-axis", "1/std of x over axis 1")


def test_a_factor_for_each_channel_without_a_name() -> None:
    factors = np.array([1.5, 0.3, 2.2, 1.9, -0.4, 0.8])
    found = only_cause(G / factors[:, None], G)
    assert (found.code, found.evidence["axes"]) == ("factor-per-axis", [1])
    assert found.evidence["factors"] == pytest.approx(list(factors))


def test_factors_that_depend_on_every_axis_are_not_per_axis() -> None:
    assert codes(G * np.random.default_rng(1).uniform(0.5, 1.5, G.shape), G) == []


def test_factors_fitted_to_one_place_each_explain_nothing() -> None:
    truth, places = normal(40, 2), np.array([[k, 0] for k in range(40)])
    assert codes(truth / np.random.default_rng(1).uniform(1, 2, (40, 1)), truth, places) == []


def test_a_broadcast_gradient_does_not_prove_a_factor_for_each_row() -> None:
    truth, claimed = np.repeat(normal(6, 1), 5, axis=1), np.repeat(normal(6, 1, seed=1), 5, axis=1)
    assert codes(claimed, truth) == []


def test_a_lost_upstream() -> None:
    assert codes(G, G * normal(4, 6, 5, seed=1), upstream=(normal(4, 6, 5, seed=1),)) == ["upstream-ignored"]
    assert codes(G, G * normal(4, 6, 5, seed=1), upstream=(normal(4, 6, 5, seed=2),)) == []


def test_other_inputs_are_mentioned() -> None:
    found = only_cause(-G, G, right_inputs=("beta", "gamma"))
    assert found.message.endswith("; beta and gamma are right")
    assert only_cause(-G, G, wrong_inputs=("gamma",)).evidence["wrong_inputs"] == ["gamma"]
