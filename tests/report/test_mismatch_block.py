"""The block of text for a result that did not end as expected, against the contract's own example."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_results import made_mismatch, made_result

from gradaudit.report.mismatch import MAX_TEXT, case_blocks
from gradaudit.results import Finding

EXAMPLE = """\
batch_norm2d (float32, case default): gradient mismatch w.r.t. x at index (0, 0, 0, 0), 300 of 300 indices wrong
  Analytical: -0.014305114746093750
  Numerical:  -0.028610229492187500 (error bound 3.1e-08)
  Difference:  0.014305114746093750 (50% relative error)
  Tolerance:  rtol=1e-4, atol=1e-6 -> 3.861e-06
  Result:     FAIL

  Index         Analytical    Numerical     Difference    Tolerance   Status
  (0, 0, 0, 0)  -1.4305e-02   -2.8610e-02    1.4305e-02   3.861e-06   FAIL
"""


def block(result, max_rows: int = 10) -> list[str]:
    (lines,) = case_blocks([result], max_rows)
    return lines


def test_the_contract_s_example(mismatch, result) -> None:
    worst = mismatch((0, 0, 0, 0), -0.01430511474609375, -0.0286102294921875)
    found = block(result("fail", [worst], op="batch_norm2d", size=300, wrong=300, message="300 of 300 indices wrong"))
    assert found[1] == "  Spec:       specs/norm.yaml:7"
    assert found[:1] + found[2:] == [*EXAMPLE.splitlines(), "  and 299 more", "  no simple cause found"]


def test_the_contract_s_likely_cause(mismatch, result) -> None:
    cause = Finding("constant-factor", "numerical = 2.000 x analytical at every index", {"explained": 1.0})
    kink = Finding("kink", "the op is not differentiable at 1 index")
    lines = block(result("fail", [mismatch()], findings=(kink, cause)))
    assert lines[-2:] == [
        "  likely cause: constant-factor. numerical = 2.000 x analytical at every index",
        "  kink: the op is not differentiable at 1 index",
    ]


def test_a_finding_that_fails_by_itself_is_cause_enough(mismatch, result) -> None:
    found = Finding("precision-loss", "backward's formula is right in float64")
    assert block(result("fail", [mismatch()], findings=(found,)))[-1] == f"  precision-loss: {found.message}"


def test_a_check_s_finding_is_no_likely_cause(result) -> None:
    found = Finding("captured-state", "backward answers for another input")
    assert block(result("fail", findings=(found,)))[-1] == f"  captured-state: {found.message}"


@pytest.mark.parametrize("verdict", ["pass", "fail", "inconclusive", "error"])
def test_what_ended_as_expected_has_no_block(result, verdict: str) -> None:
    assert case_blocks([result(verdict, expected=True)], 10) == []


@given(
    axes=st.integers(0, 5),
    values=st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=12),
    verdict=st.sampled_from(["fail", "inconclusive"]),
)
def test_columns_line_up_below_their_headings(axes: int, values: list[float], verdict: str) -> None:
    rows = [made_mismatch((k,) * axes, value, value / 2 + 1) for k, value in enumerate(values)]
    table = [line for line in block(made_result(verdict, rows), 100) if re.match(r"  (Index |\()", line)]
    header, *below = table
    assert len(below) == len(values)
    starts = [header.index(word) for word in ("Index", "Analytical", "Numerical", "Difference", "Tolerance", "Status")]
    for line in below:
        cells = [line[i:j] for i, j in zip(starts, [*starts[1:], None], strict=True)]
        assert all(cell.strip() and cell[-1] == " " for cell in cells[:-1])
        assert cells[0].startswith("(")
        assert [cell[0] in "- " for cell in cells[1:4]] == [True] * 3
        assert cells[-1] == {"fail": "FAIL", "inconclusive": "INCONCL."}[verdict]


@pytest.mark.parametrize(("wrong", "max_rows", "shown"), [(3, 10, 3), (10, 10, 10), (11, 10, 10), (5, 1, 1), (5, 0, 0)])
def test_at_most_max_rows_and_the_count_of_the_others(mismatch, result, wrong: int, max_rows: int, shown: int) -> None:
    rows = [mismatch((k,), 1.0 + k, 1.0) for k in range(wrong)]
    lines = block(result("fail", rows), max_rows)
    assert len([line for line in lines if line.startswith("  (")]) == shown
    assert (f"  and {wrong - shown} more" in lines) == (wrong > shown)
    assert any(line.startswith("  Index") for line in lines) == (shown > 0)


def test_rows_come_in_the_order_that_they_are_given_in_worst_first(mismatch, result) -> None:
    rows = [mismatch((k,), 1.0 + 10.0**-k, 1.0) for k in (0, 2, 1)]
    lines = block(result("fail", rows))
    assert [line.split()[0] for line in lines if line.startswith("  (")] == ["(0,)", "(2,)", "(1,)"]
    assert "at index (0,)" in lines[0]
    assert lines[2] == "  Analytical:  2.000000000000000000"


def test_more_wrong_indices_than_the_result_carries_are_counted(mismatch, result) -> None:
    lines = block(result("fail", [mismatch()], size=2_000_000, wrong=1_500_000))
    assert "1,500,000 of 2,000,000 indices wrong" in lines[0]
    assert "  and 1,499,999 more" in lines


def test_the_undecided_are_shown_as_such(mismatch, result) -> None:
    rows = [mismatch((1, 2), float("1e-3"), float("nan"), error_bound=float("inf"))]
    said = "1 of 12 indices cannot be decided at this precision"
    lines = block(result("inconclusive", rows, message=said))
    assert lines[0] == "norm (float32, case default): inconclusive w.r.t. x at index (1, 2)"
    assert "  Numerical:   nan (error bound inf)" in lines
    assert "  Difference:  nan (relative error unknown)" in lines
    assert "  Result:     INCONCLUSIVE" in lines
    assert f"  {said}" in lines


def test_an_error_says_its_cause_line_by_line(result) -> None:
    lines = block(result("error", message="forward raised ValueError: no\n  ops.py:3, in f: raise"))
    assert lines == [
        "norm (float32, case default): error w.r.t. x",
        "  Spec:       specs/norm.yaml:7",
        "  forward raised ValueError: no",
        "    ops.py:3, in f: raise",
    ]


def test_findings_follow_with_their_code(result) -> None:
    finding = Finding("input-mutated", "forward changed its x")
    lines = block(result("fail", message=finding.message, findings=(finding,)))
    assert lines[2:] == ["  input-mutated: forward changed its x"]


def test_a_missed_expectation_is_said_below_the_table_too(mismatch, result) -> None:
    disappointment = "the spec expects the finding sign-flipped, but the audit did not make it"
    message = f"1 of 12 indices wrong; {disappointment}"
    lines = block(result("fail", [mismatch()], message=message))
    assert lines[-1] == f"  {disappointment}"


def test_a_native_difference_is_said_below_the_table_too(mismatch, result) -> None:
    said = "differenced in float32: forward does not compute in float64"
    assert block(result("fail", [mismatch()], message=f"1 of 12 indices wrong; {said}"))[-1] == f"  {said}"


def test_a_pass_where_a_failure_is_expected_says_so(result) -> None:
    said = "the spec expects this case to fail, but it ended with pass"
    lines = block(result("pass", expected=False, message=said))
    assert lines == ["norm (float32, case default): pass w.r.t. x", "  Spec:       specs/norm.yaml:7", f"  {said}"]


def test_inputs_that_ended_alike_share_a_block(mismatch, result) -> None:
    alike = [result("error", input=name, message="its process crashed") for name in ("x", "gamma", "beta")]
    other = result("fail", [mismatch()], input="w")
    first, second = case_blocks([*alike, other], 10)
    assert first[0].endswith("error w.r.t. x, gamma, beta")
    assert "w.r.t. w at index" in second[0]


def test_inputs_with_tables_of_their_own_do_not_share_one(mismatch, result) -> None:
    tables = [result("fail", [mismatch()], input=name) for name in ("x", "w")]
    assert len(case_blocks(tables, 10)) == 2


def test_an_endless_message_is_cut_in_its_middle(result) -> None:
    text = "start " + "x" * 1_000_000 + "\n  ops.py:3, in f: end"
    lines = block(result("error", message=text))
    assert lines[2].startswith("  start xxx")
    assert lines[-1] == "    ops.py:3, in f: end"
    assert f"  ... {len(text) - MAX_TEXT:,} characters left out ..." in lines
    assert sum(map(len, lines)) < MAX_TEXT + 500
