"""More looks at an input that a search found wrong, so that one sees what the mistake looks like."""

from __future__ import annotations

import numpy as np

from gradaudit.checks.gradient.searched import Searched
from gradaudit.numerics.arrays import count
from gradaudit.numerics.root_test import Calm
from gradaudit.numerics.search import Judgement

SHOWN = 16
"""Indices that a wrong input is looked at where much is wrong: enough to show what the mistake looks like."""

FOLLOWED = 2
"""Wrong indices that are looked beside where a sample shows few."""

BESIDE = 4
"""Looks along each axis beside a wrong index."""


def look_around(searched: Searched, calm: Calm | None, rng: np.random.Generator) -> None:
    """Look at more indices of an input that is wrong: a small one has hardly any in a sample of all inputs."""
    if any(look.judgement is Judgement.WRONG for look in searched.looks):
        for position in rng.choice(searched.numbers, min(searched.numbers, 2 * SHOWN), replace=False):
            if len(searched.looks) < SHOWN:
                searched.look(int(position), calm)
        wrong = [look.index for look in searched.looks if look.judgement is Judgement.WRONG]
        for index in wrong[:FOLLOWED] if len(wrong) < SHOWN else ():
            _look_along(searched, index, calm, rng)


def _look_along(searched: Searched, index: tuple[int, ...], calm: Calm | None, rng: np.random.Generator) -> None:
    """Look beside a wrong index, along each axis: whether a row or a column is wrong a random sample hardly shows."""
    shape = searched.formula.shape
    parts = searched.numbers // count(searched.formula)
    for axis, size in enumerate(shape):
        for other in rng.choice(size, min(size, BESIDE), replace=False):
            place = np.ravel_multi_index((*index[:axis], int(other), *index[axis + 1 :]), shape)
            searched.look(parts * int(place), calm)
