"""Complex inputs and outputs: backward returns g with ``Re(conj(g) dx) = Re(conj(u) df)`` for every dx."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pairs import array, audit, codes, only

from gradaudit.results import Verdict

Function = Callable[..., Any]

# With f_z and f_zbar the Wirtinger derivatives, df = f_z dz + f_zbar conj(dz), and so
# Re(conj(u) df) = Re(conj(u conj(f_z) + conj(u) f_zbar) dz): the bracket is g.
HOLOMORPHIC: dict[str, tuple[Function, Function]] = {
    "square": (lambda z: z * z, lambda u, z: u * np.conj(2.0 * z)),
    "exponential": (np.exp, lambda u, z: u * np.conj(np.exp(z))),
    "reciprocal": (lambda z: 1.0 / (z + 4.0), lambda u, z: u * np.conj(-1.0 / (z + 4.0) ** 2)),
    "times i": (lambda z: 1j * z, lambda u, z: -1j * u),
}
NOT_HOLOMORPHIC: dict[str, tuple[Function, Function]] = {
    "conjugate": (np.conj, lambda u, z: np.conj(u)),
    "squared magnitude": (lambda z: z.real**2 + z.imag**2, lambda u, z: 2.0 * u * z),
    "magnitude": (np.abs, lambda u, z: u * z / np.abs(z)),
    "real part": (np.real, lambda u, z: u.astype(z.dtype)),
    "imaginary part": (np.imag, lambda u, z: 1j * u),
    "z times its conjugate, complex": (lambda z: z * np.conj(z), lambda u, z: 2.0 * u.real * z),
    "z squared times conjugate": (
        lambda z: z * z * np.conj(z),
        lambda u, z: u * np.conj(2.0 * z * np.conj(z)) + np.conj(u) * z * z,
    ),
}
ALL = HOLOMORPHIC | NOT_HOLOMORPHIC


def cast(backward: Function) -> Function:
    return lambda u, z: backward(u, z).astype(z.dtype)


def audited(forward: Function, backward: Function, dtype: str, seed: int) -> Any:
    # Away from zero, where the magnitude has a kink.
    z = array("z", (3, 2), 0.2, 1.5, dtype=dtype)
    return only(audit(forward, cast(backward), z, dtype=dtype, seed=seed))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", ["complex128", "complex64"])
@pytest.mark.parametrize("name", ALL)
def test_the_gradient_of_the_convention_is_right(name: str, dtype: str, seed: int) -> None:
    result = audited(*ALL[name], dtype, seed)
    assert (result.verdict, result.message) == (Verdict.PASS, "")


@pytest.mark.parametrize("dtype", ["complex128", "complex64"])
@pytest.mark.parametrize("name", ALL)
def test_its_conjugate_is_wrong(name: str, dtype: str) -> None:
    forward, backward = ALL[name]
    result = audited(forward, lambda u, z: np.conj(backward(u, z)), dtype, 0)
    gradient_is_real = name == "real part"
    assert result.verdict is (Verdict.PASS if gradient_is_real else Verdict.FAIL)


@pytest.mark.parametrize("name", HOLOMORPHIC)
def test_leaving_out_the_conjugate_of_the_derivative_is_wrong(name: str) -> None:
    forward, _ = HOLOMORPHIC[name]
    h = 1e-6
    derivative = lambda z: (forward(z + h) - forward(z - h)) / (2.0 * h)  # noqa: E731
    result = audited(forward, lambda u, z: u * derivative(z), "complex128", 0)
    assert (result.verdict, result.wrong) == (Verdict.FAIL, 6)


@pytest.mark.parametrize("name", ALL)
def test_the_numerical_gradient_is_the_true_one_in_both_parts(name: str) -> None:
    forward, backward = ALL[name]
    truth: list[Any] = []

    def nothing(u: Any, z: Any) -> Any:
        truth.append(backward(u, z))
        return np.zeros_like(z)

    result = audited(forward, nothing, "complex128", 0)
    assert len(result.mismatches) == 6
    for found in result.mismatches:
        assert isinstance(found.numerical, complex)
        assert abs(found.numerical - truth[0][found.index]) <= found.error_bound


def test_a_real_input_into_a_complex_output_has_a_real_gradient() -> None:
    turn = lambda x: np.exp(1j * x)  # noqa: E731
    backward = lambda u, x: (np.conj(1j * turn(x)) * u).real  # noqa: E731
    assert only(audit(turn, backward, array("x", (4,)))).verdict is Verdict.PASS
    assert only(audit(turn, lambda u, x: -backward(u, x), array("x", (4,)))).wrong == 4


MISTYPED = {
    "real, and right": (np.real, lambda u, z: u, "complex128", 0),
    "real, where it should not be": (np.sin, lambda u, z: (u * np.conj(np.cos(z))).real, "complex128", 4),
    "complex, and right": (np.sin, lambda u, x: u * np.cos(x) + 0j, "float64", 0),
    "complex, with a wrong real part": (np.sin, lambda u, x: 1.01 * u * np.cos(x) + 0j, "float64", 4),
}


@pytest.mark.parametrize("name", MISTYPED)
def test_a_gradient_that_is_complex_where_its_input_is_not_fails_and_is_compared(name: str) -> None:
    forward, backward, dtype, wrong = MISTYPED[name]
    found = audit(forward, backward, array("z", (4,), dtype=dtype), dtype=dtype)
    assert (only(found).verdict, only(found).expected, only(found).wrong) == (Verdict.FAIL, False, wrong)
    assert codes(found) == {"dtype-mismatch"}
