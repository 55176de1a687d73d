"""Runs read back from what they have written, and put together: the shards of a run, from stores or JSON reports."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from gradaudit.engine.events import CaseDone, CaseFinished, Event, RunFinished, RunStarted
from gradaudit.report.json import result_of
from gradaudit.results import Result
from gradaudit.store.encoding import UnreadableError, decoded
from gradaudit.store.read import runs, whole_results_of_run
from gradaudit.store.schema import StoreError, open_to_read

SQLITE = b"SQLite format 3\0"
"""How a store begins."""


class PartError(Exception):
    """A file is no run that could be read back; says which, and why."""


@dataclass(frozen=True)
class CaseOfPart:
    """A case of a run: its id, its results, and the forwards that other checks took."""

    id: str
    results: tuple[Result, ...]
    check_evaluations: int = 0


@dataclass(frozen=True)
class Part:
    """A run that was read back.

    Attributes:
        path: where from.
        cases: what it audited.
        planned: the ids of the cases that it and its fellow shards were to audit; empty where it was no shard.

    """

    path: Path
    cases: tuple[CaseOfPart, ...]
    planned: tuple[str, ...] = ()


@dataclass(frozen=True)
class Merged:
    """Several runs as one.

    Attributes:
        cases: in the order that was planned.
        missing: ids of cases that were planned and are in no part.
        twice: ids of cases that several parts have; the last one counts.

    """

    cases: tuple[CaseOfPart, ...]
    missing: tuple[str, ...]
    twice: tuple[str, ...]

    def events(self) -> Iterator[Event]:
        """Yield what a run of all of it would have told."""
        yield RunStarted(len(self.cases), len({case.results[0].op for case in self.cases}))
        for done, case in enumerate(self.cases, 1):
            yield CaseDone(case.id, done, len(self.cases), case.results, {}, case.check_evaluations)
            yield CaseFinished(case.id, case.results, case.check_evaluations)
        yield RunFinished(sum(result.seconds for case in self.cases for result in case.results), interrupted=False)


def read_part(path: Path) -> Part:
    """Return the run that a JSON report tells of, or the last one that a store holds.

    Raises:
        PartError: where the file is neither.

    """
    try:
        content = path.read_bytes() if path.is_file() else b""
        if not path.is_file():
            raise PartError(f"{path}: there is no such file; expected a store or a JSON report")
        return _from_store(path) if content.startswith(SQLITE) else _from_json(path, content)
    except OSError as error:
        raise PartError(f"{path} cannot be read: {error.strerror or error}") from None


def _from_json(path: Path, content: bytes) -> Part:
    try:
        document = json.loads(content)
        shard = document.get("shard")
        results = _typed(_kept(shard) if shard else [result_of(record) for record in document["results"]])
        checking = int(document["summary"]["check_evaluations"])
        planned = tuple(map(str, shard["planned"])) if shard else ()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, UnreadableError) as error:
        raise PartError(f"{path}: expected a store or a JSON report of a run: {error}") from None
    cases = _cases([(result, checking if k == 0 else 0) for k, result in enumerate(results)])
    return Part(path, cases, planned)


def _typed(results: list[Result]) -> list[Result]:
    """Return results whose fields are of the types that they should be.

    Raises:
        ValueError: where a field is not.

    """
    try:
        return TypeAdapter(list[Result], config=ConfigDict(revalidate_instances="always")).validate_python(results)
    except ValidationError as error:
        (first, *_) = error.errors()
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"results.{where}: {first['msg']}, found {str(first['input'])[:40]}") from None


def _kept(shard: Mapping[str, Any]) -> list[Result]:
    return [decoded(base64.b64decode(text)) for text in shard["results"]]


def _from_store(path: Path) -> Part:
    try:
        with open_to_read(path) as connection:
            found = runs(connection)
            if not found:
                raise PartError(f"{path} holds no run")
            results = whole_results_of_run(connection, found[-1].id)
            if len(results) < found[-1].results:
                raise PartError(f"{path}: the results of its last run are incomplete")
    except (StoreError, UnreadableError) as error:
        raise PartError(f"{path}: {error}") from None
    return Part(path, _cases(results), found[-1].circumstances.planned)


def _cases(results: Sequence[tuple[Result, int]]) -> tuple[CaseOfPart, ...]:
    """Return results case by case; those of a case follow each other."""
    cases = []
    for id_, own in groupby(results, key=lambda pair: _id(pair[0])):
        pairs = list(own)
        cases.append(CaseOfPart(id_, tuple(result for result, _ in pairs), sum(count for _, count in pairs)))
    return tuple(cases)


def _id(result: Result) -> str:
    return f"{result.module}/{result.op}::{result.case}[{result.dtype}]"


def merged(parts: Sequence[Part]) -> Merged:
    """Put parts together: in the order that was planned, what was planned by none in that of the parts."""
    counts = Counter(case.id for part in parts for case in part.cases)
    found: Mapping[str, CaseOfPart] = {case.id: case for part in parts for case in part.cases}
    order = dict.fromkeys([id_ for part in parts for id_ in part.planned] + list(found))
    return Merged(
        cases=tuple(found[id_] for id_ in order if id_ in found),
        missing=tuple(id_ for id_ in order if id_ not in found),
        twice=tuple(id_ for id_, count in counts.items() if count > 1),
    )
