"""The coverage of a project as a Markdown page.

The page changes only where coverage, sources, specs or verdicts do: it has no dates, and magnitudes are rounded up to
a few steps, so that neither a new run nor another machine's last bits show.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from gradaudit.coverage.model import Coverage, InputRow, ModuleRow, OpCoverage
from gradaudit.report import numbers
from gradaudit.report.coverage_columns import Share, thoroughness, thoroughness_headings
from gradaudit.report.coverage_levels import (
    MODELS,
    PYRAMID,
    lacking,
    level_cells,
    level_headings,
    model_cells,
    pyramid_cells,
    shown_inputs,
)
from gradaudit.report.depth import never_reached
from gradaudit.report.markdown import code, escaped, table
from gradaudit.results import Verdict
from gradaudit.spec.level import Level

RATIO_STEPS = (0.001, 0.01, 0.1, 0.25, 0.5, 1.0)
"""What ratios of error to tolerance are rounded up to: how much room is left matters, more digits do not."""

SMALLEST_MISS = 1e-6
"""Miss probabilities are not told apart below this, the one that a search aims for."""

DTYPE_ORDER = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")

CELLS = {
    Verdict.PASS: "pass",
    Verdict.INCONCLUSIVE: "*inconclusive*",
    Verdict.FAIL: "**FAIL**",
    Verdict.ERROR: "**ERROR**",
    None: "not audited",
}


def coverage_page(coverage: Coverage, plots: Sequence[tuple[str, str]] = ()) -> str:
    """Return the page.

    Args:
        coverage: what to tell.
        plots: caption and file name of each plot that lies beside the page.

    """
    lines = ["# Gradient coverage", "", *module_table(coverage), ""]
    for caption, name in plots:
        lines += [f"![{caption}]({name})", ""]
    lines += [*_levels(coverage), *_missing(coverage), *_stale(coverage), *_skipped(coverage), *_ops(coverage)]
    lines += [*_unreached(coverage), *_troubles(coverage)]
    return "\n".join(lines).rstrip() + "\n"


def module_table(coverage: Coverage) -> list[str]:
    """Return the table of modules, the last row of which is of all."""
    extra = level_headings(coverage)
    rows = [[escaped(row.module), *_counts(row, extra)] for row in coverage.modules]
    total = coverage.total
    rows.append([f"**{cell}**" for cell in (total.module, *_counts(total, extra))])
    return table(["Module", "Backward Passes:", "With Gradient Check:", "Coverage:", *extra], rows)


def _counts(row: ModuleRow, extra: Sequence[str]) -> list[str]:
    return [str(row.passes), str(row.checked), f"{row.percent}%", *level_cells(row, extra)]


def _levels(coverage: Coverage) -> Iterator[str]:
    if not coverage.levels:
        return
    yield from ("## Levels", "")
    yield (
        "A *unit* spec audits one backward, a *flow* spec every gradient of a whole model, a *learning* spec that the "
        "model learns."
    )
    yield from ("", *table(PYRAMID, [pyramid_cells(row) for row in coverage.levels]), "")
    if coverage.models:
        models = [[code(name), *map(escaped, specs)] for name, *specs in map(model_cells, coverage.models)]
        yield from (*table(MODELS, models), "")
    if gaps := list(lacking(coverage)):
        yield from (*(f"- {escaped(gap)}" for gap in gaps), "")


def _missing(coverage: Coverage) -> Iterator[str]:
    if coverage.missing:
        yield from ("## Without a spec", "")
        yield "`gradaudit init FILE:LINE` writes a spec to start from."
        yield ""
        rows = [[code(one.name), code(one.place), str(one.kind), escaped(module)] for module, one in coverage.missing]
        yield from (*table(["Backward pass", "Where", "Written as", "Module"], rows), "")


def _stale(coverage: Coverage) -> Iterator[str]:
    if coverage.stale:
        yield from ("## Stale", "", "The code or the spec has changed since the last audit.", "")
        rows = [[code(op.op), code(op.location), escaped("; ".join(op.stale))] for op in coverage.stale]
        yield from (*table(["Op", "Spec", "Why"], rows), "")


def _skipped(coverage: Coverage) -> Iterator[str]:
    if coverage.skipped:
        yield from ("## Skipped", "", "These need a package that was not installed when this page was written.", "")
        rows = [[code(op.op), code(op.location), escaped(str(op.needs))] for op in coverage.skipped]
        yield from (*table(["Op", "Spec", "Needs"], rows), "")


def _ops(coverage: Coverage) -> Iterator[str]:
    if not coverage.ops:
        return
    yield from ("## Ops", "")
    yield (
        "Verdicts of the last audit, the gravest of each dtype's cases. *Error / tolerance* is the worst over all "
        "indices compared, and *missed* bounds the chance that a wrong index was overlooked, both rounded up. *Audit* "
        "names the sources and the spec that the results are about; `gradaudit history OP` has the dates."
    )
    yield ""
    if any(op.depth for op in coverage.ops):
        yield "*Lines* and *branches* are those of the implementation that the cases execute (`gradaudit run --depth`)."
        yield ""
    if tried := coverage.mutants:
        yield (
            f"*Mutants* are backwards with one fault, less those that are the same function, and how many of them a "
            f"case notices (`gradaudit mutate`): {tried.killed:,} of {tried.telling:,}, {numbers.score(tried)}."
        )
        yield ""
    for module, group in groupby(coverage.ops, key=lambda op: op.module):
        yield from (f"### {escaped(module)}", "", *_module(list(group)), "")


def _module(ops: Sequence[OpCoverage]) -> list[str]:
    seen = {dtype for op in ops for row in op.inputs for dtype in row.verdicts}
    dtypes = [dtype for dtype in DTYPE_ORDER if dtype in seen]
    extra = thoroughness_headings(ops)
    headings = ["Op", "Input", *dtypes, "Cases:", "Error / tolerance:", "Missed:", *extra, "Findings", "Audit"]
    return table(headings, [_row(op, k, row, dtypes, extra) for op in ops for k, row in enumerate(shown_inputs(op))])


def _share(share: Share | None) -> str:
    return f"{share.part}/{share.whole}{' **stale**' if share.stale else ''}" if share else "-"


def _row(op: OpCoverage, position: int, row: InputRow, dtypes: Sequence[str], extra: Sequence[str]) -> list[str]:
    verdicts = [CELLS[row.verdicts[dtype]] if dtype in row.verdicts else "" for dtype in dtypes]
    magnitudes = [str(row.cases), ratio_bound(row.worst_ratio), miss_bound(row.miss_probability)]
    if position:
        return ["", code(row.input), *verdicts, *magnitudes, *[""] * len(extra), "", ""]
    findings = ", ".join(f"{code_} ({count})" if count > 1 else code_ for code_, count in op.findings)
    return [
        _name(op),
        code(row.input),
        *verdicts,
        *magnitudes,
        *map(_share, thoroughness(op, extra)),
        findings,
        _audit(op),
    ]


def _name(op: OpCoverage) -> str:
    notes = []
    if op.level is not Level.UNIT:
        notes.append(str(op.level))
    elif not op.passes:
        notes.append("no backward pass in the sources")
    if op.by_name:
        notes.append("matched by name")
    if not op.expected:
        notes.append("not as its spec expects")
    return f"{code(op.op)} ({'; '.join(notes)})" if notes else code(op.op)


def _audit(op: OpCoverage) -> str:
    if not op.audit:
        return "**skipped**" if op.skipped else "**never**"
    return f"`{op.audit}` **stale**" if op.stale else f"`{op.audit}`"


def known_only_to(page: str, coverage: Coverage) -> list[OpCoverage]:
    """Return the ops that could not be audited here, and whose audits an earlier page tells, written elsewhere."""
    told = dict(_AUDITED_ROW.findall(page))
    return [op for op in coverage.skipped if told.get(code(op.op), op.audit) != op.audit]


_AUDITED_ROW = re.compile(r"^\| (`[^`]*`|<code>.*?</code>) .*\| `([0-9a-f]+)`(?: \*\*stale\*\*)? \|$", re.MULTILINE)
"""The first row of an op that was audited, as ``_row`` writes it: the op's name as code, and its audit."""


def _unreached(coverage: Coverage) -> Iterator[str]:
    rows = [
        [code(op.op), code(place), code(what)]
        for op in coverage.ops
        if op.depth
        for place, what in never_reached(op.depth.functions)
    ]
    if rows:
        yield from ("## Never reached", "", "Lines and branches of an implementation that no case executes.", "")
        yield from (*table(["Op", "Where", "What"], rows), "")


def _troubles(coverage: Coverage) -> Iterator[str]:
    if coverage.troubles:
        yield from ("## Not searched", "")
        yield from (f"- {code(trouble.file.as_posix())} {escaped(trouble.reason)}" for trouble in coverage.troubles)


def ratio_bound(ratio: float) -> str:
    """Write a ratio of error to tolerance, rounded up to a step."""
    if math.isnan(ratio):
        return "-"
    return "> 1" if ratio > 1 else f"\u2264 {RATIO_STEPS[ratio_step(ratio)]:g}"


def ratio_step(ratio: float) -> int:
    """Return which of the steps a ratio is rounded up to; one past the last for a ratio above all of them."""
    return bisect_left(RATIO_STEPS, ratio)


def miss_bound(probability: float) -> str:
    """Write a miss probability, rounded up to a power of ten; 0 where every index was looked at."""
    if math.isnan(probability) or probability == 0:
        return "-" if math.isnan(probability) else "0"
    return "1" if probability >= 0.1 else f"\u2264 {_decade(probability):.0e}".replace("e-0", "e-")


def _decade(probability: float) -> float:
    return float(10.0 ** math.ceil(math.log10(max(probability, SMALLEST_MISS)) - 1e-9))


def plot_names(page: Path) -> tuple[Path, Path]:
    """Return the files of the plots that lie beside a page: coverage by module, error by op."""
    return page.with_name(f"{page.stem}-modules.svg"), page.with_name(f"{page.stem}-errors.svg")
