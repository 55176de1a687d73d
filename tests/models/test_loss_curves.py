"""Loss curves in characters: what stands high is large, what was not finite is said."""

from __future__ import annotations

import math

from gradaudit.report.explanation.glyphs import ASCII, UNICODE
from gradaudit.report.explanation.loss_drawing import HEIGHT, SPARK, draw_losses, spark
from gradaudit.results import Measured


def rows_with_points(lines: tuple[str, ...]) -> list[int]:
    return [k for k, line in enumerate(lines[1 : HEIGHT + 1]) if "●" in line]


def test_a_falling_loss_goes_from_the_top_left_to_the_bottom_right() -> None:
    lines = draw_losses([Measured(k, 10.0 - k) for k in range(10)], UNICODE)
    columns = [line.index("●") for line in lines if "●" in line]
    assert rows_with_points(lines)[0] == 0
    assert rows_with_points(lines)[-1] == HEIGHT - 1
    assert columns == sorted(columns)
    assert lines[1].split()[0] == "10"
    assert lines[HEIGHT].split()[0] == "1"


def test_a_loss_over_decades_has_a_logarithmic_axis() -> None:
    """A loss that halves each epoch is a straight line then: as many points in each half of the rows."""
    lines = draw_losses([Measured(k, 2.0**-k) for k in range(12)], UNICODE)
    assert "logarithmic" in lines[0]
    assert rows_with_points(lines) == list(range(HEIGHT))


def test_a_loss_that_stays() -> None:
    lines = draw_losses([Measured(0, 1.0), Measured(1, 1.0)], UNICODE)
    assert len(rows_with_points(lines)) == 1


def test_where_it_is_lost_is_said() -> None:
    lines = draw_losses([Measured(0, 1.0), Measured(3, math.nan)], ASCII)
    assert any(line.strip() == "not finite from epoch 3 on" for line in lines)
    assert draw_losses([Measured(0, math.inf)], ASCII) == ("the loss was never finite",)


def test_accuracy_is_told_below() -> None:
    lines = draw_losses([Measured(0, 1.0, 0.5), Measured(1, 0.5, 1.0)], ASCII)
    assert lines[-1].strip() == "accuracy _# 0.5 to 1"


def test_one_line_begins_and_ends_as_the_numbers_do() -> None:
    line = spark([float(k) for k in range(100)], ASCII)
    assert (line[0], line[-1]) == (ASCII.heights[0], ASCII.heights[-1])
    assert len(line) <= SPARK + 1
    assert spark([1.0, math.nan], ASCII) == "_?"
