"""Whether the gradients of two batches add up, and whether clearing forgets them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.subject import FlowSubject
from gradaudit.results import Finding
from gradaudit.spec.dtypes import spacing

Array = NDArray[Any]

ROUNDINGS = 1e4
"""Roundings of its dtype that a sum of gradients may be off by, of the largest of them."""

REMEDY = {
    "kept": "the model's clearing has no effect on it",
    "replaced": "the second replaces the first instead of adding to it",
    "other": "the result is neither the sum nor the second one",
}


def accumulation(subject: FlowSubject) -> Iterator[tuple[str, Finding]]:
    """Yield a finding for each parameter whose gradients of two batches do not add up, or are not cleared.

    It takes two runs: the second batch on top of the first, and alone after clearing. Where there is no other batch, it
    is the same one again, for one run.

    Raises:
        OpError: where the model cannot be run on a second batch.

    """
    op = subject.op
    both_run = op.run({**subject.arrays, **op.second})
    op.reverse(both_run)
    both = _copies(subject, op.gradients(both_run))
    op.clear(both_run)
    cleared = _copies(subject, op.gradients(both_run))
    alone: Mapping[str, Array | None] = subject.gradients
    if op.second:
        alone_run = op.run({**subject.arrays, **op.second})
        op.reverse(alone_run)
        alone = _copies(subject, op.gradients(alone_run))
        op.clear(alone_run)
    for name in op.trained:  # inputs are new tensors at every run
        first, second, sum_ = subject.gradients[name], alone.get(name), both.get(name)
        if first is None or second is None or sum_ is None or not first.shape == second.shape == sum_.shape:
            continue
        left = cleared.get(name)
        if left is not None and bool(np.any(left)):
            yield name, _finding(name, "kept", "after clearing, its gradient is not zero")
        elif not _close(sum_, first + second, first, second):
            how = "replaced" if _close(sum_, second, first, second) else "other"
            yield name, _finding(name, how, "the gradients of two batches do not add up")


def _finding(name: str, how: str, said: str) -> Finding:
    return Finding("accumulation", f"{name}: {said}: {REMEDY[how]}", {"how": how})


def _copies(subject: FlowSubject, gradients: Mapping[str, Array | None]) -> dict[str, Array]:
    return {name: np.array(made) for name, made in gradients.items() if made is not None and name in subject.op.trained}


def _close(found: Array, expected: Array, *parts: Array) -> bool:
    largest = max(float(np.abs(part).max(initial=0.0)) for part in parts)
    allowed = ROUNDINGS * max(spacing(each.dtype.name) for each in (found, *parts)) * largest
    return bool((np.abs(found - expected) <= allowed).all()) if np.isfinite(largest) else True
