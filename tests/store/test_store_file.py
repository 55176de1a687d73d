"""The store's file: made, recognised, migrated, shared by writers, and never harmed where it is not ours."""

from __future__ import annotations

import math
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gradaudit.results import Finding, Result, Verdict
from gradaudit.store import schema
from gradaudit.store.read import latest_records, ops, records_of_op, records_of_run, runs
from gradaudit.store.records import Circumstances, Provenance
from gradaudit.store.schema import VERSION, StoreError, migrate, open_to_read, open_to_write
from gradaudit.store.write import add_results, begin_run, finish_run

KEPT = Result(
    "norm",
    "normalization",
    "default",
    "float32",
    "x",
    Verdict.FAIL,
    expected=False,
    size=12,
    checked=12,
    wrong=3,
    evaluations=50,
    seconds=0.25,
    method="search",
    miss_probability=1e-7,
    resolution=math.inf,
    worst_ratio=2.5,
    rtol=1e-4,
    atol=1e-6,
    message="3 of 12 \ud800 wrong",
    findings=(Finding("kink", "a kink"), Finding("nonfinite", "NaN")),
    location="specs/norm.yaml:7",
)


def record(path: Path, *results: Result, finish: bool = True) -> None:
    with open_to_write(path) as connection:
        run = begin_run(connection, Circumstances({"python": "3.11.1"}, "abcdef0", dirty=True, narrowed=True))
        for result in results:
            add_results(connection, run, Provenance("s1", "c1", 7), [result])
        if finish:
            finish_run(connection, run, interrupted=False)


def test_what_is_recorded_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "audit.db"
    unknown = Result("norm", "normalization", "default", "float32", "gamma", Verdict.ERROR)
    record(path, KEPT, unknown)
    with open_to_read(path) as connection:
        (run,) = runs(connection)
        first, second = records_of_run(connection, run.id)[::-1]
        assert ops(connection) == ["norm"]
        assert records_of_op(connection, "norm") == latest_records(connection)
    assert run.circumstances == Circumstances({"python": "3.11.1"}, "abcdef0", dirty=True, narrowed=True)
    assert run.finished is not None
    assert run.results == 2
    assert first.provenance == Provenance("s1", "c1", 7)
    assert first.result.message == "3 of 12 \\ud800 wrong"
    same = {name for name in vars(KEPT) if getattr(first.result, name) == getattr(KEPT, name)}
    assert same == vars(KEPT).keys() - {"message"}
    assert math.isnan(second.result.resolution)
    assert math.isnan(second.result.worst_ratio)


def test_the_newest_of_each_spec_is_the_latest(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    with open_to_write(path) as connection:
        for spec, verdict in (("c1", Verdict.PASS), ("c2", Verdict.FAIL), ("c1", Verdict.ERROR)):
            run = begin_run(connection, Circumstances())
            add_results(connection, run, Provenance("s", spec), [Result("f", "m", "c", "float64", "x", verdict)])
        found = {record.provenance.spec: record.result.verdict for record in latest_records(connection)}
    assert found == {"c1": Verdict.ERROR, "c2": Verdict.FAIL}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"notes of mine, nothing else\n" * 100, "file is not a database"),
        (b"SQLite format 3\0" + b"\x07" * 4096, "cannot be used as a store"),
    ],
)
def test_a_file_that_is_no_database_is_named_and_left(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "audit.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=said), open_to_write(path):
        pass
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["audit.db"]


def test_a_database_of_something_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (mine)")
    connection.close()
    before = path.read_bytes()
    for opened in (open_to_write, open_to_read):
        with pytest.raises(StoreError, match="is not a store of gradaudit"), opened(path):
            pass
    assert path.read_bytes() == before


def test_a_damaged_store_is_left(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    record(path, *[KEPT] * 300)
    content = bytearray(path.read_bytes())
    content[8192:-4096] = b"\xa5" * (len(content) - 12288)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"audit\.db"), open_to_write(path):
        pass
    assert path.read_bytes() == content


def test_a_store_of_a_newer_version_is_left(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    record(path, KEPT)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(StoreError, match="newer gradaudit"), open_to_write(path):
        pass


def test_there_is_nothing_to_read_before_the_first_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing was recorded yet"), open_to_read(tmp_path / "audit.db"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("opened", [open_to_write, open_to_read])
def test_the_first_schema_is_migrated_and_keeps_its_rows(tmp_path: Path, opened) -> None:
    path = tmp_path / "audit.db"
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, 1)
    connection.execute("INSERT INTO runs VALUES (5, '2026-01-02T03:04:05.000+00:00', NULL, 0, '{}', 'abc', 1)")
    connection.execute("INSERT INTO subjects VALUES (1, 'norm', 'normalization', 'default', 'float32', 'x')")
    values = (1, 5, 1, "2026-01-02T03:04:06.000+00:00", "s", "c", 0, "pass", 1, 4, 4, 0, 9, 0.1, "search", 0.0)
    connection.execute(
        f"INSERT INTO results VALUES ({', '.join('?' * 22)})", (*values, None, 0.5, 1e-4, 1e-6, "", "a:1")
    )
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()
    with opened(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
        (run,) = runs(connection)
        (found,) = records_of_run(connection, 5)
    assert (run.id, run.finished, run.circumstances.narrowed) == (5, None, False)
    assert (found.result.evaluations, found.result.worst_ratio) == (9, 0.5)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit.db"
    record(path, KEPT)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE more (a); CREATE TABLE runs (b)"))
    monkeypatch.setattr(schema, "VERSION", VERSION + 1)
    with pytest.raises(StoreError, match="runs already exists"), open_to_write(path):
        pass
    monkeypatch.undo()
    with open_to_read(path) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'more'").fetchone() == (0,)
        assert runs(connection)[0].results == 1


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file"), open_to_write(tmp_path / "file" / "audit.db"):
        pass


WRITER = """
import sys
from pathlib import Path
from gradaudit.results import Result, Verdict
from gradaudit.store.records import Circumstances, Provenance
from gradaudit.store.schema import open_to_write
from gradaudit.store.write import add_results, begin_run, finish_run

path, name = Path(sys.argv[1]), sys.argv[2]
sys.stdin.readline()
with open_to_write(path) as connection:
    run = begin_run(connection, Circumstances(commit=name))
    for k in range(40):
        add_results(connection, run, Provenance(), [Result(name, "m", str(k), "float64", "x", Verdict.PASS)])
    finish_run(connection, run, interrupted=False)
"""


def test_writers_at_once_from_the_very_first_moment(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    names = [f"w{k}" for k in range(4)]
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], stdin=subprocess.PIPE, text=True)
        for name in names
    ]
    for writer in writers:
        writer.communicate("go\n", timeout=60)
    assert [writer.returncode for writer in writers] == [0] * 4
    with open_to_read(path) as connection:
        assert {run.circumstances.commit: run.results for run in runs(connection)} == dict.fromkeys(names, 40)
        assert {record.run for record in records_of_op(connection, "w0")} != set()
        for run in runs(connection):
            assert {record.result.op for record in records_of_run(connection, run.id)} == {run.circumstances.commit}
