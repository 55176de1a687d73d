"""Where wrong indices lie in the picture of a gradient."""

from __future__ import annotations

import math

import pytest

from gradaudit.explain.heat_map import MAX_COLUMNS, MAX_ROWS, HeatMap, heat_map
from gradaudit.results import Mismatch, Result, Verdict


def mapped(shape: tuple[int, ...], *wrong: tuple[int, ...], difference: float = 0.5, **more: object) -> HeatMap | None:
    rows = tuple(Mismatch(index, 1.0 + difference, 1.0, 0.0, difference, 0.01) for index in wrong)
    size = math.prod(shape)
    keys = {"wrong": len(rows), "checked": size} | more
    return heat_map(Result("f", "m", "c", "float64", "x", Verdict.FAIL, size=size, mismatches=rows, **keys), shape)


def test_leading_axes_are_stacked() -> None:
    heat = mapped((2, 3, 4), (1, 2, 3), (0, 1, 0))
    assert heat is not None
    marked = {(i, j) for i, row in enumerate(heat.cells) for j, cell in enumerate(row) if cell}
    assert marked == {(5, 3), (1, 0)}
    assert heat.cells[5][3] == pytest.approx(50.0)
    assert heat.row_indices(5) == ((1, 2), (1, 2))


@pytest.mark.parametrize("shape", [(100, 500), (7, 1000), (5, 50, 61), (1, 1)])
def test_every_index_has_a_cell_on_the_screen(shape: tuple[int, ...]) -> None:
    last = tuple(size - 1 for size in shape)
    heat = mapped(shape, last)
    assert heat is not None
    assert len(heat.cells) <= MAX_ROWS
    assert len(heat.cells[0]) <= MAX_COLUMNS
    assert heat.cells[-1][-1] > 0
    assert heat.row_indices(len(heat.cells) - 1)[1] == last[:-1]


def test_a_cell_shows_the_worst_of_its_elements() -> None:
    rows = (Mismatch((0, 0), 1.0, 0.9, 0.0, 0.1, 0.01), Mismatch((0, 1), 2.0, 1.0, 0.0, 1.0, 0.01))
    heat = heat_map(Result("f", "m", "c", "float64", "x", Verdict.FAIL, size=1000, mismatches=rows), (1, 1000))
    assert heat is not None
    assert heat.cells[0][0] == pytest.approx(100.0)


def test_a_difference_that_is_no_number_is_the_worst() -> None:
    heat = mapped((2, 2), (0, 0), difference=math.nan)
    assert heat is not None
    assert heat.cells[0][0] == math.inf


def test_blank_means_right_only_where_everything_was_looked_at() -> None:
    complete, sampled = mapped((2, 2), (0, 0)), mapped((2, 2), (0, 0), checked=2)
    assert complete is not None
    assert sampled is not None
    assert complete.complete
    assert not sampled.complete


@pytest.mark.parametrize(("shape", "wrong"), [((4,), [(1,)]), ((), [()]), ((3, 4), [])])
def test_there_is_none_for_one_axis_or_without_mismatches(shape: tuple[int, ...], wrong: list[tuple[int, ...]]) -> None:
    assert mapped(shape, *wrong) is None
