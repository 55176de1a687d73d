"""The JSON that other tools read, key by key as the contract names them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_results import events_of, made_mismatch, made_result

from gradaudit.report.files import AtomicFile
from gradaudit.report.json import JsonReport, result_of, result_record
from gradaudit.results import Finding, Result, SourceLine

CONTRACT = {
    "schema": 1,
    "summary": {
        "pass": 0,
        "fail": 0,
        "inconclusive": 0,
        "error": 0,
        "evaluations": 0,
        "check_evaluations": 0,
        "forwards": 0,
        "backwards": 0,
        "seconds": 0.0,
    },
    "results": [
        {
            "op": "",
            "module": "",
            "case": "",
            "dtype": "",
            "input": "x",
            "verdict": "",
            "expected": True,
            "checked": 0,
            "wrong": 0,
            "evaluations": 0,
            "seconds": 0.0,
            "method": "exhaustive|search",
            "forwards": 0,
            "backwards": 0,
            "location": {"file": "", "line": 0},
            "miss_probability": 0.0,
            "resolution": 0.0,
            "message": "",
            "mismatches": [
                {
                    "index": [0],
                    "analytical": 0.0,
                    "numerical": 0.0,
                    "error_bound": 0.0,
                    "difference": 0.0,
                    "tolerance": 0.0,
                }
            ],
            "findings": [{"code": "", "message": "", "evidence": {}}],
        }
    ],
}


def written(results, folder, **options):
    file = folder / "report.json"
    report = JsonReport(AtomicFile(str(file)))
    for event in events_of(results, **options):
        report(event)
    # Strict: no NaN or Infinity outside of strings.
    return json.loads(file.read_text(), parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))


def same_shape(found, expected, path: str = "$") -> None:
    assert type(found) is type(expected), path
    if isinstance(expected, dict):
        assert list(found) == list(expected) or expected == {}, path
        for key in expected:
            same_shape(found[key], expected[key], f"{path}.{key}")
    elif isinstance(expected, list):
        for k, item in enumerate(found):
            same_shape(item, expected[0], f"{path}[{k}]")


def test_keys_their_order_and_their_types_are_the_contract_s(tmp_path) -> None:
    results = [
        made_result("fail", [made_mismatch(), made_mismatch((3,))], findings=(Finding("kink", "a kink", {"at": [1]}),)),
        made_result("error", message="it crashed", resolution=0.0),
        made_result(),
    ]
    same_shape(written(results, tmp_path), CONTRACT)


def test_an_empty_run_has_all_keys_too(tmp_path) -> None:
    document = written([], tmp_path)
    same_shape(document, CONTRACT)
    assert document["results"] == []


def test_the_summary_counts(tmp_path) -> None:
    case = [made_result(input="x"), made_result("fail", input="w", evaluations=7)]
    results = [case, made_result("inconclusive"), made_result("fail", expected=True), made_result("error")]
    assert written(results, tmp_path)["summary"] == {
        "pass": 1,
        "fail": 2,
        "inconclusive": 1,
        "error": 1,
        "evaluations": 207,
        "check_evaluations": 8,
        "forwards": 280,
        "backwards": 32,
        "seconds": 1.5,
    }


def test_results_come_in_the_order_of_the_run(tmp_path) -> None:
    results = [[made_result(op=op, input=name) for name in "bca"] for op in ("z", "a", "m")]
    found = [(record["op"], record["input"]) for record in written(results, tmp_path)["results"]]
    assert found == [(op, name) for op in "zam" for name in "bca"]


def test_fields_are_the_result_s_own(tmp_path) -> None:
    result = made_result(
        "fail",
        [made_mismatch((1, 2), 0.1, 0.3)],
        method="search",
        miss_probability=1e-7,
        expected=True,
        findings=(Finding("sign-flipped", "minus", {"explained": 1.0}),),
    )
    (record,) = written([result], tmp_path)["results"]
    for key in CONTRACT["results"][0].keys() - {"mismatches", "findings", "verdict", "location"}:
        assert record[key] == getattr(result, key), key
    assert record["verdict"] == "fail"
    (row,) = record["mismatches"]
    assert row.pop("index") == [1, 2]
    assert row == {key: getattr(result.mismatches[0], key) for key in row}
    assert record["findings"] == [{"code": "sign-flipped", "message": "minus", "evidence": {"explained": 1.0}}]


@given(value=st.floats(allow_nan=False, allow_infinity=False), bound=st.floats(0, 1e300))
def test_every_bit_of_a_number_survives(value: float, bound: float, tmp_path_factory) -> None:
    result: Result = made_result("fail", [made_mismatch((0,), value, 1.0, error_bound=bound)], resolution=bound)
    (record,) = written([result], tmp_path_factory.mktemp("bits"))["results"]
    assert math.copysign(1, record["mismatches"][0]["analytical"]) == math.copysign(1, value)
    assert record["mismatches"][0]["analytical"] == value
    assert record["mismatches"][0]["error_bound"] == bound
    assert record["resolution"] == bound


def test_what_json_cannot_hold_is_written_as_strings(tmp_path) -> None:
    rows = [made_mismatch((0,), math.nan, math.inf, error_bound=math.inf), made_mismatch((1,), -math.inf, 1.0)]
    evidence = {"values": [math.nan, 1.0, -math.inf], "nested": {"bound": math.inf}, "where": (1, 2)}
    result = made_result("inconclusive", rows, resolution=math.nan, findings=(Finding("kink", "x", evidence),))
    (record,) = written([result], tmp_path)["results"]
    first, second = record["mismatches"]
    assert (first["analytical"], first["numerical"], first["error_bound"]) == ("NaN", "Infinity", "Infinity")
    assert (first["difference"], first["tolerance"]) == ("NaN", "Infinity")
    assert (second["analytical"], second["difference"]) == ("-Infinity", "Infinity")
    assert record["resolution"] == "NaN"
    assert record["findings"][0]["evidence"] == {
        "values": ["NaN", 1.0, "-Infinity"],
        "nested": {"bound": "Infinity"},
        "where": [1, 2],
    }


def test_complex_values_are_pairs(tmp_path) -> None:
    rows = [made_mismatch((0,), 1 - 2j, complex(0.0, math.inf))]
    (row,) = written([made_result("fail", rows)], tmp_path)["results"][0]["mismatches"]
    assert (row["analytical"], row["numerical"]) == ([1.0, -2.0], [0.0, "Infinity"])


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.float32(0.5), 0.5),
        (np.float64("nan"), "NaN"),
        (np.complex64(1 + 2j), [1.0, 2.0]),
        (np.array([[1.0, np.inf]]), [[1.0, "Infinity"]]),
        ({3: np.int8(1)}, {"3": 1}),
        (None, None),
    ],
)
def test_evidence_may_hold_numpy_s_numbers(value, plain, tmp_path) -> None:
    result = made_result(findings=(Finding("kink", "x", {"value": value}),))
    assert written([result], tmp_path)["results"][0]["findings"][0]["evidence"] == {"value": plain}


@pytest.mark.parametrize("text", ["\x00\x1b[31m", "\ud800", 'quote " and \\', "é → 🎲", "line\nline"])
def test_any_text_survives(text: str, tmp_path) -> None:
    assert written([made_result("error", message=text)], tmp_path)["results"][0]["message"] == text


def test_an_interrupted_run_writes_what_was_done(tmp_path) -> None:
    assert len(written([made_result()], tmp_path, interrupted=True)["results"]) == 1


def test_a_result_names_the_line_of_its_backward(tmp_path):
    place = SourceLine("my_ops.py", 8, "swish_backward")
    record = written([made_result("fail", source=place)], tmp_path)["results"][0]
    assert record["location"] == {"file": "my_ops.py", "line": 8}


@pytest.mark.parametrize(
    "result",
    [
        made_result(),
        made_result("fail", [made_mismatch((0, 1), 1 + 2j, math.inf), made_mismatch((), math.nan)]),
        made_result(source=SourceLine("ops.py", 3), findings=(Finding("kink", "a kink", {"slopes": [1.0, math.inf]}),)),
    ],
)
def test_what_a_record_tells_is_read_back(result: Result) -> None:
    assert result_record(result_of(result_record(result))) == result_record(result)
