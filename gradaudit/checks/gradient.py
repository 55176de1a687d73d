"""The gradient check: backward's answer against finite differences of forward, at every index.

Forward is differenced in float64 where it is generic in dtype, whatever dtype the case is in: the inputs are exactly
representable there, so the numerical gradient is that of the formula at the very point that backward was given.
Elsewhere it is differenced in its own dtype, with bounds to match.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.contract import broken_contract
from gradaudit.checks.ground import Ground, find_ground, widened
from gradaudit.checks.subject import Subject
from gradaudit.numerics.decision import Decision, decide, settles
from gradaudit.numerics.derivative import Estimate, estimate_at_step, estimate_derivative
from gradaudit.numerics.loss import Floats, Loss, rms
from gradaudit.results import MAX_MISMATCHES, Finding, Mismatch, Result, Verdict
from gradaudit.spec.case import Case, Tolerance
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES, NATIVE_TOLERANCES, spacing
from gradaudit.targets.op import OpError

Array = NDArray[Any]

WORTHLESS = 0.05
"""A pass that would have let a relative error of this size go unseen is no pass."""


def check_gradient(subject: Subject) -> tuple[list[Result], list[Finding]]:
    """Audit the gradient of every differentiable input, each by itself.

    Returns:
        One result for each, in their order, and what was noticed about the case as a whole.

    """
    ground = find_ground(subject)
    results = [_audit(subject, ground, made.name) for made in subject.case.inputs if made.differentiable]
    return results, ground.findings


def blank_result(case: Case, name: str, message: str = "") -> Result:
    """Return the result of an input that nothing is known of yet."""
    size = next(math.prod(made.shape) for made in case.inputs if made.name == name)
    location = f"{case.location.file}:{case.location.line}"
    return Result(
        case.op, case.module, case.name, case.dtype, name, Verdict.ERROR, size=size, message=message, location=location
    )


def _audit(subject: Subject, ground: Ground, name: str) -> Result:
    started = time.perf_counter()
    blank = blank_result(subject.case, name)
    gradient = subject.gradients.get(name)
    broken = broken_contract(name, subject.inputs[name], gradient, answered=name in subject.gradients)
    if broken or gradient is None:
        return replace(blank, message=broken.message if broken else "", findings=(broken,) if broken else ())
    loss = Loss(ground.evaluate, ground.inputs[name], ground.upstream, ground.outputs, spacing(ground.dtype))
    claimed = widened(gradient)
    try:
        numerical, bounds = _exhaustive(subject.case, loss, claimed)
    except OpError as error:
        result = replace(blank, message=str(error))
    else:
        result = _judged(blank, subject, ground, claimed, numerical, bounds)
    if loss.disturbed:
        message = f"{name} was not bit-identical after its perturbation was undone: forward kept it and changed it"
        ground.findings.append(Finding("input-mutated", message, {"by": "forward", "array": name}))
    return replace(result, evaluations=loss.evaluations, seconds=time.perf_counter() - started)


def _exhaustive(case: Case, loss: Loss, claimed: Array) -> tuple[Array, Floats]:
    """Return an estimate of the true gradient and a bound on its error, for every index."""
    tolerance = case.tolerance or DEFAULT_TOLERANCES[case.dtype]
    loss.measure_noise(generator(case, "noise"))
    numerical, bounds = np.zeros_like(claimed), np.zeros(claimed.shape)
    units = (1.0, 1j) if claimed.dtype.kind == "c" else (1.0,)
    for index in np.ndindex(claimed.shape):
        value, bound = 0j, 0.0
        for unit in units:
            part = float(claimed[index].imag if unit == 1j else claimed[index].real)
            estimate = _estimate(case, loss, index, unit, part, tolerance)
            value, bound = value + estimate.value * unit, math.hypot(bound, estimate.bound)
        numerical[index] = value if len(units) == 2 else value.real
        bounds[index] = bound
    return numerical, bounds


def _estimate(
    case: Case, loss: Loss, index: tuple[int, ...], unit: complex, claimed: float, tolerance: Tolerance
) -> Estimate:
    sample = loss.along_element(index, unit)
    if case.step is not None:
        return estimate_at_step(sample, case.step)
    return estimate_derivative(
        sample,
        loss.step_at(index),
        lambda made: settles(claimed, made.value, made.bound, tolerance.rtol, tolerance.atol),
    )


def _judged(
    blank: Result, subject: Subject, ground: Ground, claimed: Array, numerical: Array, bounds: Floats
) -> Result:
    case = subject.case
    tolerance = _tolerance(case, ground, numerical)
    made = decide(claimed, numerical, bounds, tolerance.rtol, tolerance.atol, _scale(subject, ground, blank.input))
    verdict, message = _verdict(made)
    if verdict is not Verdict.ERROR and not ground.generic:
        message = f"{message}; " if message else ""
        message += f"differenced in {ground.dtype}: forward does not return float64 for float64"
    return replace(
        blank,
        verdict=verdict,
        checked=claimed.size,
        wrong=int(made.wrong.sum()),
        resolution=made.resolution,
        rtol=tolerance.rtol,
        atol=tolerance.atol,
        message=message,
        mismatches=_mismatches(made, claimed, numerical, bounds),
        findings=_domain_findings(bounds),
    )


def _tolerance(case: Case, ground: Ground, numerical: Array) -> Tolerance:
    if case.tolerance is not None:
        return case.tolerance
    if ground.generic:
        return DEFAULT_TOLERANCES[case.dtype]
    native = NATIVE_TOLERANCES[ground.dtype]
    return Tolerance(native.rtol, native.atol * rms(numerical[np.isfinite(numerical)]))


def _scale(subject: Subject, ground: Ground, name: str) -> float:
    """Return the magnitude that a gradient of zero everywhere would have had: upstream times output over input."""
    return rms(ground.upstream) * rms(ground.outputs) / (rms(ground.inputs[name]) or 1.0)


def _verdict(made: Decision) -> tuple[Verdict, str]:
    if made.wrong.any():
        return Verdict.FAIL, f"{int(made.wrong.sum())} of {made.wrong.size} indices wrong"
    if undecided := int(made.undecided.sum()):
        return Verdict.INCONCLUSIVE, f"{undecided} of {made.wrong.size} indices cannot be decided at this precision"
    if made.resolution > WORTHLESS:
        blind = f"a relative error of {made.resolution:.2g} could have gone unseen"
        return Verdict.INCONCLUSIVE, f"the tolerance is too loose for this gradient: {blind}"
    return Verdict.PASS, ""


def _mismatches(made: Decision, claimed: Array, numerical: Array, bounds: Floats) -> tuple[Mismatch, ...]:
    """Return the wrong indices, or the undecided ones where none is wrong, worst first."""
    listed = made.wrong if made.wrong.any() else made.undecided
    with np.errstate(all="ignore"):
        excess = np.nan_to_num(made.difference[listed] / made.allowed[listed], nan=np.inf, posinf=np.inf)
    places = np.argwhere(listed)[np.argsort(-excess, kind="stable")[:MAX_MISMATCHES]]
    indices = [tuple(int(k) for k in place) for place in places]
    return tuple(
        Mismatch(
            index=index,
            analytical=claimed[index].item(),
            numerical=numerical[index].item(),
            error_bound=float(bounds[index]),
            difference=float(made.difference[index]),
            tolerance=float(made.allowed[index]),
        )
        for index in indices
    )


def _domain_findings(bounds: Floats) -> tuple[Finding, ...]:
    outside = np.argwhere(np.isinf(bounds))
    if not len(outside):
        return ()
    where = tuple(int(k) for k in outside[0])
    message = f"forward is not finite around {len(outside)} indices, the first {where}; keep inputs inside its domain"
    return (Finding("out-of-domain", message, {"count": len(outside), "index": list(where)}),)
