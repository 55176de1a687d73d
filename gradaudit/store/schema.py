"""The store's file: making it, recognising it, and bringing an older one up to date."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

APPLICATION_ID = 0x67726164
"""Marks a SQLite file as a store of gradaudit: ``grad`` in ASCII."""

PATIENCE = 20.0
"""Seconds to wait for another run that is writing; a write takes milliseconds."""

CHECKED_SIZE = 16 * 2**20
"""Bytes up to which a file is checked for damage whenever it is opened to be written: about 30 ms at that size."""

MIGRATIONS = (
    """
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        started TEXT NOT NULL,
        finished TEXT,
        interrupted INTEGER NOT NULL DEFAULT 0,
        versions TEXT NOT NULL,
        git_commit TEXT NOT NULL,
        git_dirty INTEGER NOT NULL
    );
    CREATE TABLE subjects (
        id INTEGER PRIMARY KEY,
        op TEXT NOT NULL,
        module TEXT NOT NULL,
        case_name TEXT NOT NULL,
        dtype TEXT NOT NULL,
        input TEXT NOT NULL,
        UNIQUE (op, case_name, dtype, input, module)
    );
    CREATE TABLE results (
        id INTEGER PRIMARY KEY,
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        subject INTEGER NOT NULL REFERENCES subjects,
        recorded TEXT NOT NULL,
        source_hash TEXT NOT NULL,
        spec_hash TEXT NOT NULL,
        seed INTEGER NOT NULL,
        verdict TEXT NOT NULL,
        expected INTEGER NOT NULL,
        size INTEGER NOT NULL,
        checked INTEGER NOT NULL,
        wrong INTEGER NOT NULL,
        evaluations INTEGER NOT NULL,
        seconds REAL NOT NULL,
        method TEXT NOT NULL,
        miss_probability REAL,
        resolution REAL,
        worst_ratio REAL,
        rtol REAL NOT NULL,
        atol REAL NOT NULL,
        message TEXT NOT NULL,
        location TEXT NOT NULL
    );
    CREATE TABLE findings (
        result INTEGER NOT NULL REFERENCES results ON DELETE CASCADE,
        position INTEGER NOT NULL,
        code TEXT NOT NULL,
        message TEXT NOT NULL,
        PRIMARY KEY (result, position)
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE runs ADD COLUMN narrowed INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX results_by_run ON results (run);
    CREATE INDEX results_by_subject ON results (subject, id);
    """,
    """
    CREATE TABLE depths (
        id INTEGER PRIMARY KEY,
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        op TEXT NOT NULL,
        state TEXT NOT NULL,
        functions TEXT NOT NULL
    );
    CREATE TABLE mutations (
        id INTEGER PRIMARY KEY,
        recorded TEXT NOT NULL,
        op TEXT NOT NULL,
        state TEXT NOT NULL,
        killed INTEGER NOT NULL,
        survived INTEGER NOT NULL,
        equivalent INTEGER NOT NULL
    );
    """,
    """
    CREATE TABLE documents (
        result INTEGER PRIMARY KEY REFERENCES results ON DELETE CASCADE,
        content BLOB NOT NULL,
        check_evaluations INTEGER NOT NULL
    );
    """,
    """
    ALTER TABLE runs ADD COLUMN planned TEXT NOT NULL DEFAULT '[]';
    """,
    # Results that were kept whole without the calls of their audits cannot stand for an audit of today.
    "DELETE FROM documents",
)
"""What leads from each version of the schema to the next: a new version is one more entry, no entry is ever edited."""

VERSION = len(MIGRATIONS)

UNRECORDED = "nothing was recorded yet; 'gradaudit run', in this folder, records what it audits"
"""What is said where someone asks for what nobody recorded."""


class StoreError(Exception):
    """The store cannot be used; says which file and why. The file is as it was."""


@contextmanager
def open_to_write(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a store, making it where there is none and migrating it where it is older.

    Raises:
        StoreError: where the file is no store, is damaged, is written by a newer gradaudit, or cannot be written.

    """
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(_connected(path, "rwc")) as connection:
            version = _version(connection, path, may_be_new=True)
            _refuse_damaged(connection, path)
            if version < VERSION:
                _write_ahead(connection)
                migrate(connection)
            yield connection


@contextmanager
def open_to_read(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a store that exists; an older one is brought up to date first.

    Raises:
        StoreError: where there is no file, or it is no store, is damaged or is written by a newer gradaudit.

    """
    if not path.exists():
        raise StoreError(f"there is no {path}: {UNRECORDED}")
    with _named(path), closing(_connected(path, "rw")) as connection:
        if _version(connection, path, may_be_new=False) < VERSION:
            migrate(connection)
        connection.execute("PRAGMA query_only = 1")
        yield connection


def migrate(connection: sqlite3.Connection, version: int | None = None) -> None:
    """Bring a store's schema to a version, by default the newest, all or nothing; another process may be at it too."""
    with transaction(connection):
        (current,) = connection.execute("PRAGMA user_version").fetchone()
        for script in MIGRATIONS[current:version]:
            for statement in filter(str.strip, script.split(";")):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {max(current, version or VERSION)}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all or nothing; waits for another writer. Within another one, what is written is part of that."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file in whatever goes wrong with it."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path} cannot be used as a store: {error}") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be used as a store: {error.strerror or error}") from None


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = 1")
    connection.execute("PRAGMA synchronous = NORMAL")  # survives a kill; a loss of power may cost the last results
    return connection


def _version(connection: sqlite3.Connection, path: Path, *, may_be_new: bool) -> int:
    """Return the schema's version, 0 for an empty file, having made sure that the file is a store."""
    connection.execute("BEGIN")
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    connection.execute("COMMIT")
    if mark != APPLICATION_ID and not (may_be_new and mark == version == tables == 0):
        raise StoreError(f"{path} is not a store of gradaudit; it was left unchanged")
    if version > VERSION:
        raise StoreError(f"{path} is written by a newer gradaudit: schema {version}, and this one knows {VERSION}")
    return int(version)


def _refuse_damaged(connection: sqlite3.Connection, path: Path) -> None:
    if path.stat().st_size > CHECKED_SIZE:
        return
    (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise StoreError(f"{path} is damaged ({str(said).splitlines()[-1]}); it was left unchanged")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging; SQLite itself does not wait where another process is doing so."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
