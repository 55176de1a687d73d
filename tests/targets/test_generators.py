"""What an op draws from the global generators is the same at every forward, and its user's numbers are not touched."""

from __future__ import annotations

import random

import numpy as np
import pytest
from numpy.random.mtrand import get_bit_generator, set_bit_generator

import gradaudit
from gradaudit.targets.generators import restored, seeded, set_aside


def next_numbers() -> tuple[float, float, float]:
    """Return what a user draws next; of two normal numbers NumPy makes, it keeps one for later."""
    return random.random(), float(np.random.standard_normal()), float(np.random.random_sample())


def drawn(seed: int) -> tuple[float, float, float]:
    random.seed(seed)
    np.random.seed(seed)
    np.random.standard_normal()
    return next_numbers()


@pytest.mark.parametrize("draws", [False, True])
def test_a_user_s_numbers_are_the_same_whether_there_was_an_audit_or_not(draws: bool) -> None:
    expected = drawn(7)
    random.seed(7)
    np.random.seed(7)
    np.random.standard_normal()

    def forward(x: np.ndarray) -> np.ndarray:
        factor = np.random.random_sample(x.shape) + random.random() if draws else 2.0
        return factor * x

    def backward(u: np.ndarray, x: np.ndarray) -> np.ndarray:
        return u * (forward(np.ones_like(x)))

    audit = gradaudit.check(gradaudit.op(forward, backward), {"x": np.linspace(-1.0, 1.0, 5)})
    assert audit.verdict == ("pass" if not draws else "fail")  # backward draws other numbers than forward did
    assert next_numbers() == expected


def test_what_is_seeded_within_is_put_back_at_once_and_the_rest_in_the_end() -> None:
    expected = drawn(7)
    random.seed(7)
    np.random.seed(7)
    np.random.standard_normal()
    with restored():
        with seeded(0):
            first = next_numbers()
            with seeded(1):
                next_numbers()
            rest = next_numbers()
        with seeded(0):
            assert (next_numbers(), next_numbers()) == (first, rest)
    assert next_numbers() == expected


def test_what_is_drawn_meanwhile_comes_from_another_source() -> None:
    drawn(7)
    expected = random.random(), float(np.random.random_sample())
    drawn(7)
    source = get_bit_generator()
    with set_aside():
        assert get_bit_generator() is not source
        with set_aside(), seeded(0):
            next_numbers()
        next_numbers()
    assert get_bit_generator() is source
    assert (random.random(), float(np.random.random_sample())) == expected


@pytest.mark.parametrize("normal", [False, True])
def test_a_user_may_have_given_numpy_another_source(normal: bool) -> None:
    usual = get_bit_generator()
    set_bit_generator(np.random.PCG64(7))
    try:
        if normal:
            np.random.standard_normal()
        state = get_bit_generator().state
        op = gradaudit.op(lambda x: np.random.random_sample(x.shape) * x, lambda u, x: u)
        assert gradaudit.check(op, {"x": np.linspace(-1.0, 1.0, 5)}).verdict == "fail"
        assert gradaudit.check(gradaudit.op(np.sin, lambda u, x: u * np.cos(x)), {"x": np.ones(3)}).verdict == "pass"
        assert get_bit_generator().state == state
    finally:
        set_bit_generator(usual)
