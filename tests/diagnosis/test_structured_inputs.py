"""Wrong gradients of inputs with a structure: the verdict and its table stand, and the cause holds at other draws."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "checks"))

from pairs import array, audit, case_of, only
from planted import causes

from gradaudit.results import Verdict
from gradaudit.spec.case import Distribution, Input
from gradaudit.spec.draw import UndrawableError, draw_inputs
from gradaudit.spec.other_shapes import distinct_shapes, other_shapes, shapes_of, small_shapes, tiny
from gradaudit.spec.structured import SQUARE, WITHOUT_RANGE

DISTRIBUTIONS = get_args(Distribution)


def made_of(kind: Any, shape: tuple[int, ...] = (4, 4)) -> Input:
    return array("a", shape, 0.0, 1.0, distribution=kind, **{"range": None} if kind in WITHOUT_RANGE else {})


@pytest.mark.parametrize("kind", DISTRIBUTIONS)
def test_a_flipped_sign_is_named_for_every_distribution(kind: Any) -> None:
    result = only(audit(np.sin, lambda u, a: -u * np.cos(a), made_of(kind)))
    assert result.verdict is Verdict.FAIL
    assert result.mismatches
    assert [cause.code for cause in causes(result)][:1] == ["sign-flipped"]
    assert "elsewhere" not in causes(result)[0].evidence  # which would say that no other point could be drawn


def logdet(a: Any) -> Any:
    return np.linalg.slogdet(a)[1]


def angle(a: Any) -> Any:
    return np.arccos((np.trace(a) - 1) / 2)


MATRICES = {
    "logdet": (logdet, lambda u, a: -u * np.linalg.inv(a).T, "spd", (5, 5)),
    "angle": (angle, lambda u, a: u * np.eye(3) / 2 / np.sin(angle(a)), "rotation", (3, 3)),
    "inverse": (np.linalg.inv, lambda u, a: np.linalg.inv(a).T @ u @ np.linalg.inv(a).T, "triangular", (4, 4)),
    "gram": (lambda a: a @ a.T, lambda u, a: -(u + u.T) @ a, "orthogonal", (4, 4)),
    "squares": (lambda a: a @ a, lambda u, a: -u @ a.mT - a.mT @ u, "symmetric", (2, 4, 4)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_a_flipped_sign_is_named_for_functions_of_square_matrices(name: str) -> None:
    forward, backward, kind, shape = MATRICES[name]
    result = only(audit(forward, backward, made_of(kind, shape)))
    assert [cause.code for cause in causes(result)] == ["sign-flipped"]


def test_half_of_a_quadratic_form_is_missing() -> None:
    a, x = made_of("symmetric", (5, 5)), array("x", (5,))
    audited = audit(lambda a, x: x @ a @ x, lambda u, a, x: (u * np.outer(x, x), u * (a @ x)), a, x)
    right, wrong = audited.results
    assert (right.verdict, wrong.verdict) == (Verdict.PASS, Verdict.FAIL)
    assert [cause.code for cause in causes(wrong)] == ["constant-factor"]


@pytest.mark.parametrize("kind", DISTRIBUTIONS)
@pytest.mark.parametrize("shape", [(5, 5), (3, 3, 3), (6, 2, 2)])
def test_every_other_shape_of_a_structure_can_be_drawn(kind: Any, shape: tuple[int, ...]) -> None:
    case = case_of(np.sin, np.cos, made_of(kind, shape), array("x", shape[-1:]))
    made = [*other_shapes(case), *distinct_shapes(case), *small_shapes(case), tiny(case, 2)]
    assert any(other.inputs[0].shape != shape for other in made)
    for other in made:
        assert [a.shape for a in draw_inputs(other).values()] == shapes_of(other)


def test_columns_with_a_range_each_stay_as_many() -> None:
    table = array("a", (4, 4), 0.0, 1.0, columns=((0.0, 1.0), (5.0, 6.0), (-1.0, 1.0), (2.0, 3.0)))
    case = case_of(np.sin, np.cos, table)
    shapes = {shapes_of(other)[0] for other in (*other_shapes(case), *distinct_shapes(case), tiny(case, 2))}
    assert {shape[-1] for shape in shapes} == {4}
    assert len({shape[0] for shape in shapes}) > 1
    result = only(audit(np.sin, lambda u, a: -u * np.cos(a), table))
    assert [cause.code for cause in causes(result)] == ["sign-flipped"]


def test_elements_that_must_lie_apart_cost_no_verdict() -> None:
    close = array("a", (4, 4), gap=0.19)  # sixteen fit into the range, and no more
    result = only(audit(np.sin, lambda u, a: -u * np.cos(a), close))
    assert [cause.code for cause in causes(result)] == ["sign-flipped"]
    with pytest.raises(UndrawableError, match="so far apart"):
        draw_inputs(case_of(np.sin, np.cos, array("a", (5, 4), gap=0.19)))


@pytest.mark.parametrize("kind", SQUARE)
def test_what_is_not_square_cannot_be_drawn(kind: Any) -> None:
    with pytest.raises(UndrawableError, match=r"square matrices, found \[4, 5\]"):
        draw_inputs(case_of(np.sin, np.cos, made_of(kind, (4, 5))))


@pytest.mark.parametrize("error", [ValueError("no such axis"), ZeroDivisionError(), KeyError("x"), RecursionError()])
def test_a_fault_in_the_search_for_causes_costs_no_verdict(error: Exception) -> None:
    def raising(*_: Any, **__: Any) -> None:
        raise error

    with patch("gradaudit.audit.likely_causes.causes_of", raising):
        result = only(audit(np.sin, lambda u, x: -u * np.cos(x)))
    assert result.verdict is Verdict.FAIL
    assert len(result.mismatches) > 0
    assert result.wrong == 12
    assert f"its cause is not known: the search for it raised {type(error).__name__}" in result.message
