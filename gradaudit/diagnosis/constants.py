"""Numbers that a factor may turn out to be: what params and sizes give, and those that formulas are full of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from numbers import Real

from gradaudit.diagnosis.evidence import Evidence

SHOWN = 3
"""Most names that a number is given."""


@dataclass(frozen=True)
class Constant:
    """A number and what it is.

    Attributes:
        value: the number.
        name: what it is: ``1/(1-p)``, ``N``.
        where: what p or N is, where the name does not say.
        rank: how far-fetched it is: the less so, the less evidence it takes.

    """

    value: float
    name: str
    where: str = ""
    rank: int = 1

    def __str__(self) -> str:
        return f"{self.name} ({self.where})" if self.where else self.name


UNIVERSAL = (
    Constant(2.0, "2", rank=0),
    Constant(0.5, "1/2", rank=0),
    *(Constant(float(n), str(n)) for n in (3, 4)),
    *(Constant(1.0 / n, f"1/{n}") for n in (3, 4)),
    Constant(math.pi, "pi", rank=2),
    Constant(1.0 / math.pi, "1/pi", rank=2),
    Constant(math.log(2.0), "ln(2)", rank=2),
    Constant(1.0 / math.log(2.0), "1/ln(2)", rank=2),
    Constant(math.log(10.0), "ln(10)", rank=2),
    Constant(1.0 / math.log(10.0), "1/ln(10)", rank=2),
    Constant(math.sqrt(2.0), "sqrt(2)", rank=2),
    Constant(1.0 / math.sqrt(2.0), "1/sqrt(2)", rank=2),
    Constant(math.sqrt(2.0 / math.pi), "sqrt(2/pi)", rank=2),
    Constant(math.sqrt(math.pi / 2.0), "sqrt(pi/2)", rank=2),
)
"""Factors that get lost in any formula."""


def known_constants(evidence: Evidence) -> list[Constant]:
    """Return the numbers other than 1 that this op's params, inputs and sizes suggest, and the universal ones.

    The number 1 explains nothing. Negatives are left to the one who compares.
    """
    found = [*_of_params(evidence), *_of_single_values(evidence), *_of_sizes(evidence), *UNIVERSAL]
    return [made for made in found if math.isfinite(made.value) and made.value not in (0.0, 1.0, -1.0)]


def names_of(value: complex, uncertainty: float, constants: list[Constant]) -> list[Constant]:
    """Return the constants that a number is, to within its uncertainty, negatives as such, the plainest only."""
    found: dict[str, Constant] = {}
    for made in constants:
        for sign, mark in ((1.0, ""), (-1.0, "-")):
            if abs(sign * made.value - value) <= uncertainty:
                found.setdefault(mark + made.name, Constant(sign * made.value, mark + made.name, made.where, made.rank))
    least = min((made.rank for made in found.values()), default=0)
    return [made for made in found.values() if made.rank <= max(least, 1)][:SHOWN]


def _of_params(evidence: Evidence) -> Iterator[Constant]:
    for name, value in evidence.params.items():
        if isinstance(value, Real) and not isinstance(value, bool):
            yield from _derived(name, float(value))


def _derived(name: str, value: float) -> Iterator[Constant]:
    where = f"{name} = {value:.6g}"
    yield Constant(value, name, where)
    if 0.0 < value < 1.0:
        yield Constant(1.0 / (1.0 - value), f"1/(1-{name})", where)
        yield Constant(1.0 - value, f"1-{name}", where)
    if value:
        yield Constant(1.0 / value, f"1/{name}", where)
        yield Constant(value**2, f"{name}^2", where, rank=2)
        yield Constant(value**-2, f"1/{name}^2", where, rank=2)
    if value > 0.0:
        yield Constant(math.sqrt(value), f"sqrt({name})", where, rank=2)
        yield Constant(1.0 / math.sqrt(value), f"1/sqrt({name})", where, rank=2)
        yield Constant(math.log(value), f"ln({name})", where, rank=2)


def _of_single_values(evidence: Evidence) -> Iterator[Constant]:
    for name, array in evidence.inputs.items():
        if array.size == 1 and array.dtype.kind in "fiu" and name != evidence.name:
            yield from _derived(name, float(array.reshape(-1)[0]))


def _of_sizes(evidence: Evidence) -> Iterator[Constant]:
    for size, where in _sizes(evidence).items():
        what = f"N = {size}, {where}"
        yield Constant(float(size), "N", what)
        yield Constant(1.0 / size, "1/N", what)
        yield Constant(size / (size - 1.0), "N/(N-1)", what, rank=2)
        yield Constant((size - 1.0) / size, "(N-1)/N", what, rank=2)
        yield Constant(math.sqrt(size), "sqrt(d)", what.replace("N", "d", 1), rank=2)
        yield Constant(1.0 / math.sqrt(size), "1/sqrt(d)", what.replace("N", "d", 1), rank=2)
        yield Constant(2.0 / size, "2/N", what, rank=3)
        yield Constant(size / 2.0, "N/2", what, rank=3)


def _sizes(evidence: Evidence) -> dict[int, str]:
    """Return the sizes around, each with the first thing that it is the size of."""
    arrays = {evidence.name: evidence.analytical.shape}
    arrays |= {name: array.shape for name, array in evidence.inputs.items()}
    arrays |= {f"output {k}" if k else "the output": out.shape for k, out in enumerate(evidence.outputs)}
    sizes: dict[int, str] = {}
    for name, shape in arrays.items():
        for axis, size in enumerate(shape):
            sizes.setdefault(size, f"the batch size, axis 0 of {name}" if axis == 0 else f"axis {axis} of {name}")
    for name, shape in arrays.items():
        sizes.setdefault(math.prod(shape), f"all of {name}")
        for axes in (pair for count in range(2, len(shape)) for pair in combinations(range(len(shape)), count)):
            sizes.setdefault(math.prod(shape[k] for k in axes), f"axes {', '.join(map(str, axes))} of {name}")
    return {size: where for size, where in sizes.items() if size > 1}
