"""Whether an op rounds what it is given to a coarser dtype than it is given, as autocast and mixed precision do.

A function that begins by rounding its inputs cannot tell numbers that round alike apart: nudged by less than half the
spacing of the coarser dtype, around numbers that it has, they give the same outputs bit by bit. Outputs with few bits
prove nothing; a difference of large numbers has them too.
"""

from __future__ import annotations

from functools import lru_cache, partial
from itertools import product

from gradaudit.checks.subject import Snapshot, Subject
from gradaudit.numerics.arrays import Array, cast, copied, count, dtype_name, joined, like, namespace
from gradaudit.numerics.margins import MAX_LISTED, QUARTER, SAMPLE, SMALL_SAMPLE, SPREAD
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import is_complex, is_floating, spacing
from gradaudit.targets.op import OpError

COARSER = ("bfloat16", "float16")
"""Dtypes that inputs may be rounded to, the coarsest first; TF32 has the digits of float16."""

NARROW = ("bfloat16", "float16", "float32")
"""Dtypes that a forward which returns float64 may compute in, the coarsest first."""

INSIDE = QUARTER * (1 - SPREAD)
"""Nudges, in spacings of the coarser dtype at the least number of a binade: less than half of one at any other."""

ROUNDED, CUT_OFF = (INSIDE, -INSIDE), (INSIDE, 2 * INSIDE)
"""Nudges that those ignore who round to nearest, and those who drop digits, as matrix units do that read TF32."""


_Answers = tuple[Array, Array]
"""What forward and backward give at some arguments, each as one vector."""


def narrowed_to(subject: Subject) -> str | None:
    """Return the dtype that forward or backward rounds its arguments to first, if that is coarser than the case's."""
    given = spacing(subject.case.dtype)
    for dtype in COARSER:
        if spacing(dtype) <= given:
            continue
        rounds = _ignores_nudges(subject, dtype)
        if not any(rounds):
            continue
        here, further, far = (_answers(subject, dtype, 0.0, size) for size in (0.0, 2.0, 0.5 / spacing(dtype)))
        if here is None or further is None or far is None:
            continue
        if any(
            ignores and _has_narrow_stairs(*parts) for ignores, *parts in zip(rounds, here, further, far, strict=True)
        ):
            return dtype
    return None


def _ignores_nudges(subject: Subject, dtype: str) -> tuple[bool, bool]:
    """Return whether forward, and backward, answer alike wherever arguments round alike, or else are cut off alike."""
    elements = max(1, sum(map(count, (*subject.inputs.values(), *subject.upstream))))
    # Stairs that the function has built are met by chance; the fewer elements, the more numbers it takes to meet one.
    bases = range(max(SMALL_SAMPLE, MAX_LISTED // elements))
    answers = lru_cache(maxsize=2)(partial(_answers, subject, dtype))  # with which both begin

    def ignored(sides: tuple[float, float]) -> tuple[bool, bool]:
        forward = backward = True
        for base, side in product(bases, sides):
            here, there = answers(base, 0.0), answers(base, side)
            if here is None or there is None:
                return False, False
            forward = forward and not _changed(here[0], there[0])
            backward = backward and not _changed(here[1], there[1])
            if not forward and not backward:
                break
        return forward, backward

    rounds = ignored(ROUNDED)
    return rounds if any(rounds) else ignored(CUT_OFF)


def _has_narrow_stairs(here: Array, further: Array, far: Array) -> bool:
    """Whether half of what changes far away changes at the next numbers of a dtype already.

    A function whose stairs are wider than that has built them itself, as the gradient of a median has.
    """
    moved = _changed(here, far)
    return moved > 0 and 2 * _changed(here, further) >= moved


def _answers(subject: Subject, dtype: str, base: float, size: float) -> _Answers | None:
    """Return the answers at arguments that were displaced by ``base`` spacings of a dtype, rounded, and by ``size``."""
    rng = generator(subject.case, f"nudge {dtype}")

    def near(array: Array) -> Array:
        name = dtype_name(array.dtype)
        if not is_floating(name) or is_complex(name):
            return copied(array)
        parts = like(rng.uniform(0.5, 1.0, tuple(array.shape)), array) * spacing(dtype)  # alike, they might cancel
        rounded = cast(cast(array * (1.0 + base * parts), dtype), name)
        return cast(rounded * (1.0 + size * parts), name)

    inputs = {name: subject.in_layout(name, near(x)) for name, x in subject.inputs.items()}
    before = Snapshot.of(inputs)
    try:
        outputs = subject.op.forward(inputs)
        counted = tuple(map(copied, subject.counted_of(outputs)))
        made = subject.op.backward(tuple(map(near, subject.upstream)), inputs, outputs).values()
        answered = [copied(gradient) for gradient in made if gradient is not None]
        return (joined(counted), joined(tuple(answered))) if answered else None
    except (OpError, IndexError):
        return None
    finally:
        before.restore(before.changed())


def _changed(one: Array, other: Array) -> int:
    """Return how many numbers of one vector are others in the other: all where their lengths differ."""
    return int((one != other).sum()) if one.shape == other.shape else count(one)


def narrowest(numbers: Array) -> str | None:
    """Return the narrowest dtype that finite numbers, not all zero, are numbers of; None for float64."""
    found, isfinite = None, namespace(numbers).isfinite
    for name in reversed(NARROW):
        parts = (numbers[:SAMPLE], numbers)  # a few of them tell most
        if all(((cast(cast(part, name), "float64") == part) | ~isfinite(part)).all() for part in parts):
            found = name
        elif name == NARROW[-1]:
            return None  # what float32 has not, no narrower dtype has
    return found if (isfinite(numbers) & (numbers != 0.0)).any() else None
