"""What an implementation in a narrow dtype cannot help: errors like those of inputs that were rounded to it.

A sum whose terms cancel comes out with an error of its terms' last digits, however it is written. An algorithm is
called backward stable where its answer is the exact one at inputs that differ by rounding (N. J. Higham, Accuracy and
Stability of Numerical Algorithms, 2002, section 1.5); here such inputs are tried.
"""

from __future__ import annotations

from gradaudit.checks.gradient.ground import FORMULA_SHARE, Ground, widened
from gradaudit.checks.gradient.inside import displaced
from gradaudit.numerics.arrays import Array, namespace
from gradaudit.numerics.magnitude import rms
from gradaudit.spec.case import Case, Tolerance
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import spacing
from gradaudit.targets.op import OpError

ROUNDINGS = 32.0
"""Roundings of a gradient's typical element that small ones may be off by: what a saturated softmax takes."""

DRAWS = 8
"""Roundings tried: all of them change a gradient by less than a sixth of the usual once in 100,000 times."""

STABLE = 512.0
"""How many times that change an error may be: what 30,000 terms come to that are added one after the other."""


def without_rounding(ground: Ground, name: str, claimed: Array, tolerance: Tolerance) -> tuple[Array, int]:
    """Return a claimed gradient with what backward gives in float64 where no more than rounding separates the two.

    Up to ``ROUNDINGS`` of the gradient's rms is rounding. So is more, up to its relative tolerance, where rounded
    inputs change the gradient as well.

    Args:
        ground: where backward's formula is known in float64.
        name: the input.
        claimed: its gradient in the case's dtype.
        tolerance: what is allowed; nothing is tried where every index keeps within it.

    Returns:
        The gradient, and at how many indices it was replaced.

    """
    formula = ground.formula[name]
    wide = widened(claimed)
    difference = abs(wide - formula)
    exceeding = difference > (1 - FORMULA_SHARE) * (tolerance.atol + tolerance.rtol * abs(formula))  # perhaps too much
    if not exceeding.any():
        return claimed, 0
    typical = rms(formula)
    most = tolerance.rtol * typical
    few = difference <= min(ROUNDINGS * spacing(ground.subject.case.dtype) * typical, most)
    if (exceeding & ~few).any():
        exceeding &= few | ((difference <= most) & (difference <= STABLE * _change(ground, name)))
    return namespace(wide).where(exceeding, formula, wide), int(exceeding.sum())


def rounding_note(case: Case, indices: int) -> str:
    """Return what is said of a gradient that passes as far as its dtype allows; nothing where no index needs it."""
    many = f"{indices:,} indices are" if indices > 1 else "one index is"
    return f"{many} off by no more than rounding to {case.dtype} does to sums that cancel" if indices else ""


def _change(ground: Ground, name: str) -> Array:
    """Return how much a gradient changes in float64, as rms, when all that it is made of is rounded."""
    case = ground.subject.case
    rng, unit = generator(case, "rounding"), spacing(case.dtype)

    def rounded(array: Array) -> Array:
        return displaced(array, -unit, rng)  # towards zero: to where the op is defined too, as a rule

    squares = namespace(ground.formula[name]).zeros_like(abs(ground.formula[name]))
    for _ in range(DRAWS):
        inputs = {each: rounded(x) for each, x in ground.inputs.items()}
        try:
            outputs = ground.subject.op.forward(inputs)
        except OpError:
            continue
        finally:
            ground.evaluations += 1
        there = ground.claims([rounded(widened(part)) for part in ground.subject.upstream], inputs, outputs)
        if name in there:
            squares += abs(there[name] - ground.formula[name]) ** 2
    return (squares / DRAWS) ** 0.5
