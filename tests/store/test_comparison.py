"""What two runs differ in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gradaudit.results import Result, Verdict
from gradaudit.store.choose import NoSuchRunError, chosen_runs
from gradaudit.store.compare import Comparison, compare_runs
from gradaudit.store.records import Circumstances, Provenance, Record, Run

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def run(number: int, commit: str = "", *, narrowed: bool = False, finished: bool = True) -> Run:
    return Run(number, NOON, NOON if finished else None, False, Circumstances({}, commit, False, narrowed), 1)


def recorded(*results: Result) -> list[Record]:
    return [Record(1, NOON, Provenance(), result) for result in results]


def gradient(op: str, *, fails: bool = False, evaluations: int = 100) -> Result:
    verdict = Verdict.FAIL if fails else Verdict.PASS
    return Result(op, "m", "default", "float64", "x", verdict, expected=not fails, evaluations=evaluations)


def names(comparison: Comparison) -> dict[str, list[str]]:
    kinds = ("newly_failing", "newly_passing", "new", "gone", "slower")
    return {kind: [change.subject[0] for change in getattr(comparison, kind)] for kind in kinds}


BEFORE = recorded(
    gradient("broken"), gradient("mended", fails=True), gradient("left"), gradient("slow"), gradient("kept")
)
AFTER = recorded(
    gradient("broken", fails=True),
    gradient("mended"),
    gradient("slow", evaluations=120),
    gradient("kept", evaluations=105),
    gradient("added"),
    gradient("added_wrong", fails=True),
)


def test_each_gradient_is_told_once_by_what_became_of_it() -> None:
    comparison = compare_runs(run(1), BEFORE, run(2), AFTER)
    assert names(comparison) == {
        "newly_failing": ["broken", "added_wrong"],
        "newly_passing": ["mended"],
        "new": ["added"],
        "gone": ["left"],
        "slower": ["slow"],
    }
    assert comparison.same == 1
    assert comparison.unknown == ()


def test_swapping_the_runs_swaps_the_changes() -> None:
    back = names(compare_runs(run(2), AFTER, run(1), BEFORE))
    assert (back["newly_failing"], back["newly_passing"]) == (["mended"], ["broken"])
    assert (back["new"], back["gone"], back["slower"]) == (["left"], ["added", "added_wrong"], [])


def test_what_is_expected_to_fail_and_does_has_not_failed() -> None:
    caught = replace(gradient("caught", fails=True), expected=True)
    assert compare_runs(run(1), recorded(gradient("caught")), run(2), recorded(caught)).newly_failing == ()


@pytest.mark.parametrize("partial", [{"narrowed": True}, {"finished": False}])
def test_what_a_partial_run_leaves_out_is_not_gone(partial: dict[str, bool]) -> None:
    comparison = compare_runs(run(1), BEFORE, run(2, **partial), AFTER)
    assert names(comparison)["gone"] == []
    assert names(comparison)["new"] == ["added"]
    assert "run 2" in comparison.unknown[0]
    told = names(compare_runs(run(1, **partial), BEFORE, run(2), AFTER))
    assert (told["new"], told["newly_failing"]) == ([], ["broken", "added_wrong"])


class TestChoosing:
    RUNS = (run(3, "abcd1234"), run(5, "abcd9999"), run(8, "ffff0000"))

    def test_the_last_two_by_default(self) -> None:
        assert [made.id for made in chosen_runs(self.RUNS, None, None)] == [5, 8]

    def test_a_whole_run_with_the_whole_run_before_it(self) -> None:
        made = (run(1), run(2, narrowed=True), run(3), run(4, finished=False))
        assert [one.id for one in chosen_runs(made, None, "3")] == [1, 3]
        assert [one.id for one in chosen_runs(made, None, None)] == [3, 4]
        assert [one.id for one in chosen_runs(made[1:3], None, None)] == [2, 3]

    def test_by_number_and_by_commit(self) -> None:
        assert [made.id for made in chosen_runs(self.RUNS, "3", "abcd9")] == [3, 5]
        assert [made.id for made in chosen_runs(self.RUNS, "abcd", None)] == [5, 8]
        assert [made.id for made in chosen_runs(self.RUNS, None, "5")] == [3, 5]

    @pytest.mark.parametrize(("a", "b"), [("4", None), ("abc", None), (None, "3"), ("nope", "8")])
    def test_there_is_no_such_run(self, a: str | None, b: str | None) -> None:
        with pytest.raises(NoSuchRunError, match=r"\d"):
            chosen_runs(self.RUNS, a, b)

    def test_nothing_recorded(self) -> None:
        with pytest.raises(NoSuchRunError, match="no run"):
            chosen_runs((), None, None)
