"""Adding a run to the store, case by case, so that a killed run keeps what it finished."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime

from gradaudit.results import Result
from gradaudit.store.encoding import encoded
from gradaudit.store.records import Circumstances, DepthRecord, MutationRecord, Provenance, now
from gradaudit.store.schema import transaction


def begin_run(connection: sqlite3.Connection, circumstances: Circumstances) -> int:
    """Record that a run has begun; return its id."""
    with transaction(connection):
        cursor = connection.execute(
            "INSERT INTO runs (started, versions, git_commit, git_dirty, narrowed, planned) VALUES (?, ?, ?, ?, ?, ?)",
            (
                _text(now()),
                json.dumps(dict(circumstances.versions), sort_keys=True),
                circumstances.commit,
                circumstances.dirty,
                circumstances.narrowed,
                json.dumps(circumstances.planned),
            ),
        )
    return int(cursor.lastrowid or 0)


def add_results(
    connection: sqlite3.Connection,
    run: int,
    provenance: Provenance,
    results: Iterable[Result],
    check_evaluations: int = 0,
) -> None:
    """Record the results of a case, all or none of them, and the forwards that its other checks took."""
    recorded = _text(now())
    with transaction(connection):
        for k, result in enumerate(results):
            subject = _subject(connection, result)
            row = (run, subject, recorded, provenance.source, provenance.spec, provenance.seed, *_numbers(result))
            cursor = connection.execute(_INSERT_RESULT, row)
            connection.execute(
                "INSERT INTO documents (result, content, check_evaluations) VALUES (?, ?, ?)",
                (cursor.lastrowid, encoded(result), check_evaluations if k == 0 else 0),
            )
            connection.executemany(
                "INSERT INTO findings (result, position, code, message) VALUES (?, ?, ?, ?)",
                [(cursor.lastrowid, n, made.code, _storable(made.message)) for n, made in enumerate(result.findings)],
            )


def add_depths(connection: sqlite3.Connection, run: int, depths: Iterable[DepthRecord]) -> None:
    """Record how deep the cases of a run went into their ops."""
    rows = [(run, made.op, made.state, json.dumps([asdict(one) for one in made.functions])) for made in depths]
    with transaction(connection):
        connection.executemany("INSERT INTO depths (run, op, state, functions) VALUES (?, ?, ?, ?)", rows)


def add_mutations(connection: sqlite3.Connection, mutations: Iterable[MutationRecord]) -> None:
    """Record how mutants fared, all or none of them."""
    recorded = _text(now())
    rows = [
        (recorded, made.op, made.state, made.counts.killed, made.counts.survived, made.counts.equivalent)
        for made in mutations
    ]
    insert = "INSERT INTO mutations (recorded, op, state, killed, survived, equivalent) VALUES (?, ?, ?, ?, ?, ?)"
    with transaction(connection):
        connection.executemany(insert, rows)


def finish_run(connection: sqlite3.Connection, run: int, *, interrupted: bool) -> None:
    """Record that a run has ended; results are kept whole until there are newer ones."""
    with transaction(connection):
        connection.execute("DELETE FROM documents WHERE result NOT IN (SELECT max(id) FROM results GROUP BY subject)")
        connection.execute(
            "UPDATE runs SET finished = ?, interrupted = ? WHERE id = ?", (_text(now()), interrupted, run)
        )


_RESULT_COLUMNS = (
    "run, subject, recorded, source_hash, spec_hash, seed, verdict, expected, size, checked, wrong, evaluations, "
    "seconds, method, miss_probability, resolution, worst_ratio, rtol, atol, message, location"
)
_INSERT_RESULT = f"INSERT INTO results ({_RESULT_COLUMNS}) VALUES ({', '.join('?' * len(_RESULT_COLUMNS.split(',')))})"


def _numbers(result: Result) -> tuple[object, ...]:
    return (
        str(result.verdict),
        result.expected,
        result.size,
        result.checked,
        result.wrong,
        result.evaluations,
        result.seconds,
        result.method,
        _real(result.miss_probability),
        _real(result.resolution),
        _real(result.worst_ratio),
        result.rtol,
        result.atol,
        _storable(result.message),
        _storable(result.location),
    )


def _subject(connection: sqlite3.Connection, result: Result) -> int:
    key = tuple(map(_storable, (result.op, result.module, result.case, result.dtype, result.input)))
    look = "SELECT id FROM subjects WHERE op = ? AND module = ? AND case_name = ? AND dtype = ? AND input = ?"
    found = connection.execute(look, key).fetchone()
    if found is None:
        make = "INSERT INTO subjects (op, module, case_name, dtype, input) VALUES (?, ?, ?, ?, ?) RETURNING id"
        found = connection.execute(make, key).fetchone()
    return int(found[0])


def _real(value: float) -> float | None:
    """Return a number as SQLite holds it, which knows infinity and not NaN."""
    return None if math.isnan(value) else float(value)


def _storable(text: str) -> str:
    """Return text that can be encoded: an exception, or a folder's name, may hold half a surrogate pair."""
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
