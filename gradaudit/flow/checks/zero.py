"""Whether a gradient that is zero is so by right: the loss must not change with the parameter either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.probe import Probe
from gradaudit.checks.trial import try_claim
from gradaudit.flow.subject import FlowSubject
from gradaudit.numerics.magnitude import rms
from gradaudit.results import Finding
from gradaudit.spec.dtypes import spacing

Array = NDArray[Any]

ROUNDINGS = 1e3
"""Roundings of the largest gradient of the model, in its dtype, that a gradient may be and still be zero: a sum that
cancels, such as that over a softmax, leaves some."""


def negligible(subject: FlowSubject, names: Sequence[str]) -> list[str]:
    """Return those whose gradients are zero but for rounding, beside the largest one in the model."""
    gradients = {name: made for name in names if (made := subject.gradients[name]) is not None}
    sizes = {name: rms(made) for name, made in gradients.items()}
    largest = max((size for size in sizes.values() if np.isfinite(size)), default=0.0)
    return [
        name
        for name, size in sizes.items()
        if size <= ROUNDINGS * spacing(gradients[name].dtype.name) * largest and gradients[name].size
    ]


def zero_gradients(subject: FlowSubject, probe: Probe, names: Sequence[str]) -> dict[str, Finding | None]:
    """Return a finding for each of these gradients: that zero is wrong, or that it is right and what that means.

    All of them are tried at once, for three runs at most; each by itself where the loss does change.
    """
    if not names:
        return {}
    claims = {name: np.zeros_like(subject.arrays[name]) for name in names}
    right = set(names) if not _contradicted(probe, claims) else set()
    if not right:
        right = {name for name in names if len(names) > 1 and not _contradicted(probe, {name: claims[name]})}
    return {name: _by_right(name) if name in right else _wrong(name, claims[name].size) for name in names}


def _contradicted(probe: Probe, claims: Mapping[str, Array]) -> bool:
    return try_claim(probe, probe.base, claims, f"zero {' '.join(claims)}").contradiction() > 0.0


def _wrong(name: str, size: int) -> Finding:
    message = f"the gradient of {name} is zero at all {size:,} indices, and the loss changes with it"
    return Finding("zero-gradient", message, {"size": size})


def _by_right(name: str) -> Finding:
    message = (
        f"the gradient of {name} is zero, and rightly so: the loss does not change with it, so it will never be "
        "trained (an offset that a softmax or a normalisation takes out again, or units that are all off)"
    )
    return Finding("vanishing", message, {"relative": 0.0})
