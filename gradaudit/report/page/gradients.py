"""What a page tells of one gradient: why it ended so, where it is wrong, and how to see that for oneself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gradaudit.explain.reproduce import command_for
from gradaudit.repair.repairs import Applicability, Repair, Repairs
from gradaudit.report import numbers
from gradaudit.report.failures import cause_of
from gradaudit.report.mismatch import HEADER, headline, is_cause, message_besides, mismatch_row, seeds_said, shortened
from gradaudit.report.page.anchors import Anchors
from gradaudit.report.page.heat_picture import HeatPicture, heat_picture_of
from gradaudit.report.page.marks import Mark, mark_of
from gradaudit.report.page.matrix import gradient_anchor
from gradaudit.report.page.scatter import Scatter, scatter
from gradaudit.report.repairs import effect_of, heading_of
from gradaudit.results import Result, Verdict
from gradaudit.spec.case import Case

MAX_ROWS = 10
"""Rows of a mismatch table."""


@dataclass(frozen=True)
class DiffLine:
    """A line of a diff: its text, and ``added``, ``taken``, ``place`` or ``kept``."""

    text: str
    kind: str


@dataclass(frozen=True)
class RepairView:
    """An edit that mends gradients: how sure it is, where, its diff, and what it was held against."""

    heading: str
    place: str
    lines: tuple[DiffLine, ...]
    effect: str


@dataclass(frozen=True)
class FindingView:
    """What was noticed: its code, what it means for the case, and a sentence."""

    code: str
    weight: str
    message: str


@dataclass(frozen=True)
class Gradient:
    """A gradient that has a part of the page to itself.

    Attributes:
        anchor: its place in the page.
        result: what was found.
        mark: how it ended.
        headline: which gradient ended how, and where.
        code: why, as a finding's code or a verdict.
        cause: the same in a sentence.
        facts: labels and values: the spec, the source, the worst index.
        table: header and rows of the worst indices; empty for none.
        more: how many wrong indices the table leaves out.
        message: what the result says of itself, where no finding says it.
        findings: what was noticed, likely causes first.
        heat: where it is wrong; None where that is not known, or has no place to be drawn.
        scatter: analytical over numerical; None likewise.
        repairs: edits that mend it.
        no_repair: why there is none, where one was searched for.
        commands: what to type to see it again.

    """

    anchor: str
    result: Result
    mark: Mark
    headline: str
    code: str
    cause: str
    facts: tuple[tuple[str, str], ...]
    table: tuple[tuple[str, ...], ...]
    more: int
    message: str
    findings: tuple[FindingView, ...]
    heat: HeatPicture | None
    scatter: Scatter | None
    repairs: tuple[RepairView, ...]
    no_repair: str
    commands: tuple[str, ...]

    @property
    def source(self) -> str:
        """The line of the backward, as ``file:line, in function``; else that of the case in its spec."""
        return str(self.result.source or self.result.location)


def gradient(
    result: Result, anchors: Anchors, repairs: Repairs | None, cases: Mapping[str, Case], *, pictured: bool
) -> Gradient:
    """Return what a page tells of a gradient.

    Args:
        result: what was found.
        anchors: the page's.
        repairs: what a search for repairs of its op found.
        cases: those that can be audited again, by id.
        pictured: whether it has pictures, which take up to 50 kB.

    """
    cause = cause_of(result)
    case = cases.get(f"{result.module}/{result.op}::{result.case}[{result.dtype}]")
    case = case if case is None or result.seed is None else replace(case, seed=result.seed)
    total = max(result.wrong, len(result.mismatches)) if result.verdict is Verdict.FAIL else len(result.mismatches)
    shown = result.mismatches[:MAX_ROWS]
    return Gradient(
        anchor=gradient_anchor(result, anchors),
        result=result,
        mark=mark_of(result),
        headline=headline(result),
        code=cause.code,
        cause=shortened(cause.message),
        facts=tuple(_facts(result)),
        table=(HEADER, *(mismatch_row(each, result.verdict) for each in shown)) if shown else (),
        more=total - len(shown),
        message=shortened(message_besides(result)),
        findings=tuple(_findings(result)),
        heat=heat_picture_of(result) if pictured else None,
        scatter=scatter(result) if pictured else None,
        repairs=tuple(repair_view(made) for made in (repairs.repairs if repairs else ()) if _is_for(made, result)),
        no_repair=repairs.message if repairs and not result.expected else "",
        commands=(command_for(case), *_explained(case)) if case else (),
    )


def repair_view(made: Repair) -> RepairView:
    """Return a repair as a page shows it."""
    place = f"{made.file}:{made.line}" if made.file else ""
    return RepairView(heading_of(made), place, diff_lines(made.diff), effect_of(made))


def diff_lines(diff: str) -> tuple[DiffLine, ...]:
    """Return the lines of a diff."""
    return tuple(DiffLine(line, _kind(line)) for line in diff.splitlines())


def _is_for(made: Repair, result: Result) -> bool:
    return not result.expected and (result.input in made.inputs or made.applicability is Applicability.HINT)


def _kind(line: str) -> str:
    if line.startswith(("---", "+++", "@@")):
        return "place"
    return {"+": "added", "-": "taken"}.get(line[:1], "kept")


def _facts(result: Result) -> Iterator[tuple[str, str]]:
    if result.source:
        yield "Source", str(result.source)
    if result.location:
        yield "Spec", result.location
    if result.draws:
        yield "Seeds", f"{seeds_said(result)}; shown is {result.seed}"
    if result.mismatches:
        worst = result.mismatches[0]
        allowed = f"rtol={numbers.short(result.rtol)}, atol={numbers.short(result.atol)}"
        relative = numbers.percent(worst.difference, abs(worst.numerical))
        yield "Worst index", str(worst.index)
        yield "Analytical", numbers.full(worst.analytical).strip()
        yield "Numerical", f"{numbers.full(worst.numerical).strip()} (error bound {worst.error_bound:.1e})"
        yield "Difference", f"{numbers.full(worst.difference).strip()} ({relative})"
        yield "Tolerance", f"{numbers.tolerance(worst.tolerance)} ({allowed})"
    looked = f"{result.checked:,} of {numbers.counted(result.size, 'index', 'indices')} tested"
    yield "Method", f"{result.method}, {looked}, {numbers.counted(result.forwards, 'forward')}"


def _findings(result: Result) -> Iterator[FindingView]:
    for finding in sorted(result.findings, key=lambda finding: (not is_cause(finding), not finding.fails)):
        weight = "likely cause" if is_cause(finding) else "fails the case" if finding.fails else "for information"
        yield FindingView(finding.code, weight, shortened(finding.message))


def _explained(case: Case) -> Sequence[str]:
    import shlex

    file = str(case.location.file)
    words = ["gradaudit", "explain", case.op, "--specs", file, "--case", case.name, "--dtype", case.dtype]
    return [shlex.join([*words, "--seed", str(case.seed), "--fix"])]
