"""The results as JSON, in the format that other tools read."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from gradaudit.engine.events import CaseFinished, Event, RepairsFound, RunFinished, RunShared
from gradaudit.repair.repairs import Repairs
from gradaudit.report.files import AtomicFile
from gradaudit.report.repairs import repairs_record
from gradaudit.report.tally import Tally
from gradaudit.results import Draw, Finding, Mismatch, Result, SourceLine, Verdict
from gradaudit.store.encoding import encoded

SCHEMA = 1


class JsonReport:
    """A handler of events that writes all results to a file when the run ends."""

    def __init__(self, file: AtomicFile) -> None:
        self._file = file
        self._tally = Tally()
        self._results: list[Result] = []
        self._repairs: list[Repairs] = []
        self._planned: tuple[str, ...] = ()

    def __call__(self, event: Event) -> None:
        """Collect results; write them at the end."""
        self._tally(event)
        if isinstance(event, RunShared):
            self._planned = event.planned
        elif isinstance(event, CaseFinished):
            self._results += event.results
        elif isinstance(event, RepairsFound):
            self._repairs.append(event.repairs)
        elif isinstance(event, RunFinished):
            made = document(self._results, self._tally, event.seconds)
            if self._repairs:
                made["repairs"] = [repairs_record(found) for found in self._repairs]
            if self._planned:
                kept = [base64.b64encode(encoded(result)).decode("ascii") for result in self._results]
                made["shard"] = {"planned": list(self._planned), "results": kept}
            self._file.write(json.dumps(made, indent=1) + "\n")


def document(results: list[Result], tally: Tally, seconds: float) -> dict[str, Any]:
    """Return the whole document as plain data."""
    summary: dict[str, Any] = {str(verdict): tally.total.verdicts[verdict] for verdict in _ORDER}
    summary |= {"evaluations": tally.total.evaluations, "check_evaluations": tally.check_evaluations}
    summary |= {"forwards": tally.total.forwards, "backwards": tally.total.backwards}
    return {
        "schema": SCHEMA,
        "summary": summary | {"seconds": seconds},
        "results": [result_record(result) for result in results],
    }


_ORDER = (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.ERROR)


def result_record(result: Result) -> dict[str, Any]:
    """Return one result as plain data; where the case was audited with several seeds, also how each ended."""
    source = result.source or SourceLine("", 0)
    record = {
        "op": result.op,
        "module": result.module,
        "case": result.case,
        "dtype": result.dtype,
        "input": result.input,
        "verdict": str(result.verdict),
        "expected": result.expected,
        "checked": result.checked,
        "wrong": result.wrong,
        "evaluations": result.evaluations,
        "seconds": result.seconds,
        "method": result.method,
        "forwards": result.forwards,
        "backwards": result.backwards,
        "location": {"file": source.file, "line": source.line},
        "miss_probability": plain(result.miss_probability),
        "resolution": plain(result.resolution),
        "message": result.message,
        "mismatches": [_mismatch_record(mismatch) for mismatch in result.mismatches],
        "findings": [_finding_record(finding) for finding in result.findings],
    }
    if result.draws:
        record |= {"seed": result.seed, "draws": [asdict(draw) for draw in result.draws]}
    return record


def result_of(record: Mapping[str, Any]) -> Result:
    """Return a result from its plain data; what these do not tell is as if it had never been.

    ``gradaudit merge`` reads a shard's results as the shard has kept them, and these of any other run.

    Raises:
        ValueError: where they are not what ``result_record`` returns.

    """
    known = {field.name for field in fields(Result)} - {"location", "source"}
    given = {name: _number(value) for name, value in record.items() if name in known}
    source = record.get("location") or {}
    try:
        return Result(
            **given
            | {
                "verdict": Verdict(record["verdict"]),
                "size": max(record["checked"], record["wrong"]),
                "mismatches": tuple(_mismatch(made) for made in record["mismatches"]),
                "findings": tuple(Finding(**made) for made in record["findings"]),
                "draws": tuple(_draw(made) for made in record.get("draws", ())),
                "source": SourceLine(source["file"], source["line"]) if source.get("file") else None,
            }
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(str(error)) from None


def _draw(record: Mapping[str, Any]) -> Draw:
    return Draw(**{**record, "verdict": Verdict(record["verdict"]), "findings": tuple(record["findings"])})


def _mismatch(record: Mapping[str, Any]) -> Mismatch:
    given = {name: _number(value) for name, value in record.items()}
    for name in ("analytical", "numerical"):
        if isinstance(given[name], list):
            given[name] = complex(*map(_number, given[name]))
    return Mismatch(**given | {"index": tuple(record["index"])})


def _number(value: Any) -> Any:
    """Return a number that JSON has no word for as what it is."""
    return float(value) if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity") else value


def _mismatch_record(mismatch: Mismatch) -> dict[str, Any]:
    return {
        "index": list(mismatch.index),
        "analytical": plain(mismatch.analytical),
        "numerical": plain(mismatch.numerical),
        "error_bound": plain(mismatch.error_bound),
        "difference": plain(mismatch.difference),
        "tolerance": plain(mismatch.tolerance),
    }


def _finding_record(finding: Finding) -> dict[str, Any]:
    return {"code": finding.code, "message": finding.message, "evidence": plain(dict(finding.evidence))}


def plain(value: Any) -> Any:
    """Return a value that JSON can hold: NaN and infinities as strings, complex numbers as [real, imaginary]."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, complex):
        return [plain(float(value.real)), plain(float(value.imag))]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if hasattr(value, "tolist"):  # arrays and their scalars, of whatever framework
        return plain(value.tolist())
    return value
