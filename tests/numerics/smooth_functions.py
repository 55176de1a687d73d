"""Random smooth functions that round as kernels do, with derivatives known to more digits than they compute with.

Each is ``f_j(x) = offset_j + sum_i a_ij phi_i((x_i - c_i) / s)``, computed step by step in one dtype; the derivative of
``<u, f>`` is computed for the very same constants in extended precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import lifted
from gradaudit.numerics.derivative import Differences, Estimate, estimate_derivatives
from gradaudit.numerics.judging import judge
from gradaudit.numerics.loss import Floats, Loss
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES, NATIVE_TOLERANCES, dtype_of, floating_info, spacing

Array = NDArray[Any]

ELEMENTS, OUTPUTS = 3, 4

DTYPES = ("float16", "bfloat16", "float32", "float64", "float32 inside")
"""Dtypes that functions compute in; the last takes and returns float64 and computes in float32."""

SMALLEST, LARGEST = 1e-8, 1e8
"""Magnitudes of arguments, as far as the dtype has them."""

STEEPEST = 1e6
"""Largest ratio of an argument to the scale on which the function changes, and of an output to its changing part."""

FLATTEST = 1e-2
"""Least ratio of an argument to the function's scale where that is in proportion to the argument."""

RESOLVED = 16.0
"""Numbers of the dtype that there are at least within the function's scale: with fewer it is no smooth function."""


def _sigmoid(t: Array) -> Array:
    return 1 / (1 + np.exp(-t))


PHI: tuple[tuple[Callable[[Array], Array], Callable[[Array], Array]], ...] = (
    (np.sin, np.cos),
    (np.exp, np.exp),
    (np.tanh, lambda t: 1 - np.tanh(t) ** 2),
    (_sigmoid, lambda t: _sigmoid(t) * (1 - _sigmoid(t))),
    (lambda t: 1 / (1 + t * t), lambda t: -2 * t / (1 + t * t) ** 2),
    (lambda t: np.log1p(t * t), lambda t: 2 * t / (1 + t * t)),
    (lambda t: np.sqrt(1 + t * t), lambda t: t / np.sqrt(1 + t * t)),
    (lambda t: t * (t * t - 3), lambda t: 3 * t * t - 3),
    (lambda t: t * _sigmoid(t), lambda t: _sigmoid(t) * (1 + t * (1 - _sigmoid(t)))),
    (lambda t: t * np.exp(-t * t), lambda t: (1 - 2 * t * t) * np.exp(-t * t)),
)
"""Functions of one number that change on a scale of one, each with its derivative."""


@dataclass(frozen=True)
class SmoothFunction:
    """One function at one point.

    Attributes:
        dtype: one of ``DTYPES``.
        x: the point, of shape (elements,), in the dtype that the function takes.
        upstream: of shape (outputs,), in float64.
        gradient: the derivative of ``<upstream, f>`` there, in extended precision.
        evaluate: computes the outputs for the present contents of an array like ``x``.

    """

    dtype: str
    x: Array
    upstream: Floats
    gradient: NDArray[np.longdouble]
    evaluate: Callable[[Array], Array]

    def loss(self, called: Callable[[], None] = lambda: None) -> Loss:
        """Return it as the audit sees it: nothing is known of a float64 function that computes in float32.

        Something is called before each evaluation beside the point.
        """

        def forward() -> Floats:
            called()
            return lifted((self.evaluate(x),))

        x = self.x.copy()
        outputs = lifted((self.evaluate(x),))
        assumed = spacing("float64" if self.dtype == "float32 inside" else self.dtype)
        return Loss(forward, x, self.upstream, outputs, assumed)


def draw_function(dtype: str, rng: np.random.Generator) -> SmoothFunction:
    """Draw a function and a point; magnitudes and scales are uniform in their logarithms."""
    computing = "float32" if dtype == "float32 inside" else dtype
    info = floating_info(computing)
    least, most = max(SMALLEST, 4 * float(info.tiny)), min(LARGEST, float(info.max) / 64)
    magnitude = _log_uniform(rng, least, most)
    steepest = min(STEEPEST, 1 / (RESOLVED * spacing(computing)))
    scale = _log_uniform(rng, 0.1, 10.0)  # of the function itself, or in proportion to the argument
    if rng.random() < 0.5 or scale < magnitude / steepest:
        scale = min(magnitude / _log_uniform(rng, FLATTEST, steepest), most)
    kind = dtype_of(computing)

    def held(values: Any) -> Array:
        """Return values as the dtype holds them: the constants of the function are those."""
        return np.asarray(values).astype(kind)

    x = held(magnitude * rng.uniform(0.5, 1.5, ELEMENTS) * rng.choice((-1, 1), ELEMENTS))
    t = rng.uniform(-2, 2, ELEMENTS)
    wide = x.astype(np.float64)
    # Either the argument is first brought near zero, which is exact, or it enters as it is, which is not.
    centre = held(np.where((rng.random() < 0.5) | (np.abs(wide) > 16 * scale), wide - t * scale, 0.0))
    factor = held(1 / scale if 1 / scale < most else most)
    weights = held(rng.normal(size=(OUTPUTS, ELEMENTS)))
    share = _log_uniform(rng, 1.0, min(STEEPEST, 1 / (RESOLVED * spacing(computing))))
    offset = held(rng.normal(size=OUTPUTS) * (share if rng.random() < 0.5 else 0.0))
    chosen = [PHI[k] for k in rng.integers(len(PHI), size=ELEMENTS)]

    def evaluate(x: Array) -> Array:
        t = (x.astype(kind) - centre) * factor
        terms = np.stack([phi(t[i]) for i, (phi, _) in enumerate(chosen)])
        return (weights @ terms + offset).astype(x.dtype)

    upstream = rng.normal(size=OUTPUTS)
    exact = [np.asarray(part).astype(np.longdouble) for part in (x, centre, factor, weights)]
    arguments = (exact[0] - exact[1]) * exact[2]
    slopes = np.array([slope(arguments[i]) for i, (_, slope) in enumerate(chosen)])
    gradient = (upstream.astype(np.longdouble) @ exact[3]) * slopes * exact[2]
    point = x.astype(np.float64) if dtype == "float32 inside" else x
    return SmoothFunction(dtype, point, upstream, gradient, evaluate)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


@dataclass(frozen=True)
class Measured:
    """How a bound compares with the truth: ``error`` is what the estimate is really off by."""

    bound: float
    error: float

    @property
    def known(self) -> bool:
        """Whether there is an estimate at all; where there is none, the bound is infinite."""
        return bool(np.isfinite(self.bound))

    @property
    def inside(self) -> bool:
        """Whether the truth lies within the bound."""
        return not self.known or self.error <= self.bound

    @property
    def ratio(self) -> float:
        """By how much the bound is too wide."""
        return self.bound / self.error if self.error else np.inf


def measure(
    function: SmoothFunction, rng: np.random.Generator, *, audited: bool
) -> tuple[list[Measured], list[Measured], int]:
    """Estimate every derivative of a function.

    Args:
        function: the function and its point.
        rng: random stream for the survey of noise.
        audited: whether to stop as soon as a right claim is settled at default tolerances, as an audit does; else the
            effort goes on to its end.

    Returns:
        How good the bounds are at the end, and where a right claim was settled first; the evaluations it took.

    """
    made, first, calls = [], [], list[None]()
    with np.errstate(all="ignore"):
        loss = function.loss(lambda: calls.append(None))
        loss.measure_noise(rng)
        truths = function.gradient.astype(np.float64)
        places = np.arange(len(truths))
        first_settled: dict[int, Estimate] = {}

        def settled(estimate: Estimate) -> NDArray[np.bool_]:
            judged = judge(truths, estimate.value, estimate.bound, rtol_of(function.dtype) * abs(estimate.value))
            decided = np.asarray(judged.right | judged.wrong)
            for i in decided.nonzero()[0]:
                first_settled.setdefault(int(i), estimate.at(i))
            return decided & audited

        differences = Differences(loss.along(places), loss.steps_at(places))
        last = estimate_derivatives(differences, settled, np.ones(places.shape, bool))
        for i, truth in enumerate(function.gradient):
            made.append(_measured(last.at(i), truth))
            first.append(_measured(first_settled.get(i, last.at(i)), truth))
    return made, first, len(calls)


def _measured(estimate: Estimate, truth: np.longdouble) -> Measured:
    return Measured(estimate.bound, float(abs(np.longdouble(estimate.value) - truth)))


def rtol_of(dtype: str) -> float:
    """Return the relative tolerance that an audit in this dtype has by default where it cannot reach float64."""
    if dtype == "float64":
        return DEFAULT_TOLERANCES[dtype].rtol
    return NATIVE_TOLERANCES["float32" if dtype == "float32 inside" else dtype].rtol


def draw_usable(dtype: str, seed: int) -> tuple[SmoothFunction, np.random.Generator]:
    """Return the function of a seed, and what is left of its random stream; one that overflows is drawn anew."""
    rng = np.random.default_rng([seed, DTYPES.index(dtype)])
    with np.errstate(all="ignore"):
        while True:
            function = draw_function(dtype, rng)
            values = (*function.evaluate(function.x).astype(np.float64), *function.gradient.astype(np.float64))
            if np.isfinite(values).all():
                return function, rng
