"""What every kind of target has to show: the same verdicts and findings for the same five ops, right and wrong.

A new kind of target is one entry in ``KINDS`` of ``test_contract.py``: a function that audits a variant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import contract_ops

X = {"shape": [3, 4], "range": [0.5, 2.0]}
SQUARE: Mapping[str, Any] = {"x": X}
LINEAR: Mapping[str, Any] = {
    "x": {"shape": [3, 4], "range": [-2.0, 2.0]},
    "w": {"shape": [4, 5], "range": [-1.0, 1.0]},
    "b": {"shape": [5], "range": [0.5, 1.5]},
}
DROP: Mapping[str, Any] = {
    "x": X,
    "mask": {"shape": [3, 4], "distribution": "bernoulli", "differentiable": False},
}


@dataclass(frozen=True)
class Variant:
    """An op, right or wrong, at some inputs, and how its audit ends.

    Attributes:
        forward, backward: names of functions in ``contract_ops``.
        inputs: as in a spec.
        verdicts: by differentiable input.
        codes: all findings, likely causes among them.
        says: what a message or finding holds, whatever kind of target it is.
        args: what backward takes; None for the upstream and all inputs.
        params, tolerance: as in a spec.
        dtype: of the floating inputs.
        raw: whether it is about what backward returns as it stands, which a framework's engine mends or refuses first.

    """

    forward: str
    backward: str
    inputs: Mapping[str, Any]
    verdicts: Mapping[str, str]
    codes: frozenset[str] = frozenset()
    says: str = ""
    args: Sequence[str] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    tolerance: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "float64"
    raw: bool = False

    @property
    def functions(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        return getattr(contract_ops, self.forward), getattr(contract_ops, self.backward)

    def __str__(self) -> str:
        about = [self.backward, *self.tolerance]
        return "-".join(about + ([] if self.dtype == "float64" else [self.dtype]))


def variant(
    forward: str, backward: str, inputs: Mapping[str, Any], verdicts: Mapping[str, str], *codes: str, **more: Any
) -> Variant:
    return Variant(forward, backward, inputs, verdicts, frozenset(codes), **more)


VARIANTS: tuple[Variant, ...] = (
    variant("square", "square_backward", SQUARE, {"x": "pass"}),
    variant("square", "square_backward", SQUARE, {"x": "pass"}, dtype="float32"),
    variant("square", "square_backward", {"x": {"shape": [40, 50]}}, {"x": "pass"}, dtype="float16"),
    variant("square", "square_backward", SQUARE, {"x": "inconclusive"}, "tolerance-too-loose", tolerance={"rtol": 0.5}),
    variant("square", "square_sign_flipped", SQUARE, {"x": "fail"}, "sign-flipped"),
    variant("square", "square_upstream_ignored", SQUARE, {"x": "fail"}, "upstream-ignored"),
    variant("square", "square_nonlinear_upstream", SQUARE, {"x": "fail"}, "nonlinear-upstream", "wrong-subset"),
    variant(
        "square",
        "square_of_float32_in_float64",
        SQUARE,
        {"x": "fail"},
        "dtype-mismatch",
        says="the gradient of x is float64, the input is float32",
        dtype="float32",
        raw=True,
    ),
    variant("square", "square_captured_state", SQUARE, {"x": "fail"}, "captured-state"),
    variant("noisy_square", "square_backward", SQUARE, {"x": "fail"}, "stochastic-forward"),
    variant("linear", "linear_backward", LINEAR, dict.fromkeys("xwb", "pass")),
    variant(
        "linear",
        "linear_not_reduced",
        LINEAR,
        {"x": "pass", "w": "pass", "b": "error"},
        "broadcast-not-reduced",
        raw=True,
    ),
    variant(
        "linear", "linear_without_w", LINEAR, {"x": "pass", "w": "error", "b": "pass"}, "missing-gradient", raw=True
    ),
    variant(
        "linear", "linear_of_wrong_shape", LINEAR, {"x": "pass", "w": "error", "b": "pass"}, "shape-mismatch", raw=True
    ),
    variant("drop", "drop_backward", DROP, {"x": "pass"}, params={"p": 0.3}),
    variant(
        "drop", "drop_not_scaled", DROP, {"x": "fail"}, "constant-factor", says="1/(1-p) (p = 0.3)", params={"p": 0.3}
    ),
    variant("softmax", "softmax_backward", SQUARE, {"x": "pass"}, args=["upstream", "output[0]"]),
    variant(
        "softmax", "softmax_without_the_sum", SQUARE, {"x": "fail"}, "missing-term", args=["upstream", "output[0]"]
    ),
    variant("log", "log_backward", SQUARE, {"x": "pass"}),
    variant(
        "log",
        "log_backward",
        {"x": {"values": [1.0, -1.0]}},
        {"x": "error"},
        says="log of a number that is not positive",
    ),
)
