"""Forward along a path beside the integral of the gradient: equal for a right one, apart for a wrong one."""

from __future__ import annotations

import numpy as np
import pytest
from audits import Explained

from gradaudit.explain.path_curve import PathCurve
from gradaudit.report.explanation.path_drawing import draw_path, path_in_words
from gradaudit.report.page.path_picture import path_picture

TANH = "np.tanh(x.astype(np.float32))"
SLOPE = "(u / np.cosh(x) ** 2).astype(np.float32)"


def path_of(explanation: object) -> PathCurve:
    (study,) = explanation.studies
    assert study.path is not None
    return study.path


@pytest.mark.parametrize("factor", [1.0, 1.3, -1.0])
def test_the_integral_is_the_gradients_part_of_the_change(explained: Explained, factor: float) -> None:
    path = path_of(explained(TANH, f"{factor} * {SLOPE}", dtype="float32"))
    assert path.times[0] == path.changes[0] == path.integrals[0] == 0.0
    assert np.array(path.integrals) == pytest.approx(factor * np.array(path.changes), rel=1e-4, abs=1e-5)
    assert abs(path.changes[-1]) > 0.1
    assert path.elements == 12


def test_only_wrong_elements_move_where_they_are_known(explained: Explained) -> None:
    wrong = f"np.where(np.arange(12).reshape(3, 4) < 2, 2, 1) * {SLOPE}"
    path = path_of(explained(TANH, wrong, dtype="float32"))
    assert path.elements == 2
    assert np.array(path.integrals) == pytest.approx(2 * np.array(path.changes), rel=1e-3, abs=1e-5)


def test_a_forward_in_float64_needs_none(explained: Explained) -> None:
    (study,) = explained("np.tanh(x)", "2 * u / np.cosh(x) ** 2").studies
    assert study.path is None


def test_a_coarse_forward_without_a_curve_has_a_path(explained: Explained) -> None:
    half = "(x.astype(np.float32) ** 2).astype(np.float16)"
    path = path_of(explained(half, "(2 * u * x).astype(np.float16)", dtype="float16"))
    assert path.dtype == "float16"
    assert path.integrals[-1] == pytest.approx(path.changes[-1], rel=2e-2)


def test_it_is_shown_in_words_in_a_table_and_as_a_picture() -> None:
    path = PathCurve("x", 7, "float32", (0.0, 0.5, 1.0), (0.0, 1.0, 2.0), (0.0, 0.5, 1.0))
    assert "moves 7 elements of x" in path_in_words(path)
    head, *rows = draw_path(path)
    assert head.split() == ["place", "forward", "integral", "difference"]
    assert [float(row.split()[-1]) for row in rows] == [0.0, 0.5, 1.0]
    picture = path_picture(path)
    (left, low), _, (right, high) = picture.changes
    assert (left, right) == (picture.frame[0], picture.frame[0] + picture.frame[2])
    assert high < low  # upwards on a screen
    assert picture.integral.count("L") == 2
