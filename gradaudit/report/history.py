"""How an op fared from run to run, as a table for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.table import Table

from gradaudit.report import numbers
from gradaudit.results import Verdict
from gradaudit.store.records import Provenance, Record, Run, subject_of

SHOWN_COMMIT = 9
"""Digits of a commit that are shown."""


def history_table(runs: Sequence[Run], records: Sequence[Record], limit: int) -> Table:
    """Return a row for each run that audited the op, newest first, at most ``limit`` of them.

    Args:
        runs: the runs of the store.
        records: what was recorded of the op, oldest first.
        limit: how many runs to show.

    """
    by_id = {run.id: run for run in runs}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("Run", "When", "Commit", "Seed", "Cases", "Verdicts", "Worst error/tol.", "Forwards", "Changed"):
        table.add_column(heading, justify="right" if heading in ("Run", "Cases", "Forwards") else "left", no_wrap=True)
    rows = list(_rows(by_id, records))
    for row in rows[: -limit - 1 : -1]:
        table.add_row(*row)
    return table


def _rows(runs: dict[int, Run], records: Sequence[Record]) -> Iterator[tuple[str, ...]]:
    seen: dict[tuple[str, ...], Provenance] = {}
    for run, group in groupby(sorted(records, key=lambda record: record.run), key=lambda record: record.run):
        found = list(group)
        changed = _changes(seen, found)
        seen |= {subject_of(record.result): record.provenance for record in found}
        ratios = [record.result.worst_ratio for record in found if record.result.worst_ratio >= 0]
        yield (
            str(run),
            f"{found[0].recorded.astimezone():%Y-%m-%d %H:%M}",
            shown_commit(runs[run]),
            ", ".join(str(seed) for seed in sorted({record.provenance.seed for record in found})),
            str(len({subject_of(record.result)[:3] for record in found})),
            counted_verdicts(found),
            f"{max(ratios):.2g}" if ratios else "-",
            f"{sum(record.result.evaluations for record in found):,}",
            changed,
        )


def _changes(seen: dict[tuple[str, ...], Provenance], found: Sequence[Record]) -> str:
    """Say what differs from what was audited before: the implementation, the spec."""
    pairs = [(seen.get(subject_of(record.result)), record.provenance) for record in found]
    source = any(before and before.source != after.source for before, after in pairs)
    spec = any(before is None or before.spec != after.spec for before, after in pairs) and bool(seen)
    return ", ".join(word for word, holds in (("implementation", source), ("spec", spec)) if holds)


def counted_verdicts(records: Sequence[Record]) -> str:
    """Write how many gradients ended with each verdict, and how many of those were not as expected."""
    counts = Counter(record.result.verdict for record in records)
    text = ", ".join(f"{counts[verdict]:,} {verdict}" for verdict in Verdict if counts[verdict])
    unexpected = sum(not record.result.expected for record in records)
    as_expected = len(records) - counts[Verdict.PASS] - unexpected
    return f"{text} ({numbers.counted(as_expected, 'failure')} as expected)" if as_expected > 0 else text


def shown_commit(run: Run) -> str:
    """Write a run's commit, with a plus where files differed from it."""
    made = run.circumstances
    return made.commit[:SHOWN_COMMIT] + ("+" if made.dirty else "") if made.commit else "-"
