"""The page of a project's coverage: which backward passes have a spec, and how their last audit ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby

from gradaudit.coverage.model import Coverage, ModuleRow, OpCoverage
from gradaudit.report import numbers
from gradaudit.report.coverage_markdown import ratio_bound
from gradaudit.report.page.anchors import Anchors
from gradaudit.report.page.marks import Mark, mark
from gradaudit.report.page.matrix import Cell, Matrix, OpRow, dtypes_in_order, op_anchor
from gradaudit.report.page.rendered import rendered
from gradaudit.results import Verdict

NOT_AUDITED = Mark("not audited", "-", expected=False)


@dataclass(frozen=True)
class OpEntry:
    """An op in a line: where its spec and its backward passes are, and what is known of it."""

    mark: Mark
    op: str
    anchor: str
    spec: str
    passes: tuple[str, ...]
    cases: int
    worst: str
    findings: str
    note: str


@dataclass(frozen=True)
class CoveragePage:
    """What the page of a coverage shows, in its order.

    Attributes:
        title: the heading.
        state: ``good`` where every pass has a spec and all ended as expected, ``bad`` where any did not, else ``open``.
        said: where was searched, in a sentence.
        rows: backward passes with and without a spec, by module.
        total: the row of all.
        missing: name, place, kind and module of each backward pass without a spec.
        matrices: verdicts by module.
        ops: every op that has a spec.
        troubles: files that could not be searched.
        version: of gradaudit.

    """

    title: str
    state: str
    said: str
    rows: tuple[ModuleRow, ...]
    total: ModuleRow
    missing: tuple[tuple[str, str, str, str], ...]
    matrices: tuple[Matrix, ...]
    ops: tuple[OpEntry, ...]
    troubles: tuple[str, ...]
    version: str


def coverage_html(coverage: Coverage) -> str:
    """Return the page of a coverage."""
    return rendered("coverage.html", coverage_as_page(coverage))


def coverage_as_page(coverage: Coverage) -> CoveragePage:
    """Return what the page of a coverage shows."""
    anchors = Anchors()
    total = coverage.total
    whole = total.checked == total.passes > 0 and not coverage.stale
    return CoveragePage(
        title=f"{total.checked:,} of {numbers.counted(total.passes, 'backward pass', 'backward passes')} with a spec",
        state="bad" if any(not op.expected for op in coverage.ops) else "good" if whole else "open",
        said=f"{numbers.counted(coverage.files, 'file')} searched; specs of {numbers.counted(len(coverage.ops), 'op')}",
        rows=coverage.modules,
        total=total,
        missing=tuple((one.name, one.place, str(one.kind), module) for module, one in coverage.missing),
        matrices=tuple(
            _matrix(module, list(ops), anchors) for module, ops in groupby(coverage.ops, key=lambda op: op.module)
        ),
        ops=tuple(_entry(op, anchors) for op in coverage.ops),
        troubles=tuple(map(str, coverage.troubles)),
        version=version("gradaudit"),
    )


def _matrix(module: str, ops: Sequence[OpCoverage], anchors: Anchors) -> Matrix:
    dtypes = dtypes_in_order([dtype for op in ops for row in op.inputs for dtype in row.verdicts])
    rows = []
    for op in ops:
        anchor = op_anchor(op.module, op.op, anchors)
        rows.append(OpRow(op.op, anchor, tuple(_cell(op, dtype, anchor) for dtype in dtypes)))
    gravest = max((_mark(op) for op in ops), key=_gravity)
    odd = sum(not op.expected for op in ops)
    return Matrix(module, gravest, dtypes, tuple(rows), len(ops), odd)


def _cell(op: OpCoverage, dtype: str, anchor: str) -> Cell | None:
    found = [row.verdicts[dtype] for row in op.inputs if dtype in row.verdicts]
    if not found:
        return None
    return Cell(_mark_of(found, expected=op.expected), 0, len(found), anchor)


def _mark(op: OpCoverage) -> Mark:
    return _mark_of([verdict for row in op.inputs for verdict in row.verdicts.values()], expected=op.expected)


def _mark_of(verdicts: Sequence[Verdict | None], *, expected: bool) -> Mark:
    """Return the mark of the gravest verdict; what was never audited is graver than a pass."""
    marks = [mark(each, expected=expected or each is Verdict.PASS) if each else NOT_AUDITED for each in verdicts]
    return max(marks, key=_gravity, default=NOT_AUDITED)


def _gravity(made: Mark) -> float:
    return 0.5 if made is NOT_AUDITED else float(Verdict(made.verdict).severity)


def _entry(op: OpCoverage, anchors: Anchors) -> OpEntry:
    ratios = [row.worst_ratio for row in op.inputs if row.worst_ratio == row.worst_ratio]
    notes = [f"stale: {'; '.join(op.stale)}"] if op.stale and not op.skipped else []
    notes += [f"skipped: {op.needs} is not installed"] if op.skipped else []
    notes += [] if op.expected else ["not as its spec expects"]
    return OpEntry(
        mark=_mark(op),
        op=op.op,
        anchor=op_anchor(op.module, op.op, anchors),
        spec=op.location,
        passes=tuple(one.place for one in op.passes),
        cases=op.cases.total,
        worst=ratio_bound(max(ratios)) if ratios else "-",
        findings=", ".join(f"{code} ({count})" if count > 1 else code for code, count in op.findings),
        note="; ".join(notes),
    )
