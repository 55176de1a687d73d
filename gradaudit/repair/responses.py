"""What an expression would have to be worth for backward to be right: its effect on the gradient, measured and solved.

Backward is called with each number of the expression moved a little. Where its answer depends on the expression
linearly, which is the rule, one matrix then says what any other value would make of the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradaudit.repair.draws import Draw, Vector
from gradaudit.repair.holes import LARGEST, Watched, stacked, unstacked
from gradaudit.repair.values import reals

Array = NDArray[np.generic]
Floats = NDArray[np.float64]
Answer = Callable[[Floats], Floats]
"""From values of an expression to the gradient, as reals."""

NEWTON = 6
"""Steps of Newton's method, where the dependence is no linear one."""

MOVED = 1e-6
"""Step of a difference, relative to the values, where the dependence is not linear."""


@dataclass(frozen=True)
class Response:
    """How the gradient depends on an expression.

    Attributes:
        shapes: arrays of the shapes that its values have, or are spread to.
        now: its values, as one vector of reals.
        missing: what the gradient lacks with these, as reals.
        matrix: the change of the gradient, as reals, for a change of each of them.
        linear: whether that is so however large the change.
        wanted: values that make the gradient right; where several do, those nearest to the present ones.
        determined: which of them are the only ones that do.

    """

    shapes: list[NDArray[np.generic]]
    now: Floats
    missing: Floats
    matrix: Floats
    linear: bool
    wanted: Floats
    determined: NDArray[np.bool_]


def rows_of(draw: Draw, gradient: Vector, targets: frozenset[str]) -> NDArray[np.bool_]:
    """Return the places that must be right afterwards: of the inputs to mend, and what is right already."""
    names = draw.names
    wanted = np.array([names[k] in targets for k in draw.owners], bool)
    rows: NDArray[np.bool_] = (wanted | draw.right(gradient)) & np.isfinite(draw.slack)
    return rows


def response(watched: Watched, k: int, draw: Draw, rows: NDArray[np.bool_], spread: tuple[int, ...]) -> Response | None:
    """Measure how the gradient depends on an expression; None where no value of it makes the gradient right.

    Args:
        watched: the function, with its code in place and its hook set.
        k: the expression.
        draw: where.
        rows: the places that must be right.
        spread: the shape that its values are spread to; its own for none.

    """
    found = watched.holes[k].numbers()
    if found is None:
        return None
    models = [np.array(np.broadcast_to(array, np.broadcast_shapes(array.shape, spread))) * 1.0 for array in found]
    now = stacked(models)
    if not 0 < len(now) <= LARGEST:
        return None

    def answer(vector: Floats) -> Floats:
        return reals(watched.replace(k, unstacked(vector, models), draw.gradient)[rows])

    base, goal = answer(now), reals(draw.numerical[rows])
    if not np.isfinite(base).all():
        return None
    slack = np.tile(draw.slack[rows], base.size // max(1, int(rows.sum())))  # once more for imaginary parts
    size = float(np.sqrt(np.mean(np.square(now)))) or 1.0
    linear = _is_linear(answer, now, base, np.random.default_rng(k).standard_normal(len(now)) * size)
    if linear is None:
        return None
    matrix = _matrix(answer, now, base, size if linear else MOVED * size)
    wanted = _solved(matrix, now, goal - base)
    if wanted is not None and not linear:
        wanted = _refined(answer, wanted, goal, slack, MOVED * size)
    if wanted is None or not (np.abs(answer(wanted) - goal) <= 10 * slack).all():
        return None
    return Response(list(models), now, goal - base, matrix, linear, wanted, _determined(matrix))


def _is_linear(answer: Answer, now: Floats, base: Floats, toward: Floats) -> bool | None:
    """Return whether the gradient depends linearly on an expression; None where it does not depend on it."""
    near, far = answer(now + 0.5 * toward), answer(now + toward)
    if not (np.isfinite(far).all() and np.isfinite(near).all()):
        return False
    scale = float(np.abs(far - base).max(initial=0.0))
    if scale <= 1e-12 * max(1.0, float(np.abs(base).max(initial=0.0))):
        return None
    return bool((np.abs(far - base - 2 * (near - base)) <= 1e-9 * scale).all())


def _refined(answer: Answer, wanted: Floats, goal: Floats, slack: Floats, step: float) -> Floats | None:
    """Return wanted values after some steps of Newton's method."""
    for _ in range(NEWTON):
        reached = answer(wanted)
        if not np.isfinite(reached).all():
            return None
        if (np.abs(reached - goal) <= slack).all():
            break
        further = _solved(_matrix(answer, wanted, reached, step), wanted, goal - reached)
        if further is None:
            return None
        wanted = further
    return wanted


def _matrix(answer: Answer, now: Floats, base: Floats, step: float) -> Floats:
    columns = []
    for k in range(len(now)):
        moved = now.copy()
        moved[k] += step
        columns.append((answer(moved) - base) / step)
    return np.nan_to_num(np.array(columns).T)


def _solved(matrix: Floats, now: Floats, missing: Floats) -> Floats | None:
    try:
        change, *_ = np.linalg.lstsq(matrix, missing, rcond=1e-10)
    except np.linalg.LinAlgError:
        return None
    made: Floats = now + change
    return made


def _determined(matrix: Floats) -> NDArray[np.bool_]:
    """Return the unknowns that only one value solves for: those that no vector of the null space moves."""
    _, values, rows = np.linalg.svd(matrix, full_matrices=True)
    rank = int((values > 1e-9 * values.max(initial=0.0)).sum())
    free = rows[rank:]
    return np.asarray(np.abs(free).max(axis=0, initial=0.0) < 1e-7)
