"""Whether gradients keep their magnitude on the way back through the model: vanishing and exploding."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from gradaudit.models.subject import FlowSubject
from gradaudit.numerics.magnitude import rms
from gradaudit.results import Finding

OUT_OF_LINE = 1e4
"""Factor between the relative gradients of a parameter and of those nearer the loss that is out of line: within one
model that trains they differ by a hundred or a thousand."""

FEWEST = 2
"""Parameters nearer the loss that it takes to know what is in line."""


def magnitudes(subject: FlowSubject, names: list[str]) -> Iterator[tuple[str, Finding]]:
    """Yield a finding for each parameter whose gradient is out of line with those of parameters nearer the loss.

    Gradients are taken relative to the values that they would change, rms over rms; parameters that begin at zero have
    no such scale and are left out.
    """
    relative: dict[str, float] = {}
    for name in names:
        gradient, size = subject.gradients[name], rms(subject.arrays[name])
        if gradient is not None and name in subject.op.trained and size > 0.0 and (seen := rms(gradient)) > 0.0:
            relative[name] = seen / size
    depths = {name: subject.from_loss.depths.get(id(subject.tensor(name)), 0) for name in relative}
    for name, own in relative.items():
        nearer = [other for key, other in relative.items() if depths[key] < depths[name]]
        if len(nearer) < FEWEST:
            continue
        usual = median(nearer)
        if own * OUT_OF_LINE < usual:
            yield name, _finding("vanishing", name, own, usual, f"{usual / own:.0e} times smaller")
        elif own > OUT_OF_LINE * usual:
            yield name, _finding("exploding", name, own, usual, f"{own / usual:.0e} times larger")


def _finding(code: str, name: str, own: float, usual: float, factor: str) -> Finding:
    message = (
        f"the gradient of {name} is {own:.1e} of its values, {factor} than that of parameters nearer the loss "
        f"({usual:.1e}): one learning rate cannot suit both"
    )
    return Finding(code, message, {"relative": own, "usual": usual})
