"""A guess of how a backward pass is called, and the search for inputs that it runs at."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.drafts.inputs import RANGES, Candidate, combinations, drawn, planned
from gradaudit.spec.case import Case, Expectation, Input, Location, Target, Tolerance
from gradaudit.spec.dtypes import has_derivatives
from gradaudit.targets import open_op
from gradaudit.targets.op import OpError

Array = NDArray[Any]

MOST = 6000
"""Combinations of shapes that are tried for each range of values."""

SECONDS = 12.0
"""How long inputs are looked for, in time of the processor."""

TOLERANCE = Tolerance(1e-4, 1e-6, "a small constant inside of a logarithm or a root is no mistake")
"""What gradients may be off by where nobody says."""

FORWARDS = 40
"""Points that forward runs at and backward does not: after so many, it is not the shapes that are wrong."""


@dataclass(frozen=True)
class Guess:
    """How a backward pass may be called.

    Attributes:
        target: the op.
        gradients: names of the inputs that backward answers for.
        said: in words, for who reads the report.
        rival: whether another guess may be meant as well: then both are audited, and the better one counts.
        extra: inputs beside those that were looked for: the parameters of a layer.

    """

    target: Target
    gradients: tuple[str, ...]
    said: str
    rival: bool = False
    extra: Mapping[str, Candidate] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """A backward pass whose calls are to be guessed.

    Attributes:
        possible: what each input may be.
        params: settings, passed by keyword.
        forward: calls it with arrays by name; returns the outputs that are arrays.
        ranges: where floats are drawn from, likeliest first.
        guesses: the guesses for arrays that forward ran at, likeliest first; nothing where no guess fits.

    """

    possible: Mapping[str, tuple[Candidate, ...]]
    params: Mapping[str, Any]
    forward: Callable[[Mapping[str, Array]], list[Array]]
    guesses: Callable[[Mapping[str, Array]], Iterator[Guess]]
    ranges: tuple[tuple[float, float], ...] = RANGES


@dataclass(frozen=True)
class Found:
    """A guess that was tried.

    Attributes:
        guess: the guess.
        chosen: what each input is.
        limits: where floats are drawn from.
        params: the settings.
        wrong: what its first answer lacks, empty where nothing.

    """

    guess: Guess
    chosen: Mapping[str, Candidate]
    limits: tuple[float, float]
    params: Mapping[str, Any]
    wrong: str = ""


@dataclass
class Tried:
    """What the search has come by so far."""

    complete: list[Found] = field(default_factory=list)
    broken: Found | None = None
    degenerate: list[Found] = field(default_factory=list)
    reason: str = ""
    forwards: int = 0
    asked: bool = False


def search(subjects: Iterator[Subject], until: float) -> Tried:
    """Try guesses until one is complete, or there is no time left.

    Args:
        subjects: ways to call forward, likeliest first.
        until: the time, by the clock of the processor, at which it ends: on a busy machine it finds as much.

    """
    tried = Tried()
    for subject in subjects:
        before = tried.forwards
        for chosen in combinations(dict(subject.possible), MOST):
            if time.process_time() > until or tried.forwards - before >= FORWARDS:
                break
            for limits in subject.ranges:  # values matter only where forward is not finite
                if _try(subject, chosen, limits, tried):
                    break
            if tried.complete:
                return tried if tried.asked else _in_columns(subject, chosen, tried)
        if tried.degenerate:
            tried.complete = tried.degenerate[:1]
            return tried
    return tried


def _in_columns(subject: Subject, chosen: Mapping[str, Candidate], tried: Tried) -> Tried:
    """Add guesses for the same numbers in other axes, where nothing says in which they come.

    An op of one vector that takes no batches may want a column; a loss of matrices may be one of vectors, and divide by
    their length.
    """
    tried.asked = True
    names, shapes = list(chosen), {one.shape for one in chosen.values()}
    (shape, *others) = shapes
    if others or any(one.values != "floats" for one in chosen.values()):
        return tried
    try:
        outputs = subject.forward({name: drawn(name, one, RANGES[2]) for name, one in chosen.items()})
    except Exception:  # it runs elsewhere only
        return tried
    scalar = all(out.size == 1 for out in outputs)
    columns = ((*shape, 1), (1, *shape)) if len(shape) == 1 and len(names) == 1 else ()
    for other in (*columns, *((shape[-1:],) if len(shape) == 2 and scalar else ())):
        for limits in subject.ranges:
            if _try(subject, dict.fromkeys(names, Candidate(other)), limits, tried):
                break
    return tried


def _try(subject: Subject, chosen: Mapping[str, Candidate], limits: tuple[float, float], tried: Tried) -> bool:
    """Try a point, and return whether other values in the same shapes would fare no better."""
    return try_at({name: drawn(name, one, limits) for name, one in chosen.items()}, subject, chosen, limits, tried)


def try_at(
    arrays: Mapping[str, Array],
    subject: Subject,
    chosen: Mapping[str, Candidate],
    limits: tuple[float, float],
    tried: Tried,
) -> bool:
    """Note how a subject fares at these arrays, and return whether other values would fare no better."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            outputs = subject.forward({name: array.copy() for name, array in arrays.items()})
        except Exception as error:
            tried.reason = tried.reason or f"forward: {_told(error)}"
            return not isinstance(error, (ValueError, ArithmeticError)) or "math" not in str(error)
        usable = [out for out in outputs if has_derivatives(out.dtype)]
        if not usable or not all(out.size for out in usable):
            return True
        if not all(np.isfinite(out).all() for out in usable):
            return False
        if tried.forwards == 0:
            tried.reason = ""
        tried.forwards += 1
        try:
            guesses = list(subject.guesses({name: array.copy() for name, array in arrays.items()}))
        except Exception as error:
            tried.reason = tried.reason or f"backward: {_told(error)}"
            return True
        _note(guesses, arrays, chosen, limits, subject.params, tried)
        if any(out.ndim and out.size == 1 for out in usable):  # a loop that runs once hides what is wrong with it
            tried.degenerate += tried.complete
            tried.complete = []
    return True


def _note(
    guesses: Sequence[Guess],
    arrays: Mapping[str, Array],
    chosen: Mapping[str, Candidate],
    limits: tuple[float, float],
    params: Mapping[str, Any],
    tried: Tried,
) -> None:
    """Note which guesses are complete at a point, and the first that is broken."""
    for guess in guesses:
        more = {name: drawn(name, one, limits) for name, one in guess.extra.items()}
        wrong = _answer(guess, {**arrays, **more}, params, tried)
        if wrong is None:
            continue
        found = Found(guess, {**chosen, **guess.extra}, limits, params, wrong)
        if not wrong:
            tried.complete.append(found)
            if not guess.rival:
                return
        elif tried.broken is None:
            tried.broken = found


def _answer(guess: Guess, arrays: Mapping[str, Array], params: Mapping[str, Any], tried: Tried) -> str | None:
    """Return what is wrong with a guess's gradients at a point: empty for nothing, None where it cannot be called."""
    given = tuple(Input(name, one.shape, one.dtype.name, name in guess.gradients) for name, one in arrays.items())
    case = replace(bare_case(guess.target, params), inputs=given)
    try:
        op = open_op(case)
        inputs = {name: array.copy() for name, array in arrays.items()}
        outputs = op.forward(inputs)
        rng = np.random.default_rng(0)
        upstream = tuple(
            np.ones(outputs[k].shape)
            if guess_takes_none(guess, outputs[k])
            else rng.uniform(0.5, 1.5, outputs[k].shape).astype(dtype if has_derivatives(dtype) else np.float64)
            for k in op.differentiable_outputs(outputs)
            for dtype in (outputs[k].dtype,)
        )
        gradients = op.backward(upstream, inputs, outputs)
    except OpError as error:
        tried.reason = tried.reason or str(error).split("\n  ")[0]
        return None
    except Exception as error:
        tried.reason = tried.reason or _told(error)
        return None
    off = []
    for name in guess.gradients:
        made = gradients.get(name)
        if made is None:
            off.append(f"there is no gradient of {name}")
        elif made.shape != arrays[name].shape:
            off.append(f"the gradient of {name} has shape {made.shape}, {name} has {arrays[name].shape}")
    if len(off) == len(guess.gradients) and off:
        tried.reason = tried.reason or off[0]
        return None if len(off) > 1 or "no gradient" in off[0] else off[0]
    return "; ".join(off)


def guess_takes_none(guess: Guess, output: Array) -> bool:
    """Whether the output's upstream is one, as backward takes none."""
    return output.size == 1 and not replace(bare_case(guess.target, {})).takes_upstream


def bare_case(target: Target, params: Mapping[str, Any], location: Location | None = None) -> Case:
    """Return a case that only says how an op is reached."""
    return Case(
        op="draft",
        module="",
        name="default",
        dtype="float64",
        target=target,
        inputs=(),
        params=deepcopy(dict(params)),
        tolerance=TOLERANCE,
        upstream="random",
        step=None,
        method="auto",
        seed=0,
        expect=Expectation(),
        notes="",
        location=location or Location(Path(), 1, 1),
    )


def case_of(found: Found, op: str, module: str, location: Location, name: str = "default") -> Case:
    """Return the case that a guess which was tried comes to."""
    inputs = tuple(
        planned(name, one, found.limits, differentiable=name in found.guess.gradients)
        for name, one in found.chosen.items()
    )
    bare = bare_case(found.guess.target, found.params, location)
    return replace(bare, op=op, module=module, name=name, inputs=inputs, notes=found.guess.said)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".split("\n")[0][:200]
