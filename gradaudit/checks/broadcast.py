"""Gradients of the broadcast shape that would be right if they were summed over the broadcast axes."""

from __future__ import annotations

from collections.abc import Iterator

from gradaudit.checks.probe import Probe
from gradaudit.checks.trial import try_claim
from gradaudit.numerics.arrays import Array, all_finite, count, dtype_name, namespace
from gradaudit.numerics.margins import SMALL_SAMPLE
from gradaudit.results import Finding
from gradaudit.spec.dtypes import is_floating


def broadcast_not_reduced(probe: Probe) -> Iterator[Finding]:
    """Yield a finding for each gradient that lacks nothing but the sum over its input's broadcast axes."""
    gradients = {name: gradient for name, gradient in probe.subject.gradients.items() if gradient is not None}
    stretched = [name for name, made in gradients.items() if count(made) > count(probe.inputs[name]) > 0]
    for name in stretched[:SMALL_SAMPLE]:
        gradient = gradients[name]
        reduced = _reduced(gradient, probe.inputs[name].shape)
        if reduced is not None and try_claim(probe, probe.base, {name: reduced}, f"broadcast {name}").borne_out:
            yield _finding(name, gradient.shape, reduced.shape)


def _reduced(gradient: Array, shape: tuple[int, ...]) -> Array | None:
    """Return the sum over the axes along which an array of a shape was stretched; None where that cannot be."""
    extra = gradient.ndim - len(shape)
    if extra < 0 or not is_floating(dtype_name(gradient.dtype)) or not all_finite(gradient):
        return None
    pairs = zip(shape, gradient.shape[extra:], strict=True)
    if not all(own in (1, wide) for own, wide in pairs):
        return None
    axes = tuple(range(extra)) + tuple(extra + k for k, own in enumerate(shape) if own != gradient.shape[extra + k])
    return namespace(gradient).sum(gradient, axis=axes).reshape(shape)


def _finding(name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> Finding:
    message = (
        f"the gradient of {name} has the broadcast shape {found}, the input has shape {expected}: summed over the "
        "broadcast axes it is right"
    )
    return Finding("broadcast-not-reduced", message, {"array": name, "expected": list(expected), "found": list(found)})
