"""Whether a gradient that is zero is so by right: the loss must not change with the parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.probe import Probe
from gradaudit.checks.trial import try_claim
from gradaudit.models.subject import FlowSubject
from gradaudit.numerics.magnitude import rms
from gradaudit.results import Finding
from gradaudit.spec.dtypes import spacing

Array = NDArray[Any]

NEGLIGIBLE = 1e-7
"""Share of the model's largest gradient below which one is lost in what rounding makes of the loss."""

MOST = 2.0**-6
"""Share that is not negligible, however coarse the dtype."""

ROUNDINGS = 1e3
"""Roundings of the largest gradient, in its dtype, that one may be and still be none: a sum that cancels, such as that
over a softmax, leaves some."""


def negligible(subject: FlowSubject, names: Sequence[str]) -> dict[str, float]:
    """Return those whose gradients are next to nothing beside the largest one in the model, with what share they are.

    Index by index there is nothing to be seen of them; along a direction there still is.
    """
    gradients = {name: made for name in names if (made := subject.gradients[name]) is not None and made.size}
    sizes = {name: rms(made) for name, made in gradients.items()}
    largest = max((size for size in sizes.values() if np.isfinite(size)), default=0.0)
    limits = {
        name: min(max(NEGLIGIBLE, ROUNDINGS * spacing(made.dtype.name)), MOST) for name, made in gradients.items()
    }
    return {name: size / (largest or 1.0) for name, size in sizes.items() if size <= limits[name] * largest}


def zero_gradients(subject: FlowSubject, probe: Probe, shares: Mapping[str, float]) -> dict[str, Finding]:
    """Return a finding for each of these gradients: that the loss changes otherwise, or that it does not.

    All of them are tried at once, for six runs at most; each by itself where the loss does change otherwise.
    """
    claims = {name: np.asarray(subject.gradients[name]) for name in shares}
    if not claims or not _contradicted(probe, claims):
        return {name: by_right(name, share) for name, share in shares.items()}
    return {
        name: _wrong(name, claims[name]) if _contradicted(probe, {name: claims[name]}) else by_right(name, share)
        for name, share in shares.items()
    }


def _contradicted(probe: Probe, claims: Mapping[str, Array]) -> bool:
    """Whether forward contradicts these gradients, and zeros in their place: what is left of a sum that cancels."""
    zeros = {name: np.zeros_like(claim) for name, claim in claims.items()}
    asked = [claims, zeros] if any(claim.any() for claim in claims.values()) else [zeros]
    return all(try_claim(probe, probe.base, each, f"zero {' '.join(claims)}").contradiction() > 0.0 for each in asked)


def _wrong(name: str, gradient: Array) -> Finding:
    size = gradient.size
    what = f"at most {np.abs(gradient).max():.1e}" if gradient.any() else "zero"
    message = f"the gradient of {name} is {what} at all {size:,} indices, but the loss changes with it"
    return Finding("zero-gradient", message, {"size": size})


def by_right(name: str, share: float) -> Finding:
    """Return what is said of a gradient that is next to nothing, as it should be."""
    what = f"{share:.0e} of the largest in the model" if share else "zero"
    message = (
        f"the gradient of {name} is {what}, and differences of the loss confirm it: the parameter will hardly be "
        "trained (common causes: saturated layers, inactive units, an offset that a softmax or a normalisation "
        "removes)"
    )
    return Finding("vanishing", message, {"share": share})
