"""What else people hold a kernel's gradient against: gradcheck with wide tolerances, and a twin in low precision."""

from __future__ import annotations

import sys
import warnings
from unittest.mock import patch

import torch
from kernel import Kernel, Tensors

EPS, ATOL, RTOL = 1e-3, 1e-2, 1e-2
"""Of gradcheck, as repositories of kernels set them for float32 and below."""

TWIN = 3.0
"""Times the error of PyTorch in the same precision that a kernel's largest error may be: flash-attention's rule."""


def _inputs(kernel: Kernel, seed: int = 0) -> Tensors:
    rng = torch.Generator().manual_seed(seed)
    return {
        name: torch.empty(shape).uniform_(*kernel.ranges[name], generator=rng).to(getattr(torch, kernel.given(name)))
        for name, shape in kernel.shapes.items()
    }


def gradcheck(kernel: Kernel) -> str:
    """Return what gradcheck in its fast mode, the only one that ends at these sizes, says: pass, fail or raises."""
    given = tuple(x.requires_grad_() for x in _inputs(kernel).values())
    # What fails in the fast mode it looks at once more in the slow one, for the message: a Jacobian of many gigabytes.
    no_jacobian = patch.object(sys.modules["torch.autograd.gradcheck"], "_run_slow_mode_and_get_error", lambda *_: "")
    with warnings.catch_warnings(action="ignore"), no_jacobian:
        try:
            right = torch.autograd.gradcheck(
                kernel.function(), given, eps=EPS, atol=ATOL, rtol=RTOL, fast_mode=True, raise_exception=False
            )
        except (RuntimeError, ValueError, TypeError):
            return "raises"
    return "pass" if right else "fail"


def twin(kernel: Kernel, right: Kernel) -> str:
    """Return whether the largest error is at most three times that of PyTorch's own gradient in the same precision.

    Both are held against the right gradient in double precision.
    """
    low = _inputs(kernel)
    upstream = kernel.function()(*low.values()).detach()
    upstream = torch.empty(upstream.shape).uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(1)).to(upstream)
    leaves = {name: x.clone().requires_grad_() for name, x in low.items()}
    try:
        out = right.forward(leaves)
        plain = torch.autograd.grad(out, list(leaves.values()), upstream.to(out.dtype))
        exact = right.backward(upstream.double(), {name: x.double() for name, x in low.items()})
    except RuntimeError:
        return "-"
    leaves = {name: x.clone().requires_grad_() for name, x in low.items()}
    made = torch.autograd.grad(kernel.function()(*leaves.values()), list(leaves.values()), upstream)
    for name, mine, other in zip(low, made, plain, strict=True):
        error, usual = ((found.double() - exact[name]).abs().max() for found in (mine, other))
        if not error <= TWIN * usual:
            return "fail"
    return "pass"
