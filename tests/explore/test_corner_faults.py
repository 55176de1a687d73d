"""The faults of the benchmark are what they say: right twins pass, and most wrong ones pass their own specs too."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gradaudit.engine.run import audit_here
from gradaudit.results import Verdict, worst
from gradaudit.spec.load import load_specs

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from corner_faults import FAULTS, Fault
from relation_faults import RELATION_FAULTS

ALL = {**FAULTS, **RELATION_FAULTS}

SEEN_AT_ONCE = {
    "first_of_upstream_for_all",
    "stretched_upstream_is_one_number",
    "rows_of_upstream_are_adjacent",
    "upstream_clipped",
}
"""Those that every audit looks for."""


def verdict(fault: Fault, folder: Path, *, wrong: bool) -> Verdict:
    (folder / "spec.yaml").write_text(fault.text(wrong=wrong))
    cases = load_specs([folder / "spec.yaml"]).cases
    return worst([result.verdict for case in cases for result in audit_here(case).results])


@pytest.mark.parametrize("name", ALL)
def test_a_spec_of_plain_cases_passes_both(name: str, tmp_path: Path) -> None:
    assert verdict(ALL[name], tmp_path, wrong=False) is Verdict.PASS
    assert verdict(ALL[name], tmp_path, wrong=True) is (Verdict.FAIL if name in SEEN_AT_ONCE else Verdict.PASS)
