"""Ops in HIPS autograd: functions on its wrapped NumPy, whose arrays are NumPy's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import autograd
import numpy as np
from autograd.builtins import tuple as autograd_tuple
from numpy.typing import NDArray

from gradaudit.targets.framework_op import FrameworkOp
from gradaudit.targets.structure import leaves

Array = NDArray[Any]


def autograd_op(
    function: Callable[..., Any],
    *,
    params: Mapping[str, Any] | None = None,
    constants: frozenset[str] = frozenset(),
    counted: tuple[int, ...] | None = None,
    seed: int = 0,
) -> FrameworkOp:
    """Return the op of a function written with ``autograd.numpy`` or of a primitive with a rule of its own.

    Args:
        function: called with the inputs by position.
        params: keyword arguments.
        constants: names of the inputs of floating dtype whose gradients are not asked for.
        counted: positions of the outputs that count, nested ones counted through; None for all floating ones.
        seed: of nothing: autograd's randomness is NumPy's.

    """
    return FrameworkOp(AutogradFunction(function, params or {}), constants, counted)


@dataclass(frozen=True)
class AutogradFunction:
    """A function of autograd, with its keyword arguments."""

    function: Callable[..., Any]
    params: Mapping[str, Any]

    def outputs(self, inputs: Mapping[str, Array], wanted: frozenset[str]) -> tuple[Array | None, ...]:
        """Call the function on the arrays as they are."""
        return tuple(map(_output, leaves(self.function(*inputs.values(), **self.params))))

    def gradients(
        self, upstream: Mapping[int, Array], inputs: Mapping[str, Array], wanted: frozenset[str]
    ) -> dict[str, Array]:
        """Trace the function and pull the upstream back.

        autograd pulls back without conjugation: its cotangents and gradients are the conjugates of ours.
        """
        asked = [name for name in inputs if name in wanted]

        def counted(*moving: Any) -> Any:
            given = {**inputs, **dict(zip(asked, moving, strict=True))}
            made = list(leaves(self.function(*given.values(), **self.params)))
            return autograd_tuple([made[k] for k in upstream])

        pull, _ = autograd.make_vjp(counted, tuple(range(len(asked))))(*(inputs[name] for name in asked))
        made = pull(tuple(part.conj() for part in upstream.values()))
        return {name: np.conj(np.asarray(gradient)) for name, gradient in zip(asked, made, strict=True)}


def _output(leaf: Any) -> Array | None:
    array = np.asarray(leaf)
    return None if array.dtype.kind in "OUSMm" else array
