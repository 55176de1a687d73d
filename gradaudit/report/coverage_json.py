"""The coverage of a project as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from gradaudit.coverage.levels import LevelRow, ModelRow
from gradaudit.coverage.model import Coverage, Depth, InputRow, ModuleRow, Mutants, OpCoverage
from gradaudit.coverage.passes import BackwardPass
from gradaudit.report.depth import reached_branches, reached_lines

SCHEMA = 1


def coverage_document(coverage: Coverage) -> dict[str, Any]:
    """Return the whole document as plain data; numbers that are not known are null."""
    return {
        "schema": SCHEMA,
        "modules": [_module(row) for row in coverage.modules],
        "total": _module(coverage.total),
        "levels": [_level(row) for row in coverage.levels],
        "models": [_model(row) for row in coverage.models],
        "ops": [_op(op) for op in coverage.ops],
        "missing": [{**_pass(one), "module": module} for module, one in coverage.missing],
        "stale": [op.op for op in coverage.stale],
        "skipped": {op.op: op.needs for op in coverage.skipped},
        "files": coverage.files,
        "not_searched": [{"file": one.file.as_posix(), "reason": one.reason} for one in coverage.troubles],
    }


def _module(row: ModuleRow) -> dict[str, Any]:
    counts = {"passes": row.passes, "checked": row.checked, "percent": row.percent}
    return {"module": row.module, **counts, "in_models": {str(level): n for level, n in row.in_models.items()}}


def _level(row: LevelRow) -> dict[str, Any]:
    return {"level": str(row.level), "specs": row.specs, "cases": row.cases.total, **asdict(row.cases)}


def _model(row: ModelRow) -> dict[str, Any]:
    return {"model": row.model, **{str(level): list(ops) for level, ops in row.specs.items()}}


def _pass(one: BackwardPass) -> dict[str, Any]:
    return {"name": one.name, "op": one.op, "file": one.file.as_posix(), "line": one.line, "kind": str(one.kind)}


def _op(op: OpCoverage) -> dict[str, Any]:
    return {
        "op": op.op,
        "module": op.module,
        "level": str(op.level),
        "model": op.model or None,
        "spec": op.location,
        "passes": [_pass(one) for one in op.passes],
        "matched_by_name": op.by_name,
        "expected": op.expected,
        "inputs": [_input(row) for row in op.inputs],
        "findings": dict(op.findings),
        "audited": op.audited.isoformat() if op.audited else None,
        "audit": op.audit or None,
        "stale": list(op.stale),
        "depth": _depth(op.depth) if op.depth else None,
        "mutants": _mutants(op.mutants) if op.mutants else None,
    }


def _depth(depth: Depth) -> dict[str, Any]:
    functions = [asdict(function) for function in depth.functions]
    lines, branches = reached_lines(depth.functions), reached_branches(depth.functions)
    reached = {"reached_lines": lines[0], "lines": lines[1], "reached_branches": branches[0], "branches": branches[1]}
    return {**reached, "stale": depth.stale, "functions": functions}


def _mutants(mutants: Mutants) -> dict[str, Any]:
    return {**asdict(mutants.counts), "stale": mutants.stale}


def _input(row: InputRow) -> dict[str, Any]:
    return {
        "input": row.input,
        "verdicts": {dtype: str(verdict) if verdict else None for dtype, verdict in row.verdicts.items()},
        "cases": row.cases,
        "worst_ratio": _number(row.worst_ratio),
        "miss_probability": _number(row.miss_probability),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
