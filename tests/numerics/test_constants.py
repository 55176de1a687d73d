"""The named numeric constants of ``numerics/`` and ``checks/``: how many there are, and that each says what for."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import gradaudit

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from sensitivity_constants import Readings, change, constants, names_bound, times

ROOT = Path(gradaudit.__file__).parent

MOST = 31
"""How many there are: whoever adds one finds another to derive, to merge or to delete."""


def test_there_are_no_more_of_them() -> None:
    assert len(list(constants(ROOT, ("numerics", "checks")))) <= MOST


def test_each_says_what_it_is_for() -> None:
    """A text follows each, or the last of several in a row."""
    silent = []
    for made in constants(ROOT, ("numerics", "checks")):
        body = ast.parse((ROOT / made.file).read_text()).body
        place = next(k for k, statement in enumerate(body) if names_bound(statement) == made.name)
        following = next(statement for statement in body[place:] if names_bound(statement) is None)
        if not (isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)):
            silent.append(f"{made.file}:{made.name}")
    assert silent == []


def test_numbers_are_scaled_and_stay_what_they_are() -> None:
    assert times(3.0, 0.5) == 1.5
    assert [times(n, 0.5) for n in (1, 3, 8)] == [1, 2, 4]
    assert times((1, 0.5), 2.0) == (2, 1.0)


def test_a_constant_changes_wherever_it_is_held() -> None:
    """In its module, in what is computed from it, and where it is imported by name."""
    from gradaudit.numerics import axes, margins

    (margin,) = (made for made in constants(ROOT, ("numerics",)) if made.name == "SAFETY")
    before, derived = margins.SAFETY, axes.STEP_ROUNDING
    readings = Readings(ROOT)
    try:
        change(ROOT, readings, margin, 2.0)
        assert (2 * before, 2 * before, derived / 2) == (margins.SAFETY, axes.SAFETY, axes.STEP_ROUNDING)
    finally:
        change(ROOT, readings, margin, 0.5)
    assert (before, before, derived) == (margins.SAFETY, axes.SAFETY, axes.STEP_ROUNDING)
