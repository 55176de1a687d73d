"""From what was seen in training to findings: what did not go as the spec expects of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import median

from gradaudit.audit.conclusion import LOSS
from gradaudit.models.learning.course import Course, Passage
from gradaudit.results import Finding, Measured
from gradaudit.spec.model_targets import Attainment

MAX_NAMED = 8
"""Parameters that a message names one by one."""

CERTAIN = 64
"""A parameter that stays where it is has been left out only where it should have moved by this many spacings of its
dtype: less is lost in rounding at every step."""


def judge(course: Course, expected: Attainment) -> Iterator[Finding]:
    """Yield what training shows, each finding about the loss or a parameter, which its evidence names."""
    yield from _count(course, expected.parameters)
    if course.diverged:
        yield _diverged(course)
    else:
        yield from _loss(course, expected.loss_falls_by)
        yield from _accuracy(course, expected.accuracy)
        yield from _without_gradient(course)
        yield from _stuck(course)
    yield from _time(course, expected.seconds)


def _count(course: Course, expected: int | None) -> Iterator[Finding]:
    found = list(course.parameters)
    if expected is not None and len(found) != expected:
        said = f": {_named(found)}" if found else ""
        message = f"expected {expected} parameters, found {len(found)}{said}"
        yield Finding("parameter-count", message, {"array": LOSS, "expected": expected, "found": found})


def _diverged(course: Course) -> Finding:
    assert course.diverged
    message = "the loss is not finite before the first step"
    if course.steps:
        message = f"the loss is not finite at {course.diverged}, after {_shown(course.measured[0].loss)} at first"
    wrong = {name: one.nonfinite for name, one in course.parameters.items() if one.nonfinite}
    if wrong:
        name, moment = min(wrong.items(), key=lambda entry: (entry[1].epoch, entry[1].batch))
        message += f"; the gradient of {name} is the first that is not finite, at {moment}"
    at = {"epoch": course.diverged.epoch, "batch": course.diverged.batch}
    return Finding("diverged", message, {"array": LOSS, **at, **curve_of(course)})


def _loss(course: Course, falls_by: float | None) -> Iterator[Finding]:
    first, last = course.measured[0].loss, course.measured[-1].loss
    if last < first and first - last >= (falls_by or 0.0) * abs(first):
        return
    share = f" by {abs(first - last) / abs(first):.1%}" if first else ""
    went = f"fell{share}" if last < first else f"rose{share}" if last > first else "did not change"
    wanted = f"fall by at least {100 * falls_by:g}%" if falls_by else "fall"
    message = (
        f"the loss {went} in {_epochs(course.measured)}, from {_shown(first)} to {_shown(last)}; it should {wanted}"
    )
    yield Finding("not-learning", message, {"array": LOSS, "fell": first - last, **curve_of(course)})


def _accuracy(course: Course, expected: float | None) -> Iterator[Finding]:
    reached = course.measured[-1].accuracy
    if expected is None or reached is None or reached >= expected:
        return
    message = f"accuracy reached {reached:.3g} in {_epochs(course.measured)}, expected at least {expected:g}"
    yield Finding("not-learning", message, {"array": LOSS, "accuracy": reached, **curve_of(course)})


def _without_gradient(course: Course) -> Iterator[Finding]:
    for name, one in course.parameters.items():
        if course.steps and not one.answered:
            message = f"{name} had no gradient after any of {course.steps} training steps"
            yield Finding("missing-gradient", message, {"array": name, "steps": course.steps})


def _stuck(course: Course) -> Iterator[Finding]:
    """Yield the parameters that stay where they are though their gradients pull at them."""
    told = {name: one for name, one in course.parameters.items() if one.told}
    still = [name for name, one in told.items() if one.moved == 0.0]
    if told and len(still) == len(told):
        message = (
            f"no parameter changed in {course.steps} steps, though {_named(still)} got gradients: the optimiser "
            "changes nothing, or not the model's parameters"
        )
        yield Finding("parameter-stuck", message, {"array": LOSS, "parameters": still})
        return
    rate = median(one.moved / one.pull for one in told.values() if one.moved > 0.0) if len(still) < len(told) else 0.0
    for name in still:
        if _should_have_moved(told[name], rate):
            message = (
                f"{name} got a gradient at {told[name].told} of {course.steps} steps and never changed: the optimiser "
                "does not know it, or changes another array than the model's"
            )
            yield Finding("parameter-stuck", message, {"array": name, "steps": told[name].told})


def _should_have_moved(one: Passage, rate: float) -> bool:
    return math.isfinite(rate) and rate * one.pull / max(one.told, 1) > CERTAIN * one.spacing


def _time(course: Course, allowed: float | None) -> Iterator[Finding]:
    if allowed is not None and course.seconds > allowed:
        message = f"training took {course.seconds:.1f} s of processor time, where {allowed:g} s are allowed"
        yield Finding("too-slow", message, {"array": LOSS, "seconds": course.seconds, "allowed": allowed})


def curve_of(course: Course) -> Mapping[str, list[float | None]]:
    """Return the loss curve as evidence of a finding: columns of equal length."""
    return {
        "epochs": [made.epoch for made in course.measured],
        "losses": [made.loss for made in course.measured],
        "accuracies": [made.accuracy for made in course.measured],
    }


def _epochs(measured: tuple[Measured, ...]) -> str:
    return f"{measured[-1].epoch} epoch{'' if measured[-1].epoch == 1 else 's'}"


def _shown(loss: float) -> str:
    return f"{loss:.4g}"


def _named(names: list[str]) -> str:
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
