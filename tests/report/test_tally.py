"""Counting, and what counts as ended well."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_results import events_of, made_result

from gradaudit.report.tally import Tally
from gradaudit.results import Verdict


def tally_of(events) -> Tally:
    tally = Tally()
    for event in events:
        tally(event)
    return tally


def test_every_number(events, result) -> None:
    case = [result(input="x"), result("fail", input="w", evaluations=7, seconds=1.0)]
    tally = tally_of(events([case, result(op="other", module="loss"), result("fail", op="known", expected=True)]))
    assert list(tally.modules) == ["normalization", "loss"]
    assert tally.modules["normalization"].ops == {"norm", "known"}
    assert (tally.total.cases, tally.modules["normalization"].cases) == (3, 2)
    assert tally.total.verdicts == {Verdict.PASS: 2, Verdict.FAIL: 2}
    assert (tally.total.evaluations, tally.check_evaluations) == (157, 6)
    assert (tally.total.forwards, tally.total.backwards) == (3 * 70, 3 * 8)  # those of a case are told with each input
    assert tally.total.seconds == pytest.approx(1.75)
    assert tally.expected_failures == 1
    assert tally.unexpected == {Verdict.FAIL: 1}
    assert tally.slowest(1) == [(1.25, "normalization/norm::default[float32]")]
    assert tally.finished is not None
    assert not tally.finished.interrupted


@given(st.lists(st.tuples(st.sampled_from(list(Verdict)), st.booleans())))
def test_a_run_is_as_expected_where_every_result_is(results: list[tuple[Verdict, bool]]) -> None:
    tally = tally_of(events_of([made_result(str(verdict), expected=expected) for verdict, expected in results]))
    surprises = [verdict for verdict, expected in results if not expected]
    assert tally.as_expected() == (not surprises)
    assert tally.as_expected(allow_inconclusive=True) == all(v is Verdict.INCONCLUSIVE for v in surprises)


def test_nothing_at_all_is_as_expected(events) -> None:
    assert tally_of(events([])).as_expected()
