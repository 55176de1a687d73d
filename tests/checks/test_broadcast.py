"""Gradients of the broadcast shape: told apart into those that want a sum, and those that are of the wrong shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pairs import array, audit, codes

from gradaudit.results import Verdict

PAIRS = [((3, 4), (4,)), ((3, 4), (3, 1)), ((3, 4), ()), ((2, 3, 4), (3, 1)), ((40, 50), (50,)), ((40, 50), (40, 1))]


def audited(shapes: Any, spoil: Any = lambda g: g, dtype: str = "float64", **settings: Any) -> Any:
    x, y = (array(name, shape, 0.5, 1.5, dtype=dtype) for name, shape in zip("xy", shapes, strict=True))
    return audit(lambda x, y: x * y, lambda u, x, y: (u * y, spoil(u * x)), x, y, dtype=dtype, **settings)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("shapes", PAIRS, ids=str)
def test_a_sum_over_the_broadcast_axes_is_all_that_lacks(shapes: Any, dtype: str) -> None:
    x, y = audited(shapes, dtype=dtype).results
    assert (x.verdict, x.findings) == (Verdict.PASS, ())
    assert (y.verdict, [finding.code for finding in y.findings]) == (Verdict.ERROR, ["broadcast-not-reduced"])
    assert y.message == y.findings[0].message
    assert (y.findings[0].evidence["found"], y.findings[0].evidence["expected"]) == ([*shapes[0]], [*shapes[1]])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shapes", PAIRS, ids=str)
def test_a_gradient_that_the_sum_does_not_mend_is_of_the_wrong_shape(shapes: Any, seed: int) -> None:
    made = audited(shapes, lambda g: 1.01 * g, seed=seed)
    assert codes(made) == {"shape-mismatch"}
    assert made.results[1].verdict is Verdict.ERROR


@pytest.mark.parametrize("spoil", [lambda g: g.mean(axis=0)[:2], lambda g: g.T, lambda g: g[:, :2]])
def test_other_shapes_are_not_broadcast(spoil: Any) -> None:
    assert codes(audited(((3, 4), (4,)), spoil)) == {"shape-mismatch"}


def test_an_axis_of_one_too_many_was_not_stretched() -> None:
    made = audit(np.sin, lambda u, x: (u * np.cos(x))[None], array("x", (3,)))
    assert codes(made) == {"shape-mismatch"}


def test_a_gradient_that_is_summed_is_right() -> None:
    made = audited(((3, 4), (4,)), lambda g: g.sum(axis=0))
    assert ({result.verdict for result in made.results}, codes(made)) == ({Verdict.PASS}, set())


def test_what_it_takes_the_place_of_is_not_told_beside_it() -> None:
    made = audited(((3, 4), (4,)))
    assert "shape-mismatch" not in codes(made)
    assert made.check_evaluations <= 12
