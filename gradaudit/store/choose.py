"""Which run is meant: by its number, or by the commit that it was made at."""

from __future__ import annotations

from collections.abc import Sequence

from gradaudit.store.records import Run
from gradaudit.store.schema import UNRECORDED

SHORTEST_COMMIT = 4
"""Digits of a commit that are enough to name it, as for git."""


class NoSuchRunError(Exception):
    """No recorded run is the one that was asked for; says which there are."""


def chosen_runs(runs: Sequence[Run], before: str | None, after: str | None) -> tuple[Run, Run]:
    """Return two runs to compare: those named, else the last one and the one before it.

    Args:
        runs: the recorded runs, oldest first.
        before: a run's number or the beginning of a commit; None for the last run before the other that audited
            everything, where the other did, else the run before it.
        after: the same; None for the last run.

    Raises:
        NoSuchRunError: where there is no such run.

    """
    if not runs:
        raise NoSuchRunError(f"there is no run: {UNRECORDED}")
    later = runs[-1] if after is None else chosen_run(runs, after)
    if before is not None:
        return chosen_run(runs, before), later
    earlier = [run for run in runs if run.id < later.id]
    if not earlier:
        raise NoSuchRunError(
            f"run {later.id} is the first that was recorded: there is none to compare it with until the next"
        )
    whole = [run for run in earlier if run.complete] if later.complete else []
    return (whole or earlier)[-1], later


def chosen_run(runs: Sequence[Run], name: str) -> Run:
    """Return the run of this number, or the last one at a commit that begins so.

    Raises:
        NoSuchRunError: where there is none.

    """
    for run in runs:
        if str(run.id) == name:
            return run
    at_commit = [run for run in runs if len(name) >= SHORTEST_COMMIT and run.circumstances.commit.startswith(name)]
    if not at_commit:
        raise NoSuchRunError(f"there is no run '{name}'; runs {runs[0].id} to {runs[-1].id} are recorded")
    return at_commit[-1]
