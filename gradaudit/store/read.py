"""Looking up runs and results in the store."""

from __future__ import annotations

import json
import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from gradaudit.results import Finding, FunctionDepth, MutantCounts, Result, Verdict
from gradaudit.store.encoding import decoded
from gradaudit.store.records import Circumstances, DepthRecord, MutationRecord, Provenance, Record, Run


@contextmanager
def _undamaged() -> Iterator[None]:
    """Let what is in a store and was never written into one be its damage.

    Raises:
        sqlite3.DatabaseError: where something cannot be what it stands for.

    """
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise sqlite3.DatabaseError(f"it is damaged: {error}") from None


@_undamaged()
def runs(connection: sqlite3.Connection) -> list[Run]:
    """Return every run that kept a result, oldest first."""
    rows = connection.execute(
        "SELECT runs.id, started, finished, interrupted, versions, git_commit, git_dirty, narrowed, planned, "
        "count(*) "
        "FROM runs JOIN results ON results.run = runs.id GROUP BY runs.id ORDER BY runs.id"
    )
    return [
        Run(
            id=id_,
            started=datetime.fromisoformat(started),
            finished=datetime.fromisoformat(finished) if finished else None,
            interrupted=bool(interrupted),
            circumstances=Circumstances(
                json.loads(versions), commit, bool(dirty), bool(narrowed), tuple(json.loads(planned))
            ),
            results=results,
        )
        for id_, started, finished, interrupted, versions, commit, dirty, narrowed, planned, results in rows
    ]


def ops(connection: sqlite3.Connection) -> list[str]:
    """Return the names of all ops that were ever recorded, sorted."""
    return [op for (op,) in connection.execute("SELECT DISTINCT op FROM subjects ORDER BY op")]


@_undamaged()
def records_of_run(connection: sqlite3.Connection, run: int) -> list[Record]:
    """Return what a run recorded, by op, case, dtype and input."""
    return _records(connection, "results.run = ? ORDER BY op, case_name, dtype, input", (run,))


def whole_results_of_run(connection: sqlite3.Connection, run: int) -> list[tuple[Result, int]]:
    """Return the results that a run recorded, as long as they are kept whole, with the forwards of other checks.

    Raises:
        UnreadableError: where they are those of another version of gradaudit.

    """
    rows = connection.execute(
        "SELECT content, check_evaluations FROM documents JOIN results ON results.id = documents.result "
        "WHERE run = ? ORDER BY results.id",
        (run,),
    )
    return [(decoded(content), checking) for content, checking in rows]


def seconds_by_case(connection: sqlite3.Connection) -> dict[tuple[str, str, str], float]:
    """Return what each case took when it was last audited, by op, case and dtype.

    Not in a shard: what one shard records must not change the share of the next.
    """
    rows = connection.execute(
        "SELECT op, case_name, dtype, sum(seconds) FROM results JOIN subjects ON subjects.id = results.subject "
        "WHERE results.id IN (SELECT max(results.id) FROM results JOIN runs ON runs.id = run WHERE planned = '[]' "
        "GROUP BY subject) GROUP BY op, case_name, dtype"
    )
    return {(op, case, dtype): seconds for op, case, dtype, seconds in rows}


@_undamaged()
def records_of_op(connection: sqlite3.Connection, op: str) -> list[Record]:
    """Return everything that was recorded of an op, oldest first."""
    return _records(connection, "op = ? ORDER BY results.id", (op,))


@_undamaged()
def latest_records(connection: sqlite3.Connection) -> list[Record]:
    """Return the newest record of each subject and spec hash, oldest first."""
    newest = "results.id IN (SELECT max(id) FROM results GROUP BY subject, spec_hash) ORDER BY results.id"
    return _records(connection, newest, ())


@_undamaged()
def latest_depths(connection: sqlite3.Connection) -> list[DepthRecord]:
    """Return the newest record of depth of each op and state, oldest first."""
    newest = "id IN (SELECT max(id) FROM depths GROUP BY op, state) ORDER BY id"
    rows = connection.execute(f"SELECT op, state, functions FROM depths WHERE {newest}")
    return [DepthRecord(op, state, tuple(map(_function, json.loads(made)))) for op, state, made in rows]


@_undamaged()
def latest_mutations(connection: sqlite3.Connection) -> list[MutationRecord]:
    """Return the newest record of mutants of each op and state, oldest first."""
    newest = "id IN (SELECT max(id) FROM mutations GROUP BY op, state) ORDER BY id"
    rows = connection.execute(f"SELECT op, state, killed, survived, equivalent FROM mutations WHERE {newest}")
    return [MutationRecord(op, state, MutantCounts(*counts)) for op, state, *counts in rows]


def _function(stored: dict[str, Any]) -> FunctionDepth:
    lines = tuple((line, text) for line, text in stored.pop("missed_lines"))
    branches = tuple((start, end) for start, end in stored.pop("missed_branches"))
    return FunctionDepth(**stored, missed_lines=lines, missed_branches=branches)


_COLUMNS = (
    "results.id, run, recorded, source_hash, spec_hash, seed, op, module, case_name, dtype, input, verdict, expected, "
    "size, checked, wrong, evaluations, seconds, method, miss_probability, resolution, worst_ratio, rtol, atol, "
    "message, location"
)


def _records(connection: sqlite3.Connection, condition: str, values: Sequence[Any]) -> list[Record]:
    source = "FROM results JOIN subjects ON subjects.id = results.subject"
    connection.execute("BEGIN")  # so that results and findings are of one moment
    try:
        rows = connection.execute(f"SELECT {_COLUMNS} {source} WHERE {condition}", values).fetchall()
        found = connection.execute(
            f"SELECT result, code, findings.message FROM findings WHERE result IN "
            f"(SELECT results.id {source} WHERE {condition}) ORDER BY result, position",
            values,
        ).fetchall()
    finally:
        connection.execute("COMMIT")
    findings: dict[int, list[Finding]] = defaultdict(list)
    for result, code, message in found:
        findings[result].append(Finding(code, message))
    return [_record(row, tuple(findings[row[0]])) for row in rows]


def _record(row: tuple[Any, ...], findings: tuple[Finding, ...]) -> Record:
    _, run, recorded, source, spec, seed, op, module, case, dtype, name, verdict, expected, *numbers = row
    size, checked, wrong, evaluations, seconds, method, miss, resolution, ratio, rtol, atol, message, location = numbers
    return Record(
        run=run,
        recorded=datetime.fromisoformat(recorded),
        provenance=Provenance(source, spec, seed),
        result=Result(
            op=op,
            module=module,
            case=case,
            dtype=dtype,
            input=name,
            verdict=Verdict(verdict),
            expected=bool(expected),
            size=size,
            checked=checked,
            wrong=wrong,
            evaluations=evaluations,
            seconds=seconds,
            method=method,
            miss_probability=_number(miss),
            resolution=_number(resolution),
            worst_ratio=_number(ratio),
            rtol=rtol,
            atol=atol,
            message=message,
            findings=findings,
            location=location,
        ),
    )


def _number(stored: float | None) -> float:
    return math.nan if stored is None else stored
