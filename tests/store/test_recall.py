"""Results are read back whole, and recalled only where nothing that they depend on has changed."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from gradaudit.results import Finding, Measured, Mismatch, Result, SourceLine, Verdict
from gradaudit.store.encoding import UnreadableError, decoded, encoded
from gradaudit.store.recall import recall
from gradaudit.store.records import Circumstances, Provenance
from gradaudit.store.schema import open_to_write
from gradaudit.store.write import add_results, begin_run, finish_run

WHOLE = Result(
    "op",
    "module",
    "case",
    "complex128",
    "x",
    Verdict.FAIL,
    expected=False,
    resolution=math.inf,
    worst_ratio=0.1 + 0.2,
    message="half a pair: \ud800",
    mismatches=(Mismatch((0, 1), 1 + 2j, complex(0.1, -0.0), 1e-300, math.inf, 5e-324),),
    findings=(Finding("kink", "a kink", {"index": [0, 1], "slopes": {"left": 1.0}, "none": None}),),
    training=(Measured(1, 0.5), Measured(2, 0.25, 1.0)),
    gradient_norms=(0.5, math.inf, 0.0),
    source=SourceLine("ops.py", 7, "backward"),
)

ABOUT = Provenance("source", "spec", 3)
VERSIONS = {"numpy": "2.0", "python": "3.11"}
KEY = ("op", "case", "complex128")


def test_a_result_is_read_back_whole() -> None:
    assert decoded(encoded(WHOLE)) == WHOLE


@pytest.mark.parametrize("field", [field.name for field in fields(Result)])
def test_every_field_is_kept(field: str) -> None:
    assert repr(getattr(decoded(encoded(WHOLE)), field)) == repr(getattr(WHOLE, field))


def test_what_is_not_a_number_is_read_back() -> None:
    assert math.isnan(decoded(encoded(replace(WHOLE, resolution=math.nan))).resolution)


def test_arrays_among_the_evidence_become_lists() -> None:
    made = replace(WHOLE, findings=(Finding("kink", "", {"index": np.arange(3), "at": np.float32(0.5)}),))
    assert decoded(encoded(made)).findings[0].evidence == {"index": [0, 1, 2], "at": 0.5}


@pytest.mark.parametrize("content", [b"", b"no", encoded(WHOLE)[:-9]])
def test_what_is_no_result_is_refused(content: bytes) -> None:
    with pytest.raises(UnreadableError):
        decoded(content)


def recorded(path: Path, *results: Result, about: Provenance = ABOUT) -> None:
    with open_to_write(path) as connection:
        run = begin_run(connection, Circumstances(VERSIONS))
        add_results(connection, run, about, results, check_evaluations=5)
        finish_run(connection, run, interrupted=False)


def test_what_has_not_changed_is_recalled(tmp_path: Path) -> None:
    other = replace(WHOLE, input="y", verdict=Verdict.PASS)
    recorded(tmp_path / "a.db", WHOLE, other)
    with open_to_write(tmp_path / "a.db") as connection:
        found = recall(connection, {KEY: ABOUT}, VERSIONS)
    assert found[KEY].results == (WHOLE, other)
    assert found[KEY].check_evaluations == 5
    assert not found[KEY].as_expected


@pytest.mark.parametrize(
    ("about", "versions"),
    [
        (replace(ABOUT, source="other"), VERSIONS),
        (replace(ABOUT, spec="other"), VERSIONS),
        (replace(ABOUT, seed=4), VERSIONS),
        (ABOUT, VERSIONS | {"numpy": "2.1"}),
        (ABOUT, VERSIONS | {"torch": "2.3"}),
    ],
)
def test_what_has_changed_is_not(tmp_path: Path, about: Provenance, versions: dict[str, str]) -> None:
    recorded(tmp_path / "a.db", WHOLE)
    with open_to_write(tmp_path / "a.db") as connection:
        assert recall(connection, {KEY: about}, versions) == {}


def test_the_last_audit_counts_whatever_came_before(tmp_path: Path) -> None:
    recorded(tmp_path / "a.db", WHOLE)
    recorded(tmp_path / "a.db", WHOLE, about=replace(ABOUT, source="other"))
    with open_to_write(tmp_path / "a.db") as connection:
        assert recall(connection, {KEY: ABOUT}, VERSIONS) == {}


def test_an_error_is_audited_again(tmp_path: Path) -> None:
    recorded(tmp_path / "a.db", replace(WHOLE, verdict=Verdict.ERROR))
    with open_to_write(tmp_path / "a.db") as connection:
        assert recall(connection, {KEY: ABOUT}, VERSIONS) == {}
