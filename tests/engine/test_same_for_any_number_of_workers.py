"""What a run tells, and in what order, does not depend on how many processes did the work."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gradaudit.engine.events import CaseDone, CaseFinished, CasesTold, RunFinished, RunStarted
from gradaudit.report.json import document as json_document
from gradaudit.report.tally import Tally

JOBS = (0, 1, 2, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, document, write):
    """Ops of every verdict; the first take longest, so that several workers finish them out of order."""
    slow = [
        document(f"slow_{k}", "slow_square", params={"pause": 0.002 / (k + 1)}, dtype=["float32", "float64"])
        for k in range(4)
    ]
    others = [
        document("one_wrong", "square", "square_backward_one_wrong", dtype=["float16", "float32", "float64"]),
        document("right", "cube", "cube_backward", dtype=["bfloat16", "complex128"]),
        document("no_gradient", "square", "builtins:min"),
        document("exits", "calls_sys_exit"),
        document("normal", "cube", "cube_backward", inputs={"x": {"shape": [2, 5], "distribution": "normal"}}),
    ]
    return write(tmp_path_factory.mktemp("jobs"), *slow, *others)


@pytest.fixture(scope="module")
def records(folder, run):
    return {jobs: run(folder, jobs=jobs) for jobs in JOBS}


def timeless(event: CaseFinished) -> CaseFinished:
    return replace(event, results=tuple(repr(replace(result, seconds=0.0)) for result in event.results))


@pytest.mark.parametrize("jobs", JOBS[1:])
def test_results_are_identical_but_for_their_seconds(records, jobs: int) -> None:
    assert [timeless(event) for event in records[jobs].finished] == [timeless(event) for event in records[0].finished]


@pytest.mark.parametrize("jobs", JOBS[1:])
def test_the_json_is_identical_but_for_its_seconds(records, jobs: int) -> None:
    def told(record):
        tally = Tally()
        for event in record.events:
            tally(event)
        results = [replace(result, seconds=0.0) for event in record.finished for result in event.results]
        return json_document(results, tally, 0.0)

    assert told(records[jobs]) == told(records[0])
    assert {result["verdict"] for result in told(records[0])["results"]} == {"pass", "fail", "error"}


@pytest.mark.parametrize("jobs", JOBS)
def test_events_come_in_their_order(records, folder, jobs: int) -> None:
    events = records[jobs].events
    cases = [event.id for event in records[0].finished]
    assert events[0] == RunStarted(cases=len(cases), ops=9)
    assert isinstance(events[-1], RunFinished)
    assert not events[-1].interrupted
    assert [event.id for event in events if isinstance(event, CaseFinished)] == cases
    progress = [event for event in events if isinstance(event, CaseDone)]
    assert [event.done for event in progress] == list(range(1, len(cases) + 1))
    assert {event.total for event in progress} == {len(cases)}
    assert sorted(event.id for event in progress) == sorted(cases)


@pytest.mark.parametrize("jobs", JOBS)
def test_no_case_that_is_done_waits_for_one_that_is_not(records, jobs: int) -> None:
    told = [event for event in records[jobs].events if isinstance(event, (CaseDone, CasesTold))]
    assert isinstance(told[-1], CasesTold)
    assert jobs or [type(event) for event in told] == [CaseDone, CasesTold] * (len(told) // 2)


@pytest.mark.parametrize("jobs", JOBS)
def test_a_case_is_told_of_only_when_it_is_done(records, jobs: int) -> None:
    done: set[str] = set()
    for event in records[jobs].events:
        if isinstance(event, CaseDone):
            done.add(event.id)
        elif isinstance(event, CaseFinished):
            assert event.id in done


def test_more_workers_than_cases_are_not_started(tmp_path, document, write, run, monkeypatch) -> None:
    from gradaudit.engine import pool

    counts = []
    started = pool.workers
    monkeypatch.setattr(pool, "workers", lambda count, *more: counts.append(count) or started(count, *more))
    record = run(write(tmp_path, document("only", "square")), jobs=64)
    assert counts == [1]
    assert record.results["only"].verdict == "pass"
