"""What changed between two runs, as lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gradaudit.report import numbers
from gradaudit.report.history import shown_commit
from gradaudit.report.visible import visible
from gradaudit.store.compare import Change, Comparison
from gradaudit.store.records import Record, Run


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """Yield what changed, gravest first, a line for each gradient, and a line that sums up."""
    yield f"{_about('Before', comparison.before)}\n{_about('After', comparison.after)}"
    sections: tuple[tuple[str, Sequence[Change]], ...] = (
        ("Newly failing", comparison.newly_failing),
        ("Newly passing", comparison.newly_passing),
        ("New", comparison.new),
        ("Gone", comparison.gone),
        ("Slower", comparison.slower),
    )
    for heading, changes in sections:
        if changes:
            yield f"\n{heading}: {len(changes):,}"
            yield from (f"  {visible(_line(change))}" for change in changes)
    changed = ", ".join(f"{len(changes):,} {heading.lower()}" for heading, changes in sections if changes)
    yield f"\n{changed or 'nothing changed'}; {numbers.counted(comparison.same, 'gradient')} as before"
    yield from (f"note: {said}" for said in comparison.unknown)


def _about(word: str, run: Run) -> str:
    when = f"{run.started.astimezone():%Y-%m-%d %H:%M:%S}"
    ended = "" if run.finished else ", killed"
    ended = ", interrupted" if run.interrupted else ended
    return f"{word + ':':8} run {run.id}, {when}, commit {shown_commit(run)}, {run.results:,} gradients{ended}"


def _line(change: Change) -> str:
    op, case, dtype, name = change.subject
    text = f"{op} ({dtype}, case {case}) w.r.t. {name}: {_ends(change.before, change.after)}"
    return f"{text}. {_reason(change.after)}" if change.after and not change.after.result.expected else text


def _ends(before: Record | None, after: Record | None) -> str:
    if before is None or after is None:
        only = after or before
        return str(only.result.verdict) if only else ""
    if before.result.verdict != after.result.verdict or before.result.expected != after.result.expected:
        return f"{before.result.verdict} -> {after.result.verdict}"
    return f"{before.result.evaluations:,} -> {after.result.evaluations:,} forwards"


def _reason(record: Record) -> str:
    codes = ", ".join(finding.code for finding in record.result.findings)
    first = record.result.message.partition("\n")[0]
    return f"{first} [{codes}]" if codes else first
