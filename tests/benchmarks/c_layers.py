"""Audits eight layers in C at the size of a small language model, in float32 and in double, right and with faults.

    python tests/benchmarks/c_layers.py [--sizes B T C NH]

Prints for each layer and dtype the verdict and the seconds of the processor, and how many of the faults are caught.
Exit status: 0 where all layers pass and all faults are caught, 1 otherwise. Takes two minutes of one core.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from time import process_time

sys.path.insert(0, str(Path(__file__).parents[1] / "targets"))

from c_layers import FAULTS, LAYERS, Fault, Sizes, library, planted_with, spec, verdict


def main() -> int:
    """Audit the layers, then the faults; return the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs=4, default=(4, 64, 768, 12), metavar=("B", "T", "C", "NH"))
    b, t, c, heads = parser.parse_args().sizes
    sizes = Sizes(b, t, c, heads, c, c)
    unexpected, spent = 0, 0.0
    for dtype in ("float32", "float64"):
        for op in LAYERS:
            found, seconds = _judged(op, dtype, sizes)
            spent += seconds
            unexpected += found != "pass"
            print(f"{op:14} {dtype}  {found:12} {seconds:6.2f} s", flush=True)
    print(f"{len(LAYERS)} layers in two dtypes: {spent:.1f} s of the processor")
    caught = 0
    for name, (op, *_) in FAULTS.items():
        found, seconds = _judged(op, "float32", sizes, *planted_with(name))
        caught += found == "fail"
        print(f"{name:40} {found:12} {seconds:6.2f} s", flush=True)
    print(f"{caught} of {len(FAULTS)} faults caught")
    return int(unexpected > 0 or caught < len(FAULTS))


def _judged(op: str, dtype: str, sizes: Sizes, *faults: Fault) -> tuple[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        made, begun = library(Path(folder), *faults), process_time()
        return str(verdict(Path(folder), spec(op, made, dtype, sizes=sizes))), process_time() - begun


if __name__ == "__main__":
    sys.exit(main())
