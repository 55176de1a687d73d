"""Functions that are differenced in a forward's stead: its reference in float64, or a surrogate that is smooth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradaudit.spec.dtypes import DEFAULT_TOLERANCES, has_derivatives
from gradaudit.targets.op import OpError, raised
from gradaudit.targets.structure import members_of


class Reference:
    """A float64 reference of a forward: computes in float64, and answers in the dtypes that forward answers in.

    The first call is compared with forward itself, at the tolerance of the dtype.

    Args:
        reference: computes what forward does, at inputs in float64.
        forward: the op's own.
        dtype: the case's.

    """

    def __init__(self, reference: Callable[..., Any], forward: Callable[..., Any], dtype: str) -> None:
        self._reference = reference
        self._forward = forward
        self._dtype = dtype
        self._dtypes: list[Any] | None = None

    def __call__(self, *inputs: Any, **params: Any) -> tuple[Any, ...]:
        """Return the reference's outputs; where the inputs are in float64, so are they.

        Raises:
            OpError: where forward does not compute the same.

        """
        wide = all(one.dtype.itemsize >= 8 for one in inputs if has_derivatives(one.dtype))
        lifted = [one.astype(np.float64) if has_derivatives(one.dtype) and not wide else one for one in inputs]
        try:
            outputs = tuple(members_of(self._reference(*lifted, **params)).values())
        except Exception as error:
            raise raised("the reference", error) from None
        if self._dtypes is None:
            own = tuple(members_of(self._forward(*inputs, **params)).values())
            self._dtypes = [np.asarray(one).dtype for one in own]
            self._compare(own, outputs)
        if wide:
            return outputs
        pairs = zip(outputs, self._dtypes, strict=True)
        return tuple(np.asarray(out).astype(dtype) for out, dtype in pairs)

    def _compare(self, own: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
        if len(own) != len(expected):
            raise OpError(f"the reference returned {len(expected)} outputs, forward returned {len(own)}")
        tolerance = DEFAULT_TOLERANCES[self._dtype]
        for k, (found, wanted) in enumerate(zip(own, expected, strict=True)):
            what = f"output {k}" if len(own) > 1 else "the output"
            found, wanted = np.asarray(found).astype(np.float64), np.asarray(wanted).astype(np.float64)
            if found.shape != wanted.shape:
                raise OpError(f"{what} of the reference has shape {wanted.shape}, that of forward {found.shape}")
            size = np.maximum(abs(wanted), np.sqrt(np.mean(wanted**2)) if wanted.size else 0.0)
            off = abs(found - wanted) > tolerance.atol * (size > 0) + tolerance.rtol * size
            if off.any():
                where = tuple(
                    int(i) for i in np.unravel_index(int(np.argmax(np.where(off, abs(found - wanted), 0))), off.shape)
                )
                raise OpError(
                    f"forward differs from its reference at {int(off.sum())} of {off.size} indices of {what}, most at "
                    f"{where}: found {found[where]:.6g}, expected {wanted[where]:.6g}"
                )
