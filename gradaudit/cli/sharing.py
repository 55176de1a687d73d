"""Runs on several machines: the share that this one audits, and the cluster that audits for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

from gradaudit.cli.ending import EXIT_UNABLE, leave
from gradaudit.cli.recording import Recording
from gradaudit.engine.events import Handler, RunShared
from gradaudit.engine.executor import Executor, ExecutorError
from gradaudit.spec.load import Specs


def shared(loaded: Specs, text: str | None, recording: Recording | None, emit: Handler) -> Specs:
    """Return the specs with the cases of one share; cases that would share a process stay together.

    Args:
        loaded: the specs.
        text: names the share, as in ``3/16``; None for all of it.
        recording: where what cases took may be recorded; the same on every machine, or on none.
        emit: told of the share.

    """
    if text is None:
        return loaded
    from gradaudit.engine.batches import batches
    from gradaudit.engine.run import task_of
    from gradaudit.engine.shards import NoShardError, costs_of, parse_shard, shares
    from gradaudit.targets.frameworks import missing_framework

    try:
        shard = parse_shard(text)
    except NoShardError as error:
        leave(str(error))
    seconds = _recorded(recording)
    cases = [case for case in loaded.cases if missing_framework(case.target) is None]
    costs = costs_of(cases, seconds)
    together = [batch.positions for batch in batches([task_of(case) for case in cases])]
    chosen = shares([sum(costs[k] for k in positions) for positions in together], shard.of)
    mine = [positions for positions, share in zip(together, chosen, strict=True) if share == shard.number - 1]
    own = {cases[k].id for positions in mine for k in positions}
    emit(RunShared(shard.number, shard.of, len(own), tuple(case.id for case in cases), measured=bool(seconds)))
    return replace(loaded, cases=tuple(case for case in loaded.cases if case.id in own))


def _recorded(recording: Recording | None) -> dict[tuple[str, str, str], float]:
    if recording is None or not recording.path.exists():
        return {}
    from gradaudit.store.read import seconds_by_case
    from gradaudit.store.schema import StoreError, open_to_read

    try:
        with open_to_read(recording.path) as connection:
            return seconds_by_case(connection)
    except StoreError as error:
        leave(str(error))


def taken_apart(loaded: Specs, seconds: float | None, recording: Recording | None) -> frozenset[str]:
    """Return the ids of the cases whose gradients are audited apart: those that took so long when last recorded."""
    if seconds is None:
        return frozenset()
    took = _recorded(recording)
    return frozenset(case.id for case in loaded.cases if took.get((case.op, case.name, case.dtype), 0.0) >= seconds)


def elsewhere(
    address: str | None, timeout: float, jobs: int | None, *, upload: bool
) -> AbstractContextManager[Executor] | None:
    """Return the executor on a cluster, None where none was asked for.

    Args:
        address: of the scheduler; ``local`` for a cluster of this machine's own.
        timeout: seconds that a case may take.
        jobs: workers of such a one; None for one for each core.
        upload: whether the modules below the current folder are sent along.

    """
    if address is None:
        if upload:
            leave("--upload needs --dask")
        return None
    if jobs == 0:
        leave("--dask audits on a cluster, -j 0 in this process; found both")
    from gradaudit.engine.dask import dask_executor

    return dask_executor(address, timeout, jobs=jobs, upload=upload)


@contextmanager
def leaving_unable() -> Iterator[None]:
    """Say why a run could not go on, and exit with 3."""
    try:
        yield
    except ExecutorError as error:
        print(f"gradaudit had to stop: {error}", file=sys.stderr)
        raise SystemExit(EXIT_UNABLE) from None
