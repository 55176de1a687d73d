"""Models of torch without their casts to narrower dtypes: those of an autocast, and those that they make themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

CASTS = {
    torch.Tensor.half: torch.float16,
    torch.Tensor.bfloat16: torch.bfloat16,
    torch.Tensor.float: torch.float32,
}
"""Methods that cast, and to what."""


class _Keeping(TorchFunctionMode):  # type: ignore[misc] # Any where torch is not installed
    """Lets every tensor that should be cast to a narrower dtype be what it is."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        wanted = _wanted(function, args, kwargs or {})
        return args[0] if wanted and _narrows(wanted, args[0]) else function(*args, **(kwargs or {}))


def _narrows(wanted: Any, x: Any) -> bool:
    if not wanted.is_floating_point or not x.is_floating_point():
        return False
    return bool(torch.finfo(wanted).bits < torch.finfo(x.dtype).bits)


def _wanted(function: Any, args: Any, kwargs: Any) -> Any:
    """Return the dtype that a call casts to; None where it casts nothing."""
    if function in CASTS:
        return CASTS[function]
    if function not in (torch.Tensor.to, torch.Tensor.type, torch.Tensor.type_as):
        return None
    given = [getattr(each, "dtype", each) for each in (*args[1:], *kwargs.values())]
    return next((each for each in given if isinstance(each, torch.dtype)), None)


@contextmanager
def without_casts() -> Iterator[None]:
    """Let nothing be cast to a narrower dtype within the context: every autocast that is entered is none."""
    enter = torch.autocast.__enter__

    def entered(context: Any) -> Any:
        made = enter(context)
        torch.set_autocast_enabled(context.device, False)
        return made

    torch.autocast.__enter__ = entered
    try:
        with _Keeping():
            yield
    finally:
        torch.autocast.__enter__ = enter
