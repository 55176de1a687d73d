"""Whether backward's answer depends on how its upstream lies in memory.

A sum hands its upstream on as one number that is stretched, a transposition or a slice as a view: whoever takes it for
a block of consecutive numbers reads others, or raises.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from array_api_compat import device

from gradaudit.checks import compared
from gradaudit.checks.agreement import Change
from gradaudit.checks.probe import Probe, Upstream
from gradaudit.numerics.arrays import Array, copied, is_writable, namespace
from gradaudit.results import Finding
from gradaudit.targets.op import OpError


def reversed_axes(upstream: Upstream) -> Upstream:
    """Return the same upstream with its axes reversed in memory, and gaps between elements."""
    return _laid_out(upstream, _reversed)


def narrow_view(upstream: Upstream) -> Upstream:
    """Return the same upstream as a part of a larger one: each row is dense, and rows are not adjacent."""
    return _laid_out(upstream, _narrow)


def stretched(upstream: Upstream) -> Upstream | None:
    """Return an upstream whose first row is repeated without being copied, as sums hand it on; None for no rows.

    Rows lie apart in memory if there are any within it.
    """
    if not all(is_writable(part) and part.ndim and part.shape[0] > 1 for part in upstream):
        return None
    rows = narrow_view(tuple(part[:1] for part in upstream))
    return tuple(namespace(row).broadcast_to(row, part.shape) for row, part in zip(rows, upstream, strict=True))


def layout_dependent(probe: Probe) -> Iterator[Finding]:
    """Yield a finding for each input whose gradient is another where the upstream lies in memory in another way."""
    thin = stretched(probe.upstream) or ()
    thick = tuple(copied(part.reshape(-1)).reshape(part.shape) for part in thin)
    upstream = probe.upstream
    for plain, otherwise in (upstream, reversed_axes(upstream)), (upstream, narrow_view(upstream)), (thick, thin):
        if all(one is other for one, other in zip(plain, otherwise, strict=True)):
            continue
        whole = probe.gradients if plain is upstream else probe.backward(probe.base, plain)
        try:
            answer = probe.backward(probe.base, otherwise)
        except OpError as error:
            probe.backward(probe.base, plain)  # which raises where it is not for the layout
            yield Finding("layout-dependent", f"with an upstream that is not contiguous in memory {error}")
            return
        asked = compared.Asked(probe.base, plain, whole)
        found = {name: compared.change(probe, name, whole[name], answer[name], asked) for name in probe.claimed}
        if any(found.values()):
            yield from (_changes(name, seen) for name, seen in found.items() if seen)
            return


def _changes(name: str, seen: Change) -> Finding:
    message = (
        f"backward's gradient of {name} changes if the same upstream is not contiguous in memory, at "
        f"{seen.count:,} of {seen.size:,} indices: backward ignores strides"
    )
    return Finding("layout-dependent", message, {"array": name, **seen.evidence})


def _laid_out(upstream: Upstream, layout: Callable[[Array], Array]) -> Upstream:
    """Return each array in a layout, where arrays of its framework have one."""
    return tuple(
        layout(part) if is_writable(part) and part.ndim and math.prod(part.shape) else part for part in upstream
    )


def _narrow(array: Array) -> Array:
    """Return the array as the middle of one that is longer along its last axis, with other numbers around."""
    around = array[..., :1] + 1
    return namespace(array).concat([around, array, around], axis=-1)[..., 1:-1]


def _reversed(array: Array) -> Array:
    xp, axes = namespace(array), tuple(reversed(range(array.ndim)))
    spaced = xp.zeros((*reversed(array.shape), 2), dtype=array.dtype, device=device(array))
    made = xp.permute_dims(spaced[..., 0], axes)
    made[...] = array
    return made
