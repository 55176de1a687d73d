"""Gradients of the broadcast shape that would be right if they were summed over the broadcast axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.probe import Probe
from gradaudit.results import Finding

Array = NDArray[Any]

DIRECTIONS = 2
"""Random directions along which the sum has to agree with forward."""


def broadcast_not_reduced(probe: Probe) -> Iterator[Finding]:
    """Yield a finding for each gradient that lacks nothing but the sum over its input's broadcast axes."""
    for name in probe.subject.gradients:
        gradient, x = probe.subject.gradients[name], probe.inputs.get(name)
        if gradient is None or x is None or gradient.dtype.kind not in "fcV" or not np.isfinite(gradient).all():
            continue
        if gradient.size <= x.size or not x.size or (reduced := reduced_to(gradient, x.shape)) is None:
            continue
        directions = (probe.derivative_error(probe.base, {name: reduced}, f"{name} {k}") for k in range(DIRECTIONS))
        if all(error == 0.0 for error in directions):
            yield _finding(name, gradient.shape, x.shape)


def reduced_to(gradient: Array, shape: tuple[int, ...]) -> Array | None:
    """Return the sum over the axes along which an array of this shape was broadcast; None where it was not."""
    extra = gradient.ndim - len(shape)
    if extra < 0:
        return None
    pairs = zip(shape, gradient.shape[extra:], strict=True)
    if not all(own in (1, wide) for own, wide in pairs):
        return None
    axes = tuple(range(extra)) + tuple(extra + k for k, own in enumerate(shape) if own != gradient.shape[extra + k])
    return np.asarray(gradient.sum(axis=axes)).reshape(shape)


def _finding(name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> Finding:
    message = (
        f"the gradient of {name} has the broadcast shape {found}, the input has shape {expected}: summed over the "
        "broadcast axes it is right"
    )
    return Finding("broadcast-not-reduced", message, {"array": name, "expected": list(expected), "found": list(found)})
