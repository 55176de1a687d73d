"""Numbers that a factor may turn out to be: what params and sizes give, and those that formulas are full of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from numbers import Real

from gradaudit.diagnosis.evidence import Claim

SHOWN = 3
"""Most names that a number is given."""


@dataclass(frozen=True)
class Constant:
    """A number and what it is.

    Attributes:
        value: the number.
        name: what it is: ``1/(1-p)``, ``N``.
        where: what p or N is, where the name does not say.
        role: what it is the size of: a name for it at other sizes too.
        rank: how far-fetched it is: the less so, the less evidence it takes.

    """

    value: float
    name: str
    where: str = ""
    rank: int = 1
    role: str = ""

    @property
    def negative(self) -> Constant:
        """Minus this number."""
        return replace(self, value=-self.value, name=self.name[1:] if self.name[:1] == "-" else f"-{self.name}")

    def at(self, claim: Claim) -> float:
        """Return what the number is at another point, NaN where it is none."""
        for made in known_constants(claim):
            for signed in (made, made.negative):
                if (signed.name, signed.role) == (self.name, self.role):
                    return signed.value
        return math.nan

    def __str__(self) -> str:
        return f"{self.name} ({self.where})" if self.where else self.name


SMALLEST_SQUARED = 1e-150
"""What has a square, and one over its square, among the numbers of float64."""

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


def known_constants(claim: Claim) -> list[Constant]:
    """Return the numbers other than 1 that this op's params, inputs and sizes suggest, and the universal ones.

    The number 1 explains nothing. Negatives are left to the one who compares.
    """
    found = [*_of_params(claim), *_of_single_values(claim), *_of_sizes(claim), *UNIVERSAL]
    return [made for made in found if math.isfinite(made.value) and made.value not in (0.0, 1.0, -1.0)]


def names_of(value: complex, uncertainty: float, constants: list[Constant]) -> list[Constant]:
    """Return the constants that a number is, to within its uncertainty, negatives as such, the plainest only."""
    near = [
        signed for made in constants for signed in (made, made.negative) if abs(signed.value - value) <= uncertainty
    ]
    found = list({(made.name, made.role): made for made in reversed(near)}.values())[::-1]
    least = min((made.rank for made in found), default=0)
    return [made for made in found if made.rank <= max(least, 1)]


def in_words(names: Sequence[Constant], *, once: bool) -> str:
    """Return constants in words, where those that say no more than a number does are left out.

    Args:
        names: what a number is.
        once: whether those that differ in their role only are known to be one, so that the first stands for all.

    """
    telling = [made for made in names if any(letter.isalpha() for letter in made.name)]
    if once:
        telling = list({made.name: made for made in reversed(telling)}.values())[::-1]
    return " or ".join(map(str, telling[:SHOWN]))


def _of_params(claim: Claim) -> Iterator[Constant]:
    for name, value in claim.params.items():
        if isinstance(value, Real) and not isinstance(value, bool):
            yield from _derived(name, float(value))


def _derived(name: str, value: float) -> Iterator[Constant]:
    where = f"{name} = {value:.6g}"
    yield Constant(value, name, where)
    if 0.0 < value < 1.0:
        yield Constant(1.0 / (1.0 - value), f"1/(1-{name})", where)
        yield Constant(1.0 - value, f"1-{name}", where)
    if SMALLEST_SQUARED < abs(value) < 1.0 / SMALLEST_SQUARED:
        yield Constant(1.0 / value, f"1/{name}", where)
        yield Constant(value**2, f"{name}^2", where, rank=2)
        yield Constant(value**-2, f"1/{name}^2", where, rank=2)
    if value > 0.0:
        yield Constant(math.sqrt(value), f"sqrt({name})", where, rank=2)
        yield Constant(1.0 / math.sqrt(value), f"1/sqrt({name})", where, rank=2)
        yield Constant(math.log(value), f"ln({name})", where, rank=2)


def _of_single_values(claim: Claim) -> Iterator[Constant]:
    for name, array in claim.inputs.items():
        if array.size == 1 and array.dtype.kind in "fiu" and name != claim.name:
            yield from _derived(name, float(array.reshape(-1)[0]))


def _of_sizes(claim: Claim) -> Iterator[Constant]:
    for role, size in _sizes(claim).items():
        what = f"N = {size}, {role}"
        root = what.replace("N", "d", 1)
        yield Constant(float(size), "N", what, role=role)
        yield Constant(1.0 / size, "1/N", what, role=role)
        yield Constant(size / (size - 1.0), "N/(N-1)", what, rank=2, role=role)
        yield Constant((size - 1.0) / size, "(N-1)/N", what, rank=2, role=role)
        yield Constant(math.sqrt(size), "sqrt(d)", root, rank=2, role=role)
        yield Constant(1.0 / math.sqrt(size), "1/sqrt(d)", root, rank=2, role=role)
        yield Constant(2.0 / size, "2/N", what, rank=3, role=role)
        yield Constant(size / 2.0, "N/2", what, rank=3, role=role)


def _sizes(claim: Claim) -> dict[str, int]:
    """Return the sizes around by what they are the size of."""
    arrays = {claim.name: claim.analytical.shape}
    arrays |= {name: array.shape for name, array in claim.inputs.items()}
    arrays |= {f"output {k}" if k else "the output": out.shape for k, out in enumerate(claim.outputs)}
    sizes: dict[str, int] = {}
    for name, shape in arrays.items():
        for axis, size in enumerate(shape):
            sizes[f"the batch size, axis 0 of {name}" if axis == 0 else f"axis {axis} of {name}"] = size
    for name, shape in arrays.items():
        sizes[f"all of {name}"] = math.prod(shape)
        for axes in (pair for count in range(2, len(shape)) for pair in combinations(range(len(shape)), count)):
            sizes[f"axes {', '.join(map(str, axes))} of {name}"] = math.prod(shape[k] for k in axes)
    return {role: size for role, size in sizes.items() if size > 1}
