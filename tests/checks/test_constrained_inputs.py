"""Gradients along the surface on which an input lies: of unit vectors, probabilities, orthonormal columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from pairs import array, audit, codes, only

from gradaudit.results import Finding, Verdict
from gradaudit.spec.draw import draw_input

Function = Callable[..., Any]

CODE = "constrained-input"
rng = np.random.default_rng(0)
WEIGHTS = rng.normal(size=(6, 6)) + 6.0 * np.eye(6)
SCALES = np.array([1.0, 2.0, 4.0])


class Op(NamedTuple):
    """A function on a surface, its gradient off and along it, and the distributions that draw its input there."""

    shape: tuple[int, ...]
    forward: Function
    gradient: Function
    along: Function


def without_length(g: Any, x: Any) -> Any:
    return g - x * (g * x).sum(-1, keepdims=True)


def without_mean(g: Any, _: Any) -> Any:
    return g - g.mean(-1, keepdims=True)


def without_stretching(g: Any, x: Any) -> Any:
    products = np.swapaxes(x, -1, -2) @ g
    return g - x @ (products + np.swapaxes(products, -1, -2)) / 2


def quotient(x: Any) -> Any:
    return np.einsum("...i,ij,...j->...", x, WEIGHTS, x)


def quotient_gradient(u: Any, x: Any) -> Any:
    return u[..., None] * (x @ (WEIGHTS + WEIGHTS.T))


def trace(x: Any) -> Any:
    n, columns = x.shape
    return np.einsum("ia,ij,ja,a->", x, WEIGHTS[:n, :n], x, SCALES[:columns])


def trace_gradient(u: Any, x: Any) -> Any:
    n, columns = x.shape
    return u * ((WEIGHTS + WEIGHTS.T)[:n, :n] @ x * SCALES[:columns])


def entropy_gradient(u: Any, p: Any) -> Any:
    return u[..., None] * (np.log(p) + 1)


OPS = {
    "unit": Op((3, 6), quotient, quotient_gradient, without_length),
    "simplex": Op((3, 6), lambda p: (p * np.log(p)).sum(-1), entropy_gradient, without_mean),
    "orthogonal": Op((6, 2), trace, trace_gradient, without_stretching),
    "rotation": Op((3, 3), trace, trace_gradient, without_stretching),
}


def audited(name: str, change: Function, *, stated: bool = True, dtype: str = "float64", shape: Any = None) -> Any:
    """Audit a changed gradient along the surface, at a point that a spec draws there or that happens to lie there."""
    op = OPS[name]
    x = array("x", shape or op.shape, distribution=name, dtype=dtype)
    if not stated:
        x = array("x", x.shape, dtype=dtype, values=draw_input(x, np.random.default_rng(1)))
    backward = lambda u, x: change(op.along(op.gradient(u, x), x)).astype(x.dtype)  # noqa: E731
    return audit(lambda x: np.asarray(op.forward(x)).astype(x.dtype), backward, x, dtype=dtype)


def one_off(g: Any) -> Any:
    g = g.copy()
    g[(0,) * g.ndim] += 0.01 * np.abs(g).max()
    return g


WRONG: dict[str, Function] = {
    "a factor": lambda g: 1.01 * g,
    "a sign": lambda g: -g,
    "nothing": np.zeros_like,
    "turned": lambda g: np.roll(g, 1, -1),
    "one entry": one_off,
}


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("name", OPS)
def test_a_gradient_without_its_normal_part_passes_where_the_spec_says_so(name: str, dtype: str) -> None:
    made = audited(name, lambda g: g, dtype=dtype)
    assert (only(made).verdict, CODE in codes(made)) == (Verdict.PASS, True), only(made).message


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", OPS)
def test_what_is_wrong_along_the_surface_fails(name: str, wrong: str) -> None:
    for stated in (True, False):
        made = audited(name, WRONG[wrong], stated=stated)
        assert (only(made).verdict, CODE in codes(made)) == (Verdict.FAIL, False)


@pytest.mark.parametrize("name", OPS)
def test_where_the_spec_says_nothing_the_finding_tells_what_to_add(name: str) -> None:
    made = only(audited(name, lambda g: g, stated=False))
    found: list[Finding] = [finding for finding in made.findings if finding.code == CODE]
    named = "orthogonal" if name == "rotation" else name
    assert made.verdict is Verdict.FAIL
    assert [finding.evidence for finding in found] == [{"array": "x", "distribution": named}]
    assert f"distribution: {named}" in found[0].message


@pytest.mark.parametrize("name", OPS)
def test_the_whole_gradient_passes_as_it_is(name: str) -> None:
    op = OPS[name]
    made = audit(op.forward, op.gradient, array("x", op.shape, distribution=name))
    assert (only(made).verdict, codes(made)) == (Verdict.PASS, set())


def test_a_large_input_takes_no_more_calls_than_a_small_one() -> None:
    few, many = (only(audited("unit", lambda g: g, shape=(size, 6))) for size in (3, 3_000))
    assert {few.verdict, many.verdict} == {Verdict.PASS}
    assert many.forwards < 2 * few.forwards
    assert only(audited("unit", one_off, shape=(3_000, 6))).verdict is Verdict.FAIL


def test_symmetric_changes_of_a_matrix_that_forward_reads_whole_are_told_too() -> None:
    x = array("a", (3, 3), values=np.array([[2.0, 0.5, 0.1], [0.5, 3.0, 0.2], [0.1, 0.2, 4.0]]))
    gradient = lambda u, a: u * (a.T * WEIGHTS[:3, :3] + (a * WEIGHTS[:3, :3]).T)  # noqa: E731
    forward = lambda a: (a * WEIGHTS[:3, :3] * a).sum()  # noqa: E731
    made = audit(forward, gradient, x)
    assert (only(made).verdict, "symmetric-input" in codes(made)) == (Verdict.FAIL, True)


def test_a_gradient_that_is_all_normal_says_nothing_along_the_surface() -> None:
    x = array("x", (4,), values=np.array([0.5, 0.5, -0.5, 0.5]))
    made = audit(lambda x: (x * x).sum(), lambda u, x: 3 * u * x, x)
    assert (only(made).verdict, CODE in codes(made)) == (Verdict.FAIL, False)


def test_frames_of_few_rows_are_drawn_too() -> None:
    for shape in ((2, 6), (4, 6, 2), (5, 5)):
        x = draw_input(array("x", shape, distribution="orthogonal"), np.random.default_rng(0))
        x = x if x.shape[-1] <= x.shape[-2] else np.swapaxes(x, -1, -2)
        products = np.swapaxes(x, -1, -2) @ x
        assert np.allclose(products, np.eye(x.shape[-1]), atol=1e-14)
