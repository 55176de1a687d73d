"""How far apart the gradients of two backwards are at a case's inputs, and whether they are the same function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf, nan, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.subject import examine
from gradaudit.spec.case import Case, Input
from gradaudit.spec.draw import UndrawableError
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES, is_complex, spacing
from gradaudit.targets import open_op
from gradaudit.targets.op import Op, OpError

Array = NDArray[Any]
Opener = Callable[[Case], Op]
Gradients = Mapping[str, Array | None]

ULPS = 16.0
"""Units in the last place, of the largest element, that two gradients may differ by and still be the same: what
rounding comes to where terms are added in another order."""

DRAWS = 4
"""Further draws of each case's inputs that mutants are compared at before they are called equivalent."""

LARGEST = 2**16
"""Elements of a case up to which its sizes are doubled: more take seconds."""

TIED = 5
"""Different values of an input with ties."""

FAR = 100.0
"""What brings usual ranges to where float32 shows what is computed badly: exponentials overflow, means cancel."""


def error_over_tolerance(case: Case, own: Gradients | None, opened: Opener) -> float:
    """Return the largest difference from the op's own gradients over its tolerance.

    It is infinite where there is no gradient to compare, and NaN where the op itself has none.
    """
    if own is None:
        return nan
    other = gradients(case, opened)
    if other is None or not _comparable(own, other):
        return inf
    allowed = case.tolerance or DEFAULT_TOLERANCES[case.dtype]
    ratios = [_ratio(array, other[name], allowed.atol, allowed.rtol) for name, array in own.items()]
    return max(ratios, default=0.0)


def equivalent(cases: Sequence[Case], opened: Opener) -> bool:
    """Whether gradients equal the op's own, within rounding, wherever they were compared.

    Rounding is that of the largest gradient at hand, or at the cases themselves where that is larger: far from them a
    gradient may be nothing but rounding, as where ``1 - s`` of a sigmoid cancels.

    They are compared at all inputs that the cases draw, and beyond them: a mutant that only differs where no case looks
    is no equivalent one. Each case is drawn with other seeds, in double precision, with other params, with every size
    twice as large, with ties and zeros among its values, and where they have both signs with values ``FAR`` times as
    large and as far from zero. What the op itself does not take is passed over.
    """
    usual = _largest([gradients(case, open_op) or {} for case in cases])
    return all(_same(case, opened, usual) for case in _alike(cases))


def _largest(found: Iterable[Gradients]) -> dict[str, float]:
    """Return the largest magnitude among some gradients of each input, of those that have one."""
    largest: dict[str, float] = {}
    for name, array in (entry for made in found for entry in made.items()):
        if array is not None:
            magnitudes = np.abs(_wide(array))
            largest[name] = max(largest.get(name, 0.0), float(magnitudes[np.isfinite(magnitudes)].max(initial=0.0)))
    return largest


def _alike(cases: Sequence[Case]) -> Iterator[Case]:
    yield from cases
    for case in {case.name: case for case in reversed(cases)}.values():  # once for all dtypes
        for seed in range(case.seed + 1, case.seed + 1 + DRAWS):
            yield replace(case, seed=seed)
        yield _in_dtype(case, "complex128" if is_complex(case.dtype) else "float64")
        for params in {repr(params): params for params in _other_params(case, cases)}.values():
            yield replace(case, params=params)
        yield _doubled(case)
        for changed in (_with_ties, _widened, _moved):
            yield replace(case, inputs=tuple(changed(made) if made.differentiable else made for made in case.inputs))


def _doubled(case: Case) -> Case:
    """Return a case with all sizes twice as large: equal ones stay equal, and a size of one is one no more."""
    sizes = [prod(2 * size for size in made.shape) for made in case.inputs]
    if any(made.values is not None for made in case.inputs) or sum(sizes) > LARGEST:
        return case
    return replace(case, inputs=tuple(replace(made, shape=tuple(2 * k for k in made.shape)) for made in case.inputs))


def _with_ties(made: Input) -> Input:
    """Return an input whose values are five at most, the ends of its range and zero among them where that has it."""
    if made.range is None or made.values is not None:
        return made
    low, high = made.range
    zero = [0.0] if low < 0.0 < high else []
    steps = [*np.linspace(low, high, TIED - len(zero)).tolist(), *zero]
    values = np.random.default_rng(0).choice(steps, made.shape)
    return replace(made, values=values.tolist(), avoid=None, gap=0.0)


def _widened(made: Input) -> Input:
    """Return an input with values far from zero and from each other."""
    return _spread(made, FAR, 0.0)


def _moved(made: Input) -> Input:
    """Return an input with values far from zero and near each other."""
    return _spread(made, 1.0, FAR)


def _spread(made: Input, factor: float, distance: float) -> Input:
    """Return an input with another range, if values of both signs show that it may have any."""
    if made.range is None or made.values is not None or not made.range[0] < 0.0 < made.range[1]:
        return made
    low, high = (factor * (end + distance) for end in made.range)
    return replace(made, range=(low, high), avoid=None)


def _other_params(case: Case, cases: Sequence[Case]) -> Iterator[Mapping[str, Any]]:
    """Yield the params of the other cases, and the case's own with a count (a stride, an axis) changed."""
    yield from (other.params for other in cases if other.params != case.params)
    for name, value in case.params.items():
        counts = value if isinstance(value, (list, tuple)) else [value]
        if all(isinstance(count, int) and not isinstance(count, bool) for count in counts):
            for changed in ([1] * len(counts), [count + 1 for count in counts]):
                yield {**case.params, name: type(value)(changed) if counts is value else changed[0]}


def _in_dtype(case: Case, dtype: str) -> Case:
    inputs = [replace(made, dtype=dtype) if made.dtype == case.dtype else made for made in case.inputs]
    return replace(case, dtype=dtype, inputs=tuple(inputs))


def _same(case: Case, opened: Opener, usual: Mapping[str, float]) -> bool:
    own = gradients(case, open_op)
    if own is None:
        return True  # nothing is said about these inputs
    other = gradients(case, opened)
    if other is None or not _comparable(own, other):
        return False
    rounding = ULPS * spacing(case.dtype)
    sizes = {name: max(size, usual.get(name, 0.0)) for name, size in _largest([own]).items()}
    return all(_ratio(own[name], other[name], rounding * size, 0.0) <= 1.0 for name, size in sizes.items())


def gradients(case: Case, opened: Opener) -> Gradients | None:
    """Return backward's answer at the drawn inputs, None where it gives none."""
    with np.errstate(all="ignore"):
        try:
            return examine(case, opened(case)).gradients
        except (OpError, UndrawableError, MemoryError):
            return None


def _comparable(own: Gradients, other: Gradients) -> bool:
    def kinds(given: Gradients) -> dict[str, Any]:
        return {name: None if array is None else (array.shape, array.dtype) for name, array in given.items()}

    return kinds(own) == kinds(other)


def _ratio(own: Array | None, other: Array | None, atol: float, rtol: float) -> float:
    """Return the largest difference over ``atol + rtol * abs(own)``; 0 where both are alike."""
    if own is None or other is None or own.size == 0:
        return 0.0
    a, b = _wide(own), _wide(other)
    with np.errstate(all="ignore"):
        difference = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
        ratio = np.where(difference == 0.0, 0.0, difference / (atol + rtol * np.abs(a)))
    return float(np.nan_to_num(ratio, nan=inf, posinf=inf).max())


def _wide(array: Array) -> Array:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
