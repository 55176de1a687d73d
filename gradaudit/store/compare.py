"""What changed between two runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gradaudit.store.records import Record, Run, Subject, subject_of

SLOWER = 1.1
"""Ratio of evaluations from which a gradient counts as slower: below it, a search that took another turn."""


@dataclass(frozen=True)
class Change:
    """A subject in two runs; ``before`` or ``after`` is None where that run does not have it."""

    subject: Subject
    before: Record | None
    after: Record | None


@dataclass(frozen=True)
class Comparison:
    """What changed from run ``before`` to run ``after``; whatever stayed as it was is in ``same``, as a count.

    ``newly_failing`` holds what failed in the second run and did not in the first, or was not in it.
    ``unknown`` says why other subjects that only one run has are not called new or gone.
    """

    before: Run
    after: Run
    newly_failing: tuple[Change, ...]
    newly_passing: tuple[Change, ...]
    new: tuple[Change, ...]
    gone: tuple[Change, ...]
    slower: tuple[Change, ...]
    same: int
    unknown: tuple[str, ...] = ()


def compare_runs(before: Run, earlier: Sequence[Record], after: Run, later: Sequence[Record]) -> Comparison:
    """Compare two runs by what they recorded: failing is whatever did not end as its spec expects.

    What a run left out by choice, or did not come to, is neither new nor gone.
    """
    old, new = _by_subject(earlier), _by_subject(later)
    both = [Change(subject, old[subject], new[subject]) for subject in old if subject in new]
    added = [Change(subject, None, new[subject]) for subject in new if subject not in old]
    failing = tuple(change for change in (*both, *added) if _fails(change.after) and not _fails(change.before))
    passing = tuple(change for change in both if _fails(change.before) and not _fails(change.after))
    slower = tuple(change for change in both if _slower(change))
    changed = {change.subject for change in (*failing, *passing, *slower)}
    return Comparison(
        before,
        after,
        newly_failing=failing,
        newly_passing=passing,
        new=tuple(change for change in added if not _fails(change.after)) if before.complete else (),
        gone=tuple(Change(key, old[key], None) for key in old if key not in new) if after.complete else (),
        slower=slower,
        same=sum(change.subject not in changed for change in both),
        unknown=tuple(
            filter(None, (_unknown(before, "no pass is reported as new"), _unknown(after, "none is reported as gone")))
        ),
    )


def _by_subject(records: Sequence[Record]) -> Mapping[Subject, Record]:
    return {subject_of(record.result): record for record in records}


def _fails(record: Record | None) -> bool:
    return record is not None and not record.result.expected


def _slower(change: Change) -> bool:
    if change.before is None or change.after is None:
        return False
    before, after = change.before.result.evaluations, change.after.result.evaluations
    return after > SLOWER * before > 0


def _unknown(run: Run, what: str) -> str:
    """Say what does not follow, and why, where a run did not audit all there is."""
    if run.complete:
        return ""
    reason = "audited a selection" if run.circumstances.narrowed else "did not end by itself"
    return f"run {run.id} {reason}, so {what}"
