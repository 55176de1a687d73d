"""Arrays that a factor may turn out to be: inputs, upstream, outputs, and their statistics over some axes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from gradaudit.diagnosis.evidence import Array, Claim

STATISTICS_FOR = 2**22
"""Most elements of an array whose statistics are looked at: every axis of it is a pass over them."""


@dataclass(frozen=True)
class Quantity:
    """An array and what it is; ``whole`` is the name of what it was computed from."""

    array: Array
    name: str
    whole: str


def known_arrays(claim: Claim) -> Mapping[str, Array]:
    """Return inputs, upstream gradients and outputs by name."""
    upstream = {f"upstream[{k}]" if k else "upstream": array for k, array in enumerate(claim.upstream)}
    outputs = {f"output[{k}]" if k else "output": array for k, array in enumerate(claim.outputs)}
    known = {**claim.inputs, **upstream, **outputs}
    return {name: array for name, array in known.items() if array.dtype.kind in "biufc"}


def quantities(claim: Claim) -> Iterator[Quantity]:
    """Yield the arrays themselves first, then what they come to over some axes, then simple functions of both."""
    plain = [Quantity(array, name, name) for name, array in known_arrays(claim).items() if array.size > 1]
    yield from plain
    for made in plain:
        yield from _functions(made)
        yield from _derivatives(made)
    for made in plain:
        if made.array.ndim > 1 and made.array.size <= STATISTICS_FOR:
            for statistic in _statistics(made, stabilizers(claim)):
                yield statistic
                yield from _functions(statistic)


def stabilizers(claim: Claim) -> list[float]:
    """Return what may have been added to a variance: the op's eps, nothing, and what most libraries take."""
    given = claim.params.get("eps")
    return list(dict.fromkeys([*([float(given)] if isinstance(given, (int, float)) else []), 0.0, 1e-5]))


def _functions(made: Quantity) -> Iterator[Quantity]:
    array, name = made.array, made.name
    yield Quantity(1.0 / array, f"1/{name}", made.whole)
    if array.dtype.kind != "b":
        yield Quantity(1.0 - array, f"(1 - {name})", made.whole)
        yield Quantity(np.square(array), f"{name}^2", made.whole)
        yield Quantity(1.0 / np.square(array), f"1/{name}^2", made.whole)
        yield Quantity(-array, f"-{name}", made.whole)


def _derivatives(made: Quantity) -> Iterator[Quantity]:
    """Yield what the derivatives of usual functions are made of: a factor like that is easily forgotten."""
    array, name = made.array, made.name
    if array.dtype.kind in "fc":
        yield Quantity(np.exp(array), f"exp({name})", made.whole)
        yield Quantity(array * (1.0 - array), f"{name} * (1 - {name})", made.whole)
        yield Quantity(1.0 - np.square(array), f"(1 - {name}^2)", made.whole)
        yield Quantity(1.0 / (1.0 + np.square(array)), f"1/(1 + {name}^2)", made.whole)
        yield Quantity(np.cos(array), f"cos({name})", made.whole)
        yield Quantity(np.sin(array), f"sin({name})", made.whole)
    if array.dtype.kind == "f":
        yield Quantity(np.sqrt(array), f"sqrt({name})", made.whole)
        yield Quantity(1.0 / np.sqrt(array), f"1/sqrt({name})", made.whole)


def _statistics(made: Quantity, eps: list[float]) -> Iterator[Quantity]:
    axes = range(made.array.ndim)
    for count in {1, 2, made.array.ndim - 1}:
        for kept in combinations(axes, count):
            over = tuple(k for k in axes if k not in kept)
            if over and any(made.array.shape[k] > 1 for k in kept) and made.array.dtype.kind != "b":
                yield from _over(made, over, eps)


def _over(made: Quantity, over: tuple[int, ...], eps: list[float]) -> Iterator[Quantity]:
    about = (
        f"{made.name} over axes {', '.join(map(str, over))}" if len(over) > 1 else f"{made.name} over axis {over[0]}"
    )
    mean, variance = made.array.mean(axis=over), np.var(made.array, axis=over)
    yield Quantity(mean, f"mean of {about}", made.whole)
    for stabilizer in eps:
        yield Quantity(np.sqrt(variance + stabilizer), f"std of {about}", made.whole)
    yield Quantity(made.array.sum(axis=over), f"sum of {about}", made.whole)
    yield Quantity(np.sqrt(np.square(np.abs(made.array)).sum(axis=over)), f"norm of {about}", made.whole)


def alignments(array: Array, shape: tuple[int, ...]) -> Iterator[tuple[Array, tuple[int, ...]]]:
    """Yield an array as a view of a shape, once for each choice of axes that its own can be, with those axes."""
    array = array.squeeze()
    for axes in combinations(range(len(shape)), array.ndim):
        if array.size > 1 and all(shape[axis] == size for axis, size in zip(axes, array.shape, strict=True)):
            spread = tuple(size if axis in axes else 1 for axis, size in enumerate(shape))
            made = array.reshape(spread)
            yield made if spread == shape else np.broadcast_to(made, shape), axes
