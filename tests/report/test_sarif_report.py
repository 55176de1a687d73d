"""SARIF: what code scanning reads, and where it shows it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import pytest

from gradaudit.report.files import AtomicFile
from gradaudit.report.sarif import SarifReport, sarif_document
from gradaudit.results import Finding, SourceLine

TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
PLACE = {
    "type": "object",
    "required": ["physicalLocation"],
    "properties": {
        "physicalLocation": {
            "type": "object",
            "required": ["artifactLocation", "region"],
            "properties": {
                "artifactLocation": {
                    "type": "object",
                    "required": ["uri"],
                    "properties": {"uri": {"type": "string", "format": "uri-reference"}},
                },
                "region": {"type": "object", "properties": {"startLine": {"type": "integer", "minimum": 1}}},
            },
        }
    },
}
SHAPE = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name", "rules"],
                                "properties": {
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {"required": ["id", "shortDescription"]},
                                    }
                                },
                            }
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["ruleId", "ruleIndex", "message", "level"],
                            "properties": {
                                "message": TEXT,
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "locations": {"type": "array", "items": PLACE},
                                "partialFingerprints": {"additionalProperties": {"type": "string"}},
                            },
                        },
                    },
                },
            },
        },
    },
}
"""What we write of the format, as its own schema asks for it."""


@pytest.fixture
def mixed(mismatch, result):
    cause = Finding("sign-flipped", "numerical = -analytical at every index", {"explained": 1.0})
    rows = [mismatch((k,), -1.0, 1.0) for k in range(9)]
    source = SourceLine("src/my ops.py", 12, "norm_backward")
    return [
        result(),
        result("fail", rows, dtype="float32", findings=(cause,), source=source),
        result("fail", rows, dtype="float64", findings=(cause,), source=source),
        result("fail", rows, op="odd"),
        result("inconclusive", op="log", message="2 of 12 indices cannot be decided", location=""),
        result("error", op="sqrt", message="backward raised ValueError: \x1b[31m\ud800", location="/gone/a.yaml:0"),
        result("fail", rows, op="known", expected=True),
    ]


def test_what_is_written_has_the_formats_shape(mixed) -> None:
    jsonschema.validate(sarif_document(mixed), SHAPE)
    jsonschema.validate(sarif_document([]), SHAPE)


def test_there_is_one_result_for_what_fails_alike_and_none_for_what_is_expected(mixed) -> None:
    (run,) = sarif_document(mixed)["runs"]
    found = [(made["properties"]["op"], made["ruleId"], made["level"]) for made in run["results"]]
    assert found == [
        ("norm", "sign-flipped", "error"),
        ("odd", "gradient-mismatch", "error"),
        ("log", "inconclusive", "warning"),
        ("sqrt", "op-error", "error"),
    ]
    assert run["results"][0]["properties"]["cases"] == ["default[float32]", "default[float64]"]
    rules = run["tool"]["driver"]["rules"]
    assert [rules[made["ruleIndex"]]["id"] for made in run["results"]] == [made["ruleId"] for made in run["results"]]
    assert "## Remedy" in rules[0]["help"]["markdown"]


def test_a_result_stands_at_the_backward_or_else_the_spec(mixed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", os.getcwd())
    (run,) = sarif_document(mixed)["runs"]
    places = [made["locations"] for made in run["results"]]
    first, second, third, fourth = places
    at = first[0]["physicalLocation"]
    assert at["artifactLocation"] == {"uri": "src/my%20ops.py", "uriBaseId": "%SRCROOT%"}
    assert at["region"] == {"startLine": 12}
    assert second[0]["physicalLocation"]["artifactLocation"]["uri"] == "specs/norm.yaml"
    assert third == []
    assert fourth[0]["physicalLocation"]["artifactLocation"] == {"uri": "file:///gone/a.yaml"}


def test_the_report_writes_when_the_run_ends(mixed, events, tmp_path: Path) -> None:
    report = SarifReport(AtomicFile(str(tmp_path / "out.sarif")))
    *begun, last = events(mixed, interrupted=True)
    for event in begun:
        report(event)
    assert not (tmp_path / "out.sarif").exists()
    report(last)
    (run,) = json.loads((tmp_path / "out.sarif").read_text())["runs"]
    assert run["invocations"] == [{"executionSuccessful": False}]
    assert "gradient mismatch w.r.t. x" in run["results"][0]["message"]["text"]
