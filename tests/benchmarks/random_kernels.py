"""Audits right kernels at random shapes and styles, then with one index off by three times what the audit could see.

    python tests/benchmarks/random_kernels.py [--seconds N] [--seed N]

Exit status: 0 where no right gradient is accused and no planted error passes, 1 otherwise.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import kernel_faults
import kernels_besides as more
import kernels_of_networks as main_ones
import numpy as np
import torch
from kernel import Kernel
from right_ops import drawing
from torch import Tensor

from gradaudit.engine.audit import audit_case
from gradaudit.results import Result, Verdict

torch.set_num_threads(1)

OF_ROWS: tuple[Callable[[str, int, int], Kernel], ...] = (
    main_ones.layer_norm, main_ones.rms_norm, main_ones.swiglu, main_ones.gelu, main_ones.relu, main_ones.softmax,
    main_ones.cross_entropy, main_ones.scan, more.residual_norm, more.dropout, more.log_softmax, more.running_sum,
    more.ignoring_cross_entropy, more.geglu, more.row_maximum, more.sort, more.rectified_linear,
)  # fmt: skip

DTYPES = ("float32", "bfloat16", "float16")

TIMES = 3.0
"""How many times the stated resolution a planted error is."""


def drawn(rng: np.random.Generator) -> Kernel:
    """Return a kernel of rows, a product or an attention, of up to some thousand elements."""
    dtype = DTYPES[rng.integers(len(DTYPES))]
    style = ("only", "only", "numpy", "checkpoint")[rng.integers(4)]
    kind = int(rng.integers(len(OF_ROWS) + 2))
    rows, columns = (int(2 ** rng.uniform(1, 6)) for _ in range(2))
    if kind == len(OF_ROWS):
        made = main_ones.matmul(dtype, rows, int(2 ** rng.uniform(1, 6)), columns)
    elif kind > len(OF_ROWS):
        made = more.alibi(dtype, 1, 2, min(rows, 24) + 1, columns)
    else:
        made = OF_ROWS[kind](dtype, rows, columns)
    return replace(made, style=style)


def with_error(kernel: Kernel, result: Result, rng: np.random.Generator) -> Kernel:
    """Return a kernel with one index of an input off by three times the resolution that its audit stated."""
    place, sign = int(rng.integers(math.prod(kernel.shapes[result.input]))), float(rng.choice([-1, 1]))

    def change(gradient: Tensor) -> Tensor:
        flat = gradient.reshape(-1).clone()
        size = torch.maximum(flat[place].abs(), flat.square().mean().sqrt())
        flat[place] += sign * TIMES * result.resolution * size
        return flat.reshape(gradient.shape)

    return kernel_faults.broken(kernel, "one index", result.input, change)


def main() -> int:
    """Audit until the time is over, print what went wrong, and return the exit status."""
    ended: Counter[tuple[str, str]] = Counter()
    for rng in drawing(__doc__):
        kernel, seed = drawn(rng), int(rng.integers(1000))
        what = f"{kernel.name} {kernel.dtype} {kernel.style} {kernel.shapes} seed {seed}"
        results = audit_case(kernel.case(seed), seconds=60.0).results
        for result in results:
            ended[kernel.dtype, f"right: {result.verdict}"] += 1
            if result.verdict in (Verdict.FAIL, Verdict.ERROR):
                print(f"accused: {what}: {result.input}: {result.message}", flush=True)
        passing = [result for result in results if result.verdict is Verdict.PASS]
        if not passing:
            continue
        planted = with_error(kernel, passing[rng.integers(len(passing))], rng)
        name = planted.fault.split(": ")[0]
        (found,) = (result for result in audit_case(planted.case(seed), seconds=60.0).results if result.input == name)
        ended[kernel.dtype, f"planted: {found.verdict}"] += 1
        if found.verdict is Verdict.PASS:
            print(f"missed: {what}: {name}", flush=True)
    for dtype in DTYPES:
        print(f"{dtype}: " + ", ".join(f"{many:,} {how}" for (of, how), many in sorted(ended.items()) if of == dtype))
    return int(any("right: fail" in how or "right: error" in how or "planted: pass" in how for _, how in ended))


if __name__ == "__main__":
    sys.exit(main())
