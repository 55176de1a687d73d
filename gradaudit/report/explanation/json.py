"""An explanation as JSON, its results as ``run --json`` writes them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from gradaudit.explain.explanation import Explanation, Study, Training
from gradaudit.report.json import plain, result_record
from gradaudit.report.repairs import repairs_record

SCHEMA = 1


def document(explanation: Explanation) -> str:
    """Return the text of the document."""
    return json.dumps(plain(_record(explanation)), indent=1) + "\n"


def _record(explanation: Explanation) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "op": explanation.op,
        "module": explanation.module,
        "location": explanation.location,
        "notes": explanation.notes,
        "signature": dict(explanation.signature.calls),
        "tolerances": [asdict(made) for made in explanation.tolerances],
        "results": [result_record(result) for result in explanation.results],
        "studies": [_study_record(study) for study in explanation.studies],
        "graphs": [asdict(view) for view in explanation.views],
        "trainings": [_training_record(training) for training in explanation.trainings],
        **_repairs_record(explanation),
        "next": [page.name for page in explanation.remedies],
    }


def _repairs_record(explanation: Explanation) -> dict[str, Any]:
    if explanation.repairs is None:
        return {}
    record = repairs_record(explanation.repairs)
    return {key: record[key] for key in ("repairs", "no_repair")}


def _training_record(training: Training) -> dict[str, Any]:
    return {
        "case": training.loss.case,
        "dtype": training.loss.dtype,
        "measured": [asdict(made) for made in training.loss.training],
        "gradient_norms": {one.input: list(one.gradient_norms) for one in training.parameters},
    }


def _study_record(study: Study) -> dict[str, Any]:
    return {
        "case": study.case.name,
        "dtype": study.case.dtype,
        "input": study.result.input,
        "verdict": str(study.result.verdict),
        "curve": asdict(study.curve) if study.curve else None,
        "no_curve": study.no_curve,
        "path": asdict(study.path) if study.path else None,
        "heat_map": asdict(study.heat_map) if study.heat_map else None,
        "command": study.command,
        "snippet": study.snippet,
    }
