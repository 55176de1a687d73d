"""Numbers that were fitted, as what they are in a formula: fractions, sizes, params, decimals of few digits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gradaudit.repair.scope import Atom

CLOSE = 2e-6
"""Relative difference up to which a fitted number is taken for a known one."""

FRACTIONS = {
    1.0: "",
    2.0: "2 * ",
    3.0: "3 * ",
    4.0: "4 * ",
    5.0: "5 * ",
    6.0: "6 * ",
    0.5: "0.5 * ",
    0.25: "0.25 * ",
    0.75: "0.75 * ",
    1.5: "1.5 * ",
    1 / 3: "1 / 3 * ",
    2 / 3: "2 / 3 * ",
    1 / 6: "1 / 6 * ",
    0.125: "0.125 * ",
    8.0: "8 * ",
}
"""Factors that formulas are full of, as they are written before a product."""

CONSTANTS = {"pi": math.pi, "log(2)": math.log(2.0), "sqrt(pi)": math.sqrt(math.pi), "sqrt(2)": math.sqrt(2.0)}

MOST_DIGITS = 5
"""Significant digits of a decimal that is taken for what was meant."""


@dataclass(frozen=True)
class Coefficient:
    """A factor in text: what stands before and after a product, and its sign."""

    before: str
    after: str
    negative: bool
    cost: int = 0

    def times(self, product: str) -> str:
        """Return a product with the factor, without its sign."""
        return f"{self.before}{product}{self.after}"


def coefficients(value: float, scalars: Sequence[Atom]) -> Iterator[Coefficient]:
    """Yield what a factor may be, the plainest first; nothing where it is no number that one would write."""
    size, negative = abs(value), value < 0
    if not math.isfinite(size) or size == 0.0:
        return
    plain = next((text for fraction, text in FRACTIONS.items() if _alike(size, fraction)), None)
    if plain is not None:
        yield Coefficient(plain, "", negative, int(bool(plain)))
    if plain == "":
        return
    for scalar in scalars:  # of a plain fraction as well: it may be a size that happens to be 4
        yield from _by_scalar(size, negative, scalar)
    if plain is None and (decimal := shortest_decimal(size)) is not None:
        yield Coefficient(f"{decimal} * ", "", negative, 8)


def _by_scalar(size: float, negative: bool, scalar: Atom) -> Iterator[Coefficient]:
    known = float(scalar.values[0].real.reshape(-1)[0])
    if known == 0.0 or _alike(abs(known), 1.0):
        return
    flipped = negative != (known < 0)
    for fraction, text in list(FRACTIONS.items())[:7]:
        if _alike(size, fraction * abs(known)):
            yield Coefficient(text, f" * {scalar.text}", flipped, 2 + scalar.rank)
        if _alike(size, fraction / abs(known)):
            yield Coefficient(text, f" / {_operand(scalar.text)}", flipped, 2 + scalar.rank)


def _operand(text: str) -> str:
    return text if text.isidentifier() or text.startswith("(") else f"({text})"


def shortest_decimal(value: float, most: int = MOST_DIGITS) -> str | None:
    """Return the decimal of fewest digits that a number is; None where it takes too many."""
    for digits in range(1, most + 1):
        text = f"{value:.{digits}g}"
        if _alike(float(text), value):
            made = repr(float(text))
            return made.removesuffix(".0") if float(text).is_integer() and abs(float(text)) < 1e6 else made
    return None


def _alike(a: float, b: float) -> bool:
    return abs(a - b) <= CLOSE * abs(b)


def constant_texts(wanted: float, present: float, prefix: str) -> Iterator[str]:
    """Yield what may stand in the place of a constant."""
    if abs(wanted) < 1e-9:
        yield "0"
        return
    decimal = shortest_decimal(abs(wanted))
    sign = "-" if wanted < 0 else ""
    if decimal is not None:
        yield sign + decimal
    for name, value in CONSTANTS.items() if prefix else ():
        for fraction, text in list(FRACTIONS.items())[:7]:
            called = f"{prefix}.{name}" if name != "log(2)" else f"{prefix}.log(2)"
            called = f"{prefix}.sqrt({prefix}.pi)" if name == "sqrt(pi)" else called
            if _alike(abs(wanted), fraction * value):
                yield f"{sign}{text}{called}"
            if _alike(abs(wanted), fraction / value):
                yield f"{sign}{text}1 / {called}"
    if present and decimal is None:
        ratio = wanted / present
        for fraction, text in FRACTIONS.items():
            if text and _alike(abs(ratio), fraction):
                yield f"{'-' if ratio < 0 else ''}{text}{present!r}"
