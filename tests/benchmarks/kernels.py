"""Right and wrong kernels in low precision, at the sizes where people run them, audited as ``gradaudit run`` does.

    python tests/benchmarks/kernels.py [--only WORD...] [--every N] [--report FILE]

Beside each verdict stands what gradcheck says at the tolerances that people set, and a comparison with a twin in the
same precision. How much of a gradient could be zero is measured by planting: the smallest entries are set to zero, more
and more of them, as long as nobody notices. Right kernels must not be accused, wrong ones must not pass.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import kernel_faults
import kernel_rivals
import kernels_besides as more
import kernels_in_jax
import kernels_of_networks as main_ones
import torch
from kernel import Kernel
from torch import Tensor

from gradaudit.engine.audit import audit_case
from gradaudit.results import Result, worst

torch.set_num_threads(1)

SECONDS = 60.0
"""Time limit of an audit."""

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
"""Parts of a gradient that are set to zero, the smallest entries first; with none of them, one entry is."""


def right() -> Iterator[Kernel]:
    """Yield right kernels, from 64 elements to a million."""
    yield from _of_networks()
    yield from _besides()
    for kernel in (main_ones.rms_norm("bfloat16", 64, 128), main_ones.layer_norm("float16", 64, 256)):
        yield replace(kernel, wide=frozenset({"w", "b"}) & set(kernel.shapes))
        yield replace(kernel, style="casts")
        yield replace(kernel, style="checkpoint")
        yield replace(kernel, style="numpy")
    yield replace(main_ones.softmax("float32", 64, 256), style="checkpoint")
    yield replace(main_ones.swiglu("bfloat16", 32, 128), style="casts")
    yield replace(main_ones.gelu("float16", 32, 128), style="numpy")
    for kernel in (
        main_ones.matmul("bfloat16", 128, 96, 64),
        main_ones.rms_norm("bfloat16", 64, 128),
        more.rectified_linear("bfloat16", 64, 32),
        more.convolution("bfloat16", 4, 16, 64, 16),
    ):
        yield replace(kernel, style="autocast")
    yield from kernels_in_jax.right()


def _of_networks() -> Iterator[Kernel]:
    n = main_ones
    for dtype, rows, columns in (
        ("float32", 256, 768), ("bfloat16", 128, 256), ("bfloat16", 8, 8), ("float16", 128, 768)
    ):  # fmt: skip
        yield n.layer_norm(dtype, rows, columns)
        yield n.rms_norm(dtype, rows, columns)
    for dtype in ("float32", "bfloat16", "float16"):
        yield from (n.swiglu(dtype, 128, 512), n.softmax(dtype, 128, 256), n.softmax(dtype, 40, 20))
        yield from (n.rope(dtype, 2, 64, 8, 64), n.cross_entropy(dtype, 64, 256), n.scan(dtype, 256, 64))
        yield from (n.group_norm(dtype, 8, 32, 8, 16), n.matmul(dtype, 256, 256, 256), n.attention(dtype, 1, 2, 16, 16))
    yield from (n.gelu("float32", 1000, 1000), n.relu("float32", 1000, 1000))
    yield from (n.gelu("bfloat16", 100, 1000), n.relu("bfloat16", 100, 1000), n.matmul("tf32", 256, 256, 256))
    yield from (n.attention("float32", 2, 4, 64, 64), n.attention("tf32", 2, 4, 64, 32))
    yield n.attention("bfloat16", 2, 4, 64, 32)


def _besides() -> Iterator[Kernel]:
    for dtype in ("float32", "bfloat16"):
        yield from (more.residual_norm(dtype, 64, 128), more.batch_norm(dtype, 16, 32, 16))
        yield from (
            more.dropout(dtype, 100, 100),
            more.embedding(dtype, 500, 64, 400),
            more.log_softmax(dtype, 64, 256),
        )
        yield from (more.ignoring_cross_entropy(dtype, 64, 256), more.running_sum(dtype, 64, 256))
        yield more.log_softmax(dtype, 64, 256)
        yield from (more.max_pool(dtype, 32, 64), more.convolution(dtype, 4, 16, 64, 16), more.geglu(dtype, 100, 200))
        yield from (more.alibi(dtype, 1, 4, 16, 16), more.row_maximum(dtype, 16, 20), more.sort(dtype, 16, 20))
        yield from (more.rectified_linear(dtype, 32, 32), more.fake_quant(dtype, 32, 64))


def wrong(every: int) -> Iterator[tuple[Kernel, Kernel]]:
    """Yield wrong kernels and what they would be without their fault: all with a wrong formula, of the others some."""
    for place, kernel in enumerate(right()):
        if kernel.name == "fake_quant" or kernel.style == "jax":
            continue
        parts = [fault for k, fault in enumerate(kernel_faults.parts(kernel)) if (k + place) % every == 0]
        for fault in (*kernel_faults.formulas(kernel), *parts):
            if kernel_faults.matters(fault, kernel):
                yield fault, kernel
    yield from kernels_in_jax.wrong()


@dataclass(frozen=True)
class Row:
    """One kernel's audit, in seconds of CPU, with what others say."""

    kernel: Kernel
    results: tuple[Result, ...]
    seconds: float
    gradcheck: str
    twin: str

    @property
    def verdict(self) -> str:
        """Of the case; of a wrong kernel's input that is wrong, where one is."""
        return str(worst([result.verdict for result in self.results if self._is_meant(result)]))

    @property
    def wrongly_accused(self) -> bool:
        """Whether a gradient fails that is right."""
        accused = {result.input for result in self.results if str(result.verdict) in ("fail", "error")}
        if not self.kernel.fault:
            return bool(accused)
        return ": " in self.kernel.fault and bool(accused - {self.kernel.fault.split(": ")[0]})

    def _is_meant(self, result: Result) -> bool:
        return ": " not in self.kernel.fault or result.input == self.kernel.fault.split(": ")[0]

    @property
    def line(self) -> str:
        """What is said of it, as a row of a table in Markdown."""
        k = self.kernel
        forwards = max(result.forwards for result in self.results)
        backwards = max(result.backwards for result in self.results)
        seen = max(result.resolution for result in self.results)
        style = k.style + (", float32 weights" if k.wide else "")
        said = [k.name, k.dtype, style, f"{k.elements:,}", *([k.fault] if k.fault else []), self.verdict]
        said += [f"{seen:.1g}", f"{forwards} + {backwards}", f"{self.seconds:.1f}", self.gradcheck, self.twin]
        return "| " + " | ".join(said) + " |"


COLUMNS = "verdict | index | calls | s | gradcheck | twin |"
HEAD = f"| kernel | dtype | called | elements | {COLUMNS}\n|{'---|' * 10}"
WRONG_HEAD = f"| kernel | dtype | called | elements | fault | {COLUMNS}\n|{'---|' * 11}"


def audited(kernel: Kernel, others: Kernel | None = None, seed: int = 0) -> Row:
    """Audit one kernel; ask the others too, given what it would be without its fault."""
    started = time.process_time()
    audit = audit_case(kernel.case(seed), seconds=SECONDS)
    seconds = time.process_time() - started
    asked = others is not None and kernel.style in ("only", "checkpoint")
    said = (kernel_rivals.gradcheck(kernel), kernel_rivals.twin(kernel, others)) if asked and others else ("-", "-")
    return Row(kernel, audit.results, seconds, *said)


def unnoticed(kernel: Kernel, name: str) -> list[str]:
    """Return the largest share of an input's gradient that may be zero for gradcheck, the twin, and gradaudit."""
    passing = {"gradcheck": "none", "twin": "none", "gradaudit": "none"}
    for share in SHARES:

        def zeroed(gradient: Tensor, share: float = share) -> Tensor:
            sizes = gradient.abs().reshape(-1)
            many = max(1, int(share * sizes.numel()))
            flat = gradient.reshape(-1).clone()
            flat[sizes.argsort()[:many] if share else sizes.numel() // 2] = 0
            return flat.reshape(gradient.shape)

        row = audited(kernel_faults.broken(kernel, "zeros", name, zeroed), kernel)
        for rival, verdict in (("gradcheck", row.gradcheck), ("twin", row.twin), ("gradaudit", row.verdict)):
            if verdict == "pass":
                passing[rival] = f"{share:.0%}" if share else "one entry"
    return list(passing.values())


def main() -> int:
    """Audit all kernels, write the report, and say what does not keep to what is wanted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="kernels whose name, dtype or fault holds these words")
    parser.add_argument("--every", type=int, default=30, help="one of so many faults of parts is planted")
    parser.add_argument("--report", type=Path, help="file to write tables to")
    chosen = parser.parse_args()
    pairs = [(kernel, kernel) for kernel in right()] + list(wrong(chosen.every))
    rows = []
    for kernel, without in pairs:
        if all(word in f"{kernel.name} {kernel.dtype} {kernel.fault}" for word in chosen.only):
            rows.append(audited(kernel, without))
            print(rows[-1].line, flush=True)
    lines = [*_summary(rows), "", "## Right kernels", "", HEAD]
    lines += [row.line for row in rows if not row.kernel.fault]
    lines += ["", "## Wrong kernels", "", WRONG_HEAD, *[row.line for row in rows if row.kernel.fault]]
    if not chosen.only:
        lines += ["", "## Zeros that nobody notices", "", *_zeros()]
    if chosen.report:
        chosen.report.write_text("\n".join(lines) + "\n")
    print("\n".join(_summary(rows)))
    return int(any(row.wrongly_accused or (row.kernel.fault and row.verdict == "pass") for row in rows))


def _zeros() -> Iterator[str]:
    yield "| kernel | dtype | input | gradcheck | twin | gradaudit |\n|---|---|---|---|---|---|"
    for kernel, name in (
        (main_ones.layer_norm("float32", 64, 256), "x"),
        (main_ones.layer_norm("bfloat16", 64, 256), "x"),
        (main_ones.softmax("bfloat16", 64, 64), "x"),
        (main_ones.swiglu("bfloat16", 64, 256), "a"),
        (main_ones.matmul("float32", 64, 64, 64), "w"),
        (main_ones.matmul("bfloat16", 64, 64, 64), "w"),
        (main_ones.attention("bfloat16", 1, 2, 16, 16), "q"),
    ):
        yield f"| {kernel.name} | {kernel.dtype} | {name} | {' | '.join(unnoticed(kernel, name))} |"


def _summary(rows: list[Row]) -> list[str]:
    lines = [
        "| kernels | audited | pass | inconclusive | fail | gradcheck passes | twin passes |",
        "|---|---|---|---|---|---|---|",
    ]
    for of_wrong in (False, True):
        for dtype in ("float32", "tf32", "bfloat16", "float16", ""):
            mine = [row for row in rows if bool(row.kernel.fault) == of_wrong and row.kernel.dtype.startswith(dtype)]
            ended = Counter(row.verdict for row in mine)
            asked = [
                [row.gradcheck for row in mine if row.gradcheck != "-"],
                [row.twin for row in mine if row.twin != "-"],
            ]
            others = [f"{said.count('pass')} of {len(said)}" for said in asked]
            counts = [ended["pass"], ended["inconclusive"], ended["fail"] + ended["error"]]
            what = f"{'wrong' if of_wrong else 'right'}, {dtype or 'all'}"
            lines.append(f"| {what} | {len(mine)} | {' | '.join(map(str, counts))} | {' | '.join(others)} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
