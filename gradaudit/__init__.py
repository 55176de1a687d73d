"""gradaudit audits hand-written gradients against finite differences, index by index.

From Python, for one op at hand: ``gradaudit.check(gradaudit.op(forward, backward), {"x": x}).assert_ok()``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradaudit.api import Audit, GradientMismatch, check, op, process_op
    from gradaudit.drop_in.jax import check_grads
    from gradaudit.drop_in.torch import gradcheck, gradgradcheck
    from gradaudit.explain.point import point
    from gradaudit.framework_ops import autograd_op, jax_op, tinygrad_op, torch_op
    from gradaudit.model_check import check_flow

__all__ = [
    "Audit",
    "GradientMismatch",
    "autograd_op",
    "check",
    "check_flow",
    "check_grads",
    "gradcheck",
    "gradgradcheck",
    "jax_op",
    "op",
    "point",
    "process_op",
    "tinygrad_op",
    "torch_op",
]

_HOMES = {
    **dict.fromkeys(("Audit", "GradientMismatch", "check", "op", "process_op"), "gradaudit.api"),
    **dict.fromkeys(("autograd_op", "jax_op", "tinygrad_op", "torch_op"), "gradaudit.framework_ops"),
    **dict.fromkeys(("gradcheck", "gradgradcheck"), "gradaudit.drop_in.torch"),
    "point": "gradaudit.explain.point",
    "check_flow": "gradaudit.model_check",
    "check_grads": "gradaudit.drop_in.jax",
}
"""Where each name is defined: nothing is imported before it is asked for."""


if not TYPE_CHECKING:  # to which a misspelt name would be as good as any

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'gradaudit' has no attribute '{name}'")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
