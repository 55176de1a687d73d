"""What was audited before and has not changed since."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gradaudit.results import LIMIT_REACHED, Result, Verdict
from gradaudit.store.encoding import UnreadableError, decoded
from gradaudit.store.records import Provenance

CaseKey = tuple[str, str, str]
"""Op, case and dtype."""


@dataclass(frozen=True)
class Recalled:
    """The results of a case as they were recorded, and the forwards that other checks took."""

    results: tuple[Result, ...]
    check_evaluations: int

    @property
    def as_expected(self) -> bool:
        """Whether the case ended as its spec expects."""
        return all(result.expected for result in self.results)


def recall(
    connection: sqlite3.Connection, wanted: Mapping[CaseKey, Provenance], versions: Mapping[str, str]
) -> dict[CaseKey, Recalled]:
    """Return the last results of those cases whose spec, sources, seed and versions are what they were.

    A case that ended with an error is none of them, nor one whose calls or time ran out: what hung, or was killed, may
    end otherwise the next time.

    Args:
        connection: the store.
        wanted: what each case is about now.
        versions: of what computes, now.

    """
    rows = connection.execute(
        "SELECT op, case_name, dtype, results.run, source_hash, spec_hash, seed, versions, content, check_evaluations "
        "FROM results JOIN subjects ON subjects.id = results.subject JOIN runs ON runs.id = results.run "
        "LEFT JOIN documents ON documents.result = results.id "
        "WHERE results.id IN (SELECT max(id) FROM results GROUP BY subject) ORDER BY results.id"
    )
    newest: dict[CaseKey, list[tuple[int, bool, bytes | None, int]]] = {}
    now = json.dumps(dict(versions), sort_keys=True)
    for op, case, dtype, run, source, spec, seed, then, content, checking in rows:
        key = (op, case, dtype)
        same = wanted.get(key) == Provenance(source, spec, seed) and then == now
        own = newest.setdefault(key, [])
        if own and own[0][0] < run:  # an input that the op had in an earlier run only
            own.clear()
        own.append((run, same, content, checking or 0))
    found = {key: _recalled(own) for key, own in newest.items() if key in wanted}
    return {key: made for key, made in found.items() if made is not None}


def _recalled(rows: Iterable[tuple[int, bool, bytes | None, int]]) -> Recalled | None:
    results, checking = [], 0
    for _, same, content, check_evaluations in rows:
        if not same or content is None:
            return None
        try:
            results.append(decoded(content))
        except UnreadableError:
            return None
        checking += check_evaluations
    if any(result.verdict is Verdict.ERROR or _was_cut(result) for result in results):
        return None
    return Recalled(tuple(results), checking)


def _was_cut(result: Result) -> bool:
    return any(finding.code == LIMIT_REACHED for finding in result.findings)
