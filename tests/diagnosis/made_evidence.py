"""Evidence made by hand: the truth is known, and the claim is what one mistake makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradaudit.diagnosis import Evidence, diagnose
from gradaudit.results import Finding

Array = Any


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def evidence_of(claimed: Array, truth: Array, places: Array | None = None, **more: Any) -> Evidence:
    """Return evidence that knows the truth at some places, by default at all, with an error bound of 1e-10."""
    claimed, truth = np.asarray(claimed), np.asarray(truth)
    rows = np.argwhere(np.ones(truth.shape, bool)) if places is None else places
    numerical = np.asarray(truth[tuple(rows.T)]).reshape(-1)
    keys = {"name": "x", "rtol": 1e-7, "atol": 1e-9, "complete": places is None} | more
    return Evidence(analytical=claimed, places=rows, numerical=numerical, bounds=np.full(len(numerical), 1e-10), **keys)


def some_places(shape: tuple[int, ...], count: int = 48) -> Array:
    """Return random indices, one a row: what a search leaves of a large op."""
    return np.random.default_rng(5).integers(0, shape, (count, len(shape)))


def only_cause(claimed: Array, truth: Array, places: Array | None = None, **more: Any) -> Finding:
    """Return the one cause that is found."""
    (found,) = diagnose(evidence_of(claimed, truth, places, **more))
    assert 0.95 <= found.evidence["explained"] <= 1.0
    return found


def codes(claimed: Array, truth: Array, places: Array | None = None, **more: Any) -> list[str]:
    return [found.code for found in diagnose(evidence_of(claimed, truth, places, **more))]
