"""Audits kernels where they run: on a GPU, a Triton kernel among them, or on any other device of PyTorch.

    python tests/benchmarks/gpu.py [--device cuda] [--elements N]

Right and wrong kernels in float32, bfloat16 and float16; takes some minutes. The Triton kernel is left out where Triton
is not installed; on a CPU it runs with TRITON_INTERPRET=1. Exit status: 0 where no right kernel is accused and no wrong
one passes, 1 otherwise.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import kernel_faults
import kernels_of_networks as networks
import torch
from kernel import Kernel
from torch import Tensor

from gradaudit.engine.audit import audit_case
from gradaudit.results import worst


def kernels(elements: int) -> Iterator[Kernel]:
    """Yield right kernels of about so many elements."""
    rows = max(2, elements // 256)
    for dtype in ("float32", "bfloat16", "float16"):
        yield networks.layer_norm(dtype, rows, 256)
        yield networks.rms_norm(dtype, rows, 256)
        yield networks.softmax(dtype, rows, 256)
        yield networks.swiglu(dtype, rows, 256)
        yield networks.matmul(dtype, rows, 256, 256)
        yield networks.attention(dtype, 1, 2, min(rows, 128), 64)
    if importlib.util.find_spec("triton"):
        for dtype in ("float32", "bfloat16", "float16"):
            yield triton_swiglu(networks.swiglu(dtype, rows, 256))


def triton_swiglu(kernel: Kernel) -> Kernel:
    """Return a SwiGLU whose forward and backward are Triton kernels."""
    from kernel_triton import swiglu, swiglu_backward

    return replace(
        kernel,
        name="triton_swiglu",
        forward=lambda i: swiglu(i["a"], i["b"]),
        backward=lambda u, i: dict(zip("ab", swiglu_backward(u, i["a"], i["b"]), strict=True)),
    )


def _lost(gradient: Tensor) -> Tensor:
    gradient = gradient.clone()
    gradient[..., -gradient.shape[-1] // 8 :] = 0
    return gradient


FAULTS: dict[str, Callable[[Tensor], Tensor]] = {
    "last block of columns lost": _lost,
    "x 1.02": lambda gradient: gradient * 1.02,
}


def main() -> int:
    """Audit the kernels, each right and with two faults, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--elements", type=int, default=100_000)
    chosen = parser.parse_args()
    try:
        torch.empty(1, device=chosen.device)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        parser.error(f"--device {chosen.device}: expected a device of this PyTorch, which says: {error}")
    torch.set_default_device(chosen.device)
    torch.set_num_threads(1)  # threads of small calls wait for each other
    if not importlib.util.find_spec("triton"):
        print("Triton is not installed: its kernels are left out")
    off = 0
    for kernel in kernels(chosen.elements):
        first = next(iter(kernel.shapes))
        wrong = [kernel_faults.broken(kernel, fault, first, change) for fault, change in FAULTS.items()]
        for each in (kernel, *wrong):
            started = time.perf_counter()
            results = audit_case(each.case(), seconds=60.0).results
            verdict = str(worst([result.verdict for result in results]))
            off += verdict in (("pass",) if each.fault else ("fail", "error"))
            calls = f"{results[0].forwards} + {results[0].backwards} calls, {time.perf_counter() - started:.1f} s"
            print(f"{each.name} {each.dtype} {each.fault or 'right'}: {verdict}; {calls}", flush=True)
            if verdict == "error":
                print(f"    {results[0].message}")
    print(f"{off} not as wanted")
    return int(off > 0)


if __name__ == "__main__":
    sys.exit(main())
