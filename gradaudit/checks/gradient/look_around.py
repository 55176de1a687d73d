"""More looks at an input that a search found wrong, so that one sees what the mistake looks like."""

from __future__ import annotations

import numpy as np

from gradaudit.checks.gradient.close_look import CloseLooks
from gradaudit.numerics.calibration import Calibrated
from gradaudit.numerics.margins import A_FEW, CONFIRMING, ONE_BY_ONE


def look_around(looks: CloseLooks, calibrated: Calibrated | None, rng: np.random.Generator) -> None:
    """Look at more indices of an input that is wrong: a small one has hardly any in a sample of all inputs."""
    if not looks.wrong:
        return
    numbers = looks.claim.numbers
    for position in rng.choice(numbers, min(numbers, 2 * ONE_BY_ONE), replace=False):
        if len(looks.seen) < ONE_BY_ONE:
            looks.look(int(position), calibrated)
    for index in looks.wrong[:CONFIRMING] if len(looks.wrong) < ONE_BY_ONE else ():
        _look_along(looks, index, calibrated, rng)


def _look_along(
    looks: CloseLooks, index: tuple[int, ...], calibrated: Calibrated | None, rng: np.random.Generator
) -> None:
    """Look beside a wrong index, along each axis: whether a row or a column is wrong a random sample hardly shows."""
    shape = tuple(looks.claim.formula.shape)
    parts = looks.claim.numbers // looks.claim.size
    for axis, size in enumerate(shape):
        for other in rng.choice(size, min(size, A_FEW), replace=False):
            place = np.ravel_multi_index((*index[:axis], int(other), *index[axis + 1 :]), shape)
            looks.look(parts * int(place), calibrated)
