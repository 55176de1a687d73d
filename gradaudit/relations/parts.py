"""An upstream in two parts that add up to it: one element alone, and all others. What backward answers adds up, too.

Both have zeros, which no random upstream has: what divides by its upstream, or passes over what has none, shows. An
upstream of nothing but zeros, as the rows that a loss leaves out have, gets a gradient of zeros.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from gradaudit.checks import compared
from gradaudit.checks.agreement import Change
from gradaudit.checks.linearity import is_asked, scaled_by
from gradaudit.checks.probe import Point, Probe, Upstream
from gradaudit.numerics.arrays import on_host
from gradaudit.results import Finding
from gradaudit.spec.draw import generator


def adds_up(probe: Probe) -> Iterator[Finding]:
    """Yield a finding for each input whose gradients of two parts of the upstream do not add up to that of the whole.

    Raises:
        OpError: where backward gives no usable gradient for a part.

    """
    subject = probe.subject
    if not is_asked(probe) or sum(math.prod(part.shape) for part in subject.upstream) < 2:
        return
    here = Point(subject.inputs, subject.outputs)
    one, others = _parts(probe)
    in_one, in_others, in_none = (probe.backward(here, part) for part in (one, others, scaled_by(one, 0.0)))
    asked = compared.Asked(here, others, in_others)
    for name in probe.claimed:
        whole, total = compared.claim(probe, name), in_one[name] + in_others[name]
        if off := compared.change(probe, name, whole, total, asked):
            what = "for one element of the upstream alone, and for all others, do not add up to that for all"
            yield _finding(name, f"gradients of {name} {what}", off)
        elif off := compared.change(probe, name, whole * 0, in_none[name], asked):
            yield _finding(name, f"gradients of {name} for an upstream of zeros are not zero", off)


def _finding(name: str, what: str, off: Change) -> Finding:
    message = (
        f"the {what}, at {off.count:,} of {off.size:,} indices (largest error {off.largest:.2g}): backward is not "
        "linear where the upstream is zero; look for a division by it, or by its largest element"
    )
    evidence = {"array": name, "relation": "parts", "changed": off.count, "size": off.size, "largest": off.largest}
    return Finding("nonlinear-upstream", message, evidence)


def _parts(probe: Probe) -> tuple[Upstream, Upstream]:
    """Return the upstream at one random element and zero elsewhere, and the rest of it."""
    hosts = [np.asarray(on_host(part)) for part in probe.subject.upstream]
    sizes = [host.size for host in hosts]
    place = int(generator(probe.case, "part of the upstream").integers(sum(sizes)))
    placed, one, others = probe.subject.placed, [], []
    for host, before in zip(hosts, np.cumsum([0, *sizes[:-1]]), strict=True):
        alone = (np.arange(host.size) == place - before).reshape(host.shape)
        one.append(placed(np.where(alone, host, host.dtype.type(0))))
        others.append(placed(np.where(alone, host.dtype.type(0), host)))
    return tuple(one), tuple(others)
