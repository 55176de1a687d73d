"""Whether backward's answer depends on how its upstream lies in memory.

A sum hands its upstream on as one number that is stretched, a transposition or a slice as a view: whoever takes it for
a block of consecutive numbers reads others, or raises.
"""

from __future__ import annotations

import numpy as np

from gradaudit.checks.agreement import Change
from gradaudit.checks.probe import Upstream
from gradaudit.results import Finding
from gradaudit.spec.draw import laid_out
from gradaudit.targets.op import OpError

MOST_ELEMENTS = 2**16
"""Elements of an upstream that is tried: the mistake does not wait for a large one, which would have to be copied."""


def spaced(upstream: Upstream) -> Upstream:
    """Return the same upstream, its axes reversed in memory and with gaps between elements.

    A large one stays as it is, and one of a framework's own arrays, which only large ops have.
    """
    if not all(isinstance(part, np.ndarray) and part.size <= MOST_ELEMENTS for part in upstream):
        return upstream
    return tuple(laid_out(part.T, "strided").T for part in upstream)


def layout_raises(error: OpError) -> Finding:
    """Return the finding that backward raises for such an upstream and not for a contiguous one."""
    return Finding("layout-dependent", f"with an upstream that is not contiguous in memory {error}")


def layout_changes(name: str, seen: Change) -> Finding:
    """Return the finding that backward answers otherwise for such an upstream."""
    message = (
        f"backward's gradient of {name} is another where the same upstream is not contiguous in memory, at "
        f"{seen.count:,} of {seen.size:,} indices: it reads memory without regard to strides"
    )
    return Finding("layout-dependent", message, {"array": name, "changed": seen.count, "size": seen.size})
