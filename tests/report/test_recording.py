"""When what a run finds is on disk."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from sqlite3 import connect

from report.made_results import made_result

from gradaudit.engine.events import CaseDone, CasesTold, RunFinished, RunStarted
from gradaudit.report.record import Recorder
from gradaudit.store.records import Circumstances, Provenance


def recorded(store: Path) -> int:
    with closing(connect(store)) as connection:
        return int(connection.execute("SELECT count(*) FROM results").fetchone()[0])


def test_cases_that_end_together_are_recorded_together(tmp_path) -> None:
    store, names = tmp_path / "audit.db", ("a", "b", "c")
    record = Recorder(store, Circumstances(), dict.fromkeys(names, Provenance()), {})
    record(RunStarted(3, 3))
    a, b, c = (CaseDone(name, k, 3, (made_result(op=name),)) for k, name in enumerate(names, 1))
    record(a)
    record(b)
    assert recorded(store) == 0
    record(CasesTold())
    assert recorded(store) == 2
    record(c)
    record(RunFinished(1.0, interrupted=True))
    assert recorded(store) == 3
    assert not record.problem
