"""The page of a run: its data, and the handler of events that writes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

from gradaudit.engine.events import CaseFinished, Event, RepairsFound, RunFinished
from gradaudit.repair.repairs import Repairs
from gradaudit.report import numbers
from gradaudit.report.failures import Cause, cause_of, gathered
from gradaudit.report.page.anchors import Anchors
from gradaudit.report.page.gradients import Gradient, gradient
from gradaudit.report.page.marks import Mark, mark, mark_of
from gradaudit.report.page.matrix import Matrix, dtypes_in_order, gradient_anchor, is_told, matrices, op_anchor
from gradaudit.report.page.rendered import page_file, rendered
from gradaudit.report.tally import Tally
from gradaudit.results import Result, Verdict
from gradaudit.spec.case import Case

MAX_PICTURED = 60
"""Most gradients with pictures: a file that is too large opens slowly."""


@dataclass(frozen=True)
class Count:
    """How many gradients ended in a way, and how many of those that failed a spec expects to."""

    mark: Mark
    count: int
    known: int = 0


@dataclass(frozen=True)
class CauseRow:
    """Gradients of an op that ended alike: why, in which inputs and dtypes, where the backward is."""

    mark: Mark
    cause: Cause
    op: str
    inputs: str
    dtypes: str
    cases: int
    source: str
    anchor: str


@dataclass(frozen=True)
class GradientRow:
    """A line for a gradient; ``anchor`` is where more is told of it, empty where this is all."""

    mark: Mark
    result: Result
    note: str
    anchor: str


@dataclass(frozen=True)
class OpList:
    """An op with a line for each of its gradients."""

    op: str
    module: str
    anchor: str
    mark: Mark
    rows: tuple[GradientRow, ...]


@dataclass(frozen=True)
class RunPage:
    """What the page of a run shows, in its order.

    Attributes:
        title: the heading.
        state: how all of it ended.
        said: what was audited, in a sentence.
        counts: gradients by verdict.
        first: the gradient that failed first; None where all ended as expected.
        causes: why others did not, those that ended alike once.
        matrices: verdicts by module.
        told: every gradient that did not simply pass.
        unpictured: how many of them have no picture, because there are too many.
        ops: every gradient in a line.
        modules, codes: what can be filtered by.
        changed: what changed since an earlier run, in lines; none where there is none to compare with.
        version: of gradaudit.

    """

    title: str
    state: Literal["good", "bad", "open"]
    said: str
    counts: tuple[Count, ...]
    first: Gradient | None
    causes: tuple[CauseRow, ...]
    matrices: tuple[Matrix, ...]
    told: tuple[Gradient, ...]
    unpictured: int
    ops: tuple[OpList, ...]
    modules: tuple[str, ...]
    codes: tuple[str, ...]
    changed: tuple[str, ...]
    version: str


def run_page(
    tally: Tally,
    results: Sequence[Result],
    repairs: Sequence[Repairs] = (),
    cases: Iterable[Case] = (),
    changed: tuple[str, ...] = (),
) -> RunPage:
    """Return the page of a run.

    Args:
        tally: its counts.
        results: in the order of the run.
        repairs: what searches for repairs found.
        cases: those that can be audited again from their specs.
        changed: what changed since an earlier run, in lines.

    """
    anchors = Anchors()
    by_id = {case.id: case for case in cases}
    by_op = {found.op: found for found in repairs}
    in_order = sorted(filter(is_told, results), key=lambda result: result.expected)
    told = tuple(
        gradient(result, anchors, by_op.get(result.op), by_id, pictured=k < MAX_PICTURED)
        for k, result in enumerate(in_order)
    )
    unexpected = [made for made in told if not made.result.expected]
    return RunPage(
        title=_title(tally, len(unexpected)),
        state="bad" if unexpected else "good" if results and not tally.skipped else "open",
        said=_said(tally),
        counts=tuple(_counts(tally)),
        first=next(iter(unexpected), None),
        causes=tuple(_causes(results, anchors)),
        matrices=matrices(results, anchors),
        told=told,
        unpictured=sum(bool(made.result.mismatches) for made in told[MAX_PICTURED:]),
        ops=tuple(_ops(results, anchors)),
        modules=tuple(dict.fromkeys(result.module for result in results)),
        codes=tuple(sorted({finding.code for result in results for finding in result.findings})),
        changed=changed,
        version=version("gradaudit"),
    )


def _counts(tally: Tally) -> Iterable[Count]:
    for verdict in Verdict:
        known = tally.expected_failures if verdict is Verdict.FAIL else 0
        yield Count(mark(verdict, expected=True), tally.total.verdicts[verdict], known)


def _title(tally: Tally, unexpected: int) -> str:
    gradients = numbers.counted(sum(tally.total.verdicts.values()), "gradient")
    if unexpected:
        return f"{unexpected:,} of {gradients} not as expected"
    return f"{gradients}, all as expected" if tally.total.cases else "Nothing was audited"


def _said(tally: Tally) -> str:
    total = tally.total
    said = f"{numbers.counted(len(total.ops), 'op')}, {numbers.counted(total.cases, 'case')}"
    said += f", {numbers.counted(total.forwards, 'forward')} and {numbers.counted(total.backwards, 'backward')}"
    if tally.finished:
        said += f", {numbers.seconds(tally.finished.seconds)}"
    if tally.skipped:
        said += f"; {numbers.counted(tally.skipped, 'case')} skipped, because a package they need is not installed"
    if tally.finished and tally.finished.interrupted:
        said += "; interrupted: the remaining cases are missing"
    return said


def _causes(results: Sequence[Result], anchors: Anchors) -> Iterable[CauseRow]:
    by_op: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        by_op.setdefault((result.module, result.op), []).append(result)
    for found in by_op.values():
        for failure in gathered(found):
            inputs = failure.first.input.split(", ")
            alike = [
                each
                for each in found
                if not each.expected and each.input in inputs and f"{each.case}[{each.dtype}]" in failure.ids
            ]
            yield CauseRow(
                mark=mark_of(failure.first),
                cause=cause_of(failure.first),
                op=failure.first.op,
                inputs=numbers.listed(inputs),
                dtypes=", ".join(dtypes_in_order([each.dtype for each in alike])),
                cases=len(failure.ids),
                source=str(failure.first.source or failure.first.location),
                anchor=gradient_anchor(alike[0], anchors),
            )


def _ops(results: Sequence[Result], anchors: Anchors) -> Iterable[OpList]:
    by_op: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        by_op.setdefault((result.module, result.op), []).append(result)
    for (module, op), found in by_op.items():
        rows = tuple(
            GradientRow(mark_of(each), each, _note(each), gradient_anchor(each, anchors) if is_told(each) else "")
            for each in found
        )
        yield OpList(op, module, op_anchor(module, op, anchors), mark_of(*found), rows)


def _note(result: Result) -> str:
    """Return the cause where a gradient did not pass, else its findings' codes and its note."""
    if is_told(result):
        return cause_of(result).code
    counted = Counter(finding.code for finding in result.findings)
    return "; ".join([*counted, *([result.message.partition("\n")[0]] if result.message else [])])


class PageReport:
    """A handler of events that writes the page of a run when it ends.

    Args:
        path: the file, ``-`` for standard output.
        cases: those of the run.
        changed: what changed since an earlier run, in lines.

    Raises:
        UnwritableError: where no file can be made there, or what the page is made with is not installed.

    """

    def __init__(self, path: str, cases: Sequence[Case] = (), changed: tuple[str, ...] = ()) -> None:
        self._file = page_file(path)
        self._cases = cases
        self._changed = changed
        self._tally = Tally()
        self._results: list[Result] = []
        self._repairs: list[Repairs] = []

    def __call__(self, event: Event) -> None:
        """Collect results; write them at the end."""
        self._tally(event)
        if isinstance(event, CaseFinished):
            self._results += event.results
        elif isinstance(event, RepairsFound):
            self._repairs.append(event.repairs)
        elif isinstance(event, RunFinished):
            page = run_page(self._tally, self._results, self._repairs, self._cases, self._changed)
            self._file.write(rendered("run.html", page))
